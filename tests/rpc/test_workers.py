"""Workers by the wire, on a real engine: long decisions, pauses, in every dialect."""

from __future__ import annotations

from typing import Any

import pytest

from perdure.runtime.rpc import taskhub_pb2 as pb
from perdure.runtime.workflow import history as h
from tests.cluster.nodes import in_time
from tests.rpc.wire_worker import HELLO, at_work, end, kinds, task

DIALECTS = pytest.mark.parametrize("dialect", list(HELLO))


def limited(message_bytes: int) -> dict[str, Any]:
    """Settings of a node that takes no longer requests."""
    return {
        "max_body_bytes": message_bytes,
        "payload_bytes_max": message_bytes,
        "custom_status_bytes_max": 100,
    }


async def test_a_decision_may_be_longer_than_any_other_request() -> None:
    async with at_work(**limited(4000)) as (node, worker):
        await node.service.start("ship", instance_id="o")
        item = await worker.item()
        asked = [task(number, "pack", "x" * 100) for number in range(1, 101)]
        await worker.decide(item, asked)
        _, turns = await node.service.history("o")
        assert sum(isinstance(e, h.TaskScheduled) for t in turns for e in t.outgoing) == 100


@DIALECTS
async def test_a_second_pause_and_a_resume_of_what_runs_reach_no_worker(dialect: str) -> None:
    async with at_work(dialect) as (node, worker):
        change = worker.client.raw
        name = b"\x0a\x01o"
        await node.service.start("ship", instance_id="o")
        item = await worker.item()
        await change("ResumeInstance", name)  # It has not begun.
        await worker.decide(item, [])
        await change("ResumeInstance", name)  # It runs.
        for _ in range(2):
            await change("SuspendInstance", name)
        # The worker has one of them in hand while more come: it is the state then that counts.
        first = await worker.item()
        for change_name in ("SuspendInstance", "ResumeInstance", "ResumeInstance"):
            await change(change_name, name)
        assert kinds(first.workflowRequest.newEvents) == ["workflowStarted", "executionSuspended"]
        await worker.decide(first, [])
        second = await worker.turn()
        assert kinds(second.newEvents) == ["workflowStarted", "executionResumed"]
        await node.service.raise_event("o", "go")
        last = await worker.turn(end(1))
        assert kinds(last.newEvents) == ["workflowStarted", "eventRaised"]
        view = await in_time(node.service.wait("o", timeout=15))
        assert view.row.status is h.Status.COMPLETED
        history = await worker.client.call(
            "GetInstanceHistory",
            pb.GetInstanceHistoryRequest(instanceId="o"),
            pb.GetInstanceHistoryResponse,
        )
        told = kinds(history.events)
        assert told.count("executionSuspended") == told.count("executionResumed") == 1
