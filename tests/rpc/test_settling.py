"""What is answered to a pause, a resume and a termination, by the state of the instance, and when.

Nothing is waited for that is not about to come: here a wait would be longer than the test.
"""

from __future__ import annotations

import asyncio

import pytest

from perdure.runtime.node import Node
from perdure.runtime.rpc import management
from perdure.runtime.workflow import history as h
from tests.cluster.nodes import in_time
from tests.rpc.wire_worker import WireWorker, at_work

S = h.Status
LATER_US = 32_503_680_000_000_000
NAME = b"\x0a\x01o"
CHANGES = ("SuspendInstance", "ResumeInstance", "TerminateInstance")
AFTER = {
    # Of an instance that has not begun a pause shows when it has.
    "delayed": (S.PENDING, S.PENDING, S.TERMINATED),
    "without a worker": (S.PENDING, S.PENDING, S.TERMINATED),
    "idle": (S.SUSPENDED, S.RUNNING, S.TERMINATED),
    "busy": (S.SUSPENDED, S.RUNNING, S.TERMINATED),
    "suspended": (S.SUSPENDED, S.RUNNING, S.TERMINATED),
    "suspended and without a worker": (S.SUSPENDED, S.RUNNING, S.TERMINATED),
    "terminated": (S.TERMINATED, S.TERMINATED, S.TERMINATED),
}


@pytest.fixture(autouse=True)
def long_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(management, "SETTLE_SECONDS", 3600.0)
    monkeypatch.setattr(management, "LOOK_SECONDS", 3600.0)


async def bring(node: Node, worker: WireWorker, state: str) -> None:
    if state == "without a worker":
        worker.go()
        while node.engine.pool.streams:  # noqa: ASYNC110 (the stream ends when gRPC says so)
            await asyncio.sleep(0.001)
    start_at_us = LATER_US if state == "delayed" else None
    await node.service.start("ship", instance_id="o", start_at_us=start_at_us)
    if state in ("delayed", "without a worker"):
        return
    await worker.turn()
    await in_time(node.service.wait("o", until=[S.RUNNING], timeout=15))
    if state == "busy":
        await node.service.raise_event("o", "go")
        await worker.item()
    elif state == "terminated":
        await node.service.terminate("o")
    elif state != "idle":
        await node.service.suspend("o")
    if state == "suspended and without a worker":
        worker.go()


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("state", AFTER)
async def test_a_change_is_answered_as_soon_as_it_shows(state: str, change: str) -> None:
    async with at_work() as (node, worker):
        await bring(node, worker, state)
        await in_time(worker.client.raw(change, NAME))
        status = (await node.service.get("o")).row.status
        assert status is AFTER[state][CHANGES.index(change)]


async def test_a_pause_before_the_first_decision_is_answered_with_it() -> None:
    async with at_work() as (node, worker):
        await node.service.start("ship", instance_id="o")
        item = await worker.item()
        pause = asyncio.ensure_future(worker.client.raw("SuspendInstance", NAME))
        while not any(  # noqa: ASYNC110 (the answer is what is not to come)
            isinstance(event, h.ExecutionSuspended)
            for turn in (await node.service.history("o"))[1]
            for event in turn.incoming
        ):
            await asyncio.sleep(0.001)
        assert not pause.done()
        await worker.decide(item, [])
        await in_time(pause)
        assert (await node.service.get("o")).row.status is S.SUSPENDED
