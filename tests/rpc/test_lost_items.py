"""Items that end the stream of whoever is sent them: too large for what gRPC's clients receive.

The worker has gRPC's own limit, as those of Dapr 1.17 and 1.18 do; it comes back at once.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc.aio
import pytest

import perdure
from perdure.runtime.node import App, Node
from perdure.runtime.rpc import taskhub_pb2 as pb
from perdure.runtime.rpc.stalls import PAYLOAD_SIZE_EXCEEDED, stalled_event
from perdure.runtime.workflow import history as h
from perdure.runtime.workflow.records import Instance
from perdure.runtime.workflow.workers.reach import LOSSES_MAX
from tests.cluster.nodes import in_time, recorded
from tests.rpc.serving import Client, connected
from tests.rpc.wire_worker import HELLO, WireWorker
from tests.support.actions import end, task
from tests.support.workers import serving_workers

LARGE = "x" * (5 << 20)
ROOMY: dict[str, Any] = {"max_body_bytes": 64 << 20, "payload_bytes_max": 16 << 20}
UNLIMITED = {"grpc.max_receive_message_length": -1}


class Reconnecting:
    """A worker that comes back whenever its stream has ended.

    Its workflow `call` calls the activity `pack` with its own input; any other ends at once.
    """

    def __init__(self, client: Client, dialect: str) -> None:
        self._client = client
        self._dialect = dialect
        self.connections = 0
        self.runs = 0

    async def work(self) -> None:
        while True:
            worker = WireWorker(self._client, HELLO[self._dialect])
            self.connections += 1
            try:
                while True:
                    await self._answer(worker, await worker.item(patience=None))
            except grpc.aio.AioRpcError as error:
                if error.code() is not grpc.StatusCode.RESOURCE_EXHAUSTED:
                    return  # The node has gone.

    async def _answer(self, worker: WireWorker, item: pb.WorkItem) -> None:
        if item.HasField("activityRequest"):
            self.runs += 1
            answer = pb.ActivityResponse(
                instanceId=item.activityRequest.workflowInstance.instanceId,
                taskId=item.activityRequest.taskId,
                completionToken=item.completionToken,
                result={"value": "1"},
            )
            await self._client.call("CompleteActivityTask", answer, pb.Empty)
            return
        turn = item.workflowRequest
        events = [*turn.pastEvents, *turn.newEvents]
        if any(event.HasField("executionStarted") for event in events):
            name = next(e.executionStarted.name for e in events if e.HasField("executionStarted"))
        calls = name == "call" and not any(e.HasField("taskCompleted") for e in events)
        await worker.decide(item, [task(1, "pack", LARGE) if calls else end(2)])


@asynccontextmanager
async def reconnecting(
    node: Node, dialect: str = "neutral", **options: Any
) -> AsyncIterator[Reconnecting]:
    async with connected(str(node.grpc_address), **options) as client, asyncio.TaskGroup() as group:
        worker = Reconnecting(client, dialect)
        working = group.create_task(worker.work())
        yield worker
        working.cancel()


async def stalled(node: Node, instance_id: str) -> Instance:
    view = await in_time(node.service.wait(instance_id, until=[h.Status.STALLED], timeout=15))
    row: Instance = view.row
    return row


async def ended(node: Node, instance_id: str) -> h.Status:
    view = await in_time(node.service.wait(instance_id, timeout=15))
    status: h.Status = view.row.status
    return status


def reason_of(row: Instance) -> int:
    event = stalled_event(row)
    assert event is not None
    return event.executionStalled.reason


async def test_a_turn_that_ends_each_stream_it_is_sent_on_stalls_its_instance() -> None:
    async with serving_workers(**ROOMY) as node, reconnecting(node) as worker:
        await node.service.start("ship", LARGE, instance_id="o")
        row = await stalled(node, "o")
        assert row.stalled is not None
        assert row.stalled.startswith("Workflow payload size 52")
        assert "Dapr 1.19" in row.stalled
        assert reason_of(row) == PAYLOAD_SIZE_EXCEEDED
        # All others go on, and no further stream is lost: not by the next one either.
        await node.service.start("ship", LARGE, instance_id="p")
        await stalled(node, "p")
        await node.service.start("ship", instance_id="small")
        assert await ended(node, "small") is h.Status.COMPLETED
        assert worker.connections == LOSSES_MAX + 1


async def test_streams_that_end_while_they_are_written_to_are_no_errors(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    with recorded() as log:
        async with serving_workers(**ROOMY) as node, reconnecting(node) as worker:
            await node.service.start("ship", LARGE, instance_id="o")
            await stalled(node, "o")
            await node.service.start("ship", instance_id="small")
            await ended(node, "small")
            assert worker.connections > 1
        assert len(log.of("worker_narrow")) == 1
    errors = [r for r in caplog.records if r.levelno >= logging.ERROR]
    assert [record.getMessage() for record in errors] == ["a workflow instance is stalled"]
    assert not any(record.exc_info for record in caplog.records)


@pytest.mark.parametrize("name", ["ship", "call"])
async def test_it_goes_on_with_a_worker_that_receives_more_and_with_none_else(name: str) -> None:
    async with serving_workers(**ROOMY) as node, reconnecting(node) as narrow:
        await node.service.start(name, LARGE if name == "ship" else None, instance_id="o")
        await stalled(node, "o")
        lost = narrow.connections
        async with reconnecting(node, "dapr with a memory", **UNLIMITED) as roomy:
            assert await ended(node, "o") is h.Status.COMPLETED
            assert (narrow.runs, roomy.runs) == (0, 1 if name == "call" else 0)
        assert narrow.connections == lost


async def test_an_activity_that_ends_each_stream_it_is_sent_on_stalls_its_caller() -> None:
    async with serving_workers(**ROOMY) as node, reconnecting(node) as worker:
        await node.service.start("call", instance_id="o")
        row = await stalled(node, "o")
        assert row.stalled is not None
        assert row.stalled.startswith("activity 'pack::1' payload size 52")
        assert reason_of(row) == PAYLOAD_SIZE_EXCEEDED
        assert worker.connections == LOSSES_MAX + 1
        assert await node.service.purge("o", force=True)


@perdure.workflow
async def ours(ctx: perdure.WorkflowContext) -> int:
    return int(await ctx.call_activity("pack", input=LARGE))


async def test_code_of_the_node_stalls_as_a_worker_s_does_and_goes_on() -> None:
    app: App = [ours]
    async with serving_workers(app, **ROOMY) as node:
        async with reconnecting(node):
            await node.service.start("ours", instance_id="o")
            row = await stalled(node, "o")
            assert reason_of(row) == PAYLOAD_SIZE_EXCEEDED
        async with reconnecting(node, "dapr with a memory", **UNLIMITED):
            assert await ended(node, "o") is h.Status.COMPLETED
