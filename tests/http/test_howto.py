"""Dapr's how-to "Manage workflows", call by call as it is written there."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

import perdure
from tests.http.conftest import Serving
from tests.support.http_server import Server

COMPONENT = "/v1.0-alpha1/workflows/dapr"


@perdure.workflow(name="OrderProcessingWorkflow")
async def order_processing(ctx: perdure.WorkflowContext, order: object = None) -> object:
    return await ctx.wait_for_external_event("incoming-purchase-order")


@perdure.workflow(name="testWorkflow")
async def test_workflow(ctx: perdure.WorkflowContext, item: str) -> object:
    return await ctx.wait_for_external_event("never")


test_workflow.__test__ = False  # type: ignore[attr-defined]


@pytest.fixture
async def node(serving: Serving) -> AsyncIterator[Server]:
    async with serving([order_processing, test_workflow]) as (server, _):
        yield server


async def test_the_http_calls(node: Server) -> None:
    async def status() -> str:
        answer = await node.get(f"{COMPONENT}/12345678")
        assert answer.status == 200
        found: str = answer.json["runtimeStatus"]
        return found

    started = await node.post(f"{COMPONENT}/OrderProcessingWorkflow/start?instanceID=12345678")
    assert (started.status, started.json) == (202, {"instanceID": "12345678"})
    assert await status() == "RUNNING"
    assert (await node.post(f"{COMPONENT}/12345678/pause")).status == 202
    assert await status() == "SUSPENDED"
    assert (await node.post(f"{COMPONENT}/12345678/resume")).status == 202
    assert await status() == "RUNNING"
    # "An eventName can be any function."
    assert (await node.post(f"{COMPONENT}/12345678/raiseEvent/anyFunction")).status == 202
    # "If the workflow is in any other state, calling purge returns an error."
    assert (await node.post(f"{COMPONENT}/12345678/purge")).status == 500
    assert (await node.post(f"{COMPONENT}/12345678/terminate")).status == 202
    assert await status() == "TERMINATED"
    assert (await node.post(f"{COMPONENT}/12345678/purge")).status == 202
    assert (await node.get(f"{COMPONENT}/12345678")).status == 404


async def test_an_event_reaches_the_workflow_that_waits_for_it(node: Server) -> None:
    await node.post(f"{COMPONENT}/OrderProcessingWorkflow/start?instanceID=12345678")
    event = "raiseEvent/incoming-purchase-order"
    body = '{"Name":"Paperclips","TotalCost":99.95}'
    assert (await node.post(f"{COMPONENT}/12345678/{event}", body)).status == 202
    found = (await node.get(f"{COMPONENT}/12345678?wait=completed")).json
    assert found["runtimeStatus"] == "COMPLETED"
    assert found["properties"]["dapr.workflow.output"] == body


async def test_the_python_calls_through_the_client(node: Server) -> None:
    async with perdure.WorkflowClient(node.url) as client:

        async def status() -> str | None:
            state = await client.get_workflow_state("exampleOrderId")
            return None if state is None else state.runtime_status.name

        started = await client.schedule_new_workflow(
            "testWorkflow", input="paperclips", instance_id="exampleOrderId"
        )
        assert started == "exampleOrderId"
        assert await status() == "RUNNING"
        await client.pause_workflow(started)
        assert await status() == "SUSPENDED"
        await client.resume_workflow(started)
        assert await status() == "RUNNING"
        await client.raise_workflow_event(started, "TestEvent", data="an event")
        await client.terminate_workflow(started)
        assert await status() == "TERMINATED"
        await client.purge_workflow(started)
        assert await status() is None
