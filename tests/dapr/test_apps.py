"""Clients that manage the instances of another app, which shares the database."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import perdure.dapr as wf
import perdure.dapr.aio as aio
from perdure import NodeConfig
from perdure.runtime.config import Durability
from perdure.runtime.workflow.errors import NoSuchApp

BANK = "localhost", "4001"


def _config(app_id: str, folder: Path) -> NodeConfig:
    return NodeConfig(store=folder / "apps.db", port=0, app_id=app_id, durability=Durability.NORMAL)


@pytest.fixture(autouse=True)
def apps(tmp_path: Path) -> Iterator[None]:
    """A runtime of `shop` where the clients look for one, and one of `bank` elsewhere."""
    bank = wf.WorkflowRuntime(*BANK, config=_config("bank", tmp_path))
    shop = wf.WorkflowRuntime(config=_config("shop", tmp_path))

    @bank.activity
    def double(ctx: wf.WorkflowActivityContext, number: int) -> int:
        return 2 * number

    @bank.workflow
    def transfer(ctx: wf.DaprWorkflowContext, number: int) -> Any:
        doubled = yield ctx.call_activity(double, input=number)
        yield ctx.wait_for_external_event("go")
        return doubled

    @shop.workflow
    def idle(ctx: wf.DaprWorkflowContext, _: Any) -> None: ...

    for runtime in (bank, shop):
        runtime.start()
    yield
    for runtime in (shop, bank):
        runtime.shutdown()


def test_each_method_reaches_the_app_that_is_named(client: wf.DaprWorkflowClient) -> None:
    there: dict[str, Any] = {"app_id": "bank"}
    client.schedule_new_workflow("transfer", input=4, instance_id="t", **there)
    assert client.get_workflow_state("t") is None
    assert client.wait_for_workflow_start("t", timeout_in_seconds=10, **there)
    client.pause_workflow("t", **there)
    paused = client.get_workflow_state("t", **there)
    assert paused is not None
    assert paused.runtime_status is wf.WorkflowStatus.SUSPENDED
    client.resume_workflow("t", **there)
    client.raise_workflow_event("t", "go", **there)
    state = client.wait_for_workflow_completion("t", timeout_in_seconds=10, **there)
    assert state is not None
    assert state.serialized_output == "8"
    again = client.rerun_workflow_from_event("t", 1, input=5, **there)
    client.terminate_workflow(again, output="enough", **there)
    client.purge_workflow(again, **there)
    assert client.get_workflow_state(again, **there) is None
    assert client.list_workflow_instance_ids().instance_ids == []


async def test_the_client_for_asyncio_does_so_too() -> None:
    async with aio.DaprWorkflowClient() as client:
        await client.schedule_new_workflow("transfer", input=4, instance_id="t", app_id="bank")
        await client.raise_workflow_event("t", "go", app_id="bank")
        state = await client.wait_for_workflow_completion("t", timeout_in_seconds=10, app_id="bank")
        assert state is not None
        assert state.serialized_output == "8"


def test_the_own_app_may_be_named_and_one_that_never_was_is_refused(
    client: wf.DaprWorkflowClient,
) -> None:
    for own in ("shop", "", None):
        client.schedule_new_workflow("idle", instance_id="i", app_id=own)
        state = client.wait_for_workflow_completion("i", timeout_in_seconds=10, app_id=own)
        assert state is not None
    with pytest.raises(NoSuchApp):
        client.schedule_new_workflow("idle", app_id="elsewhere")
