"""Work that cannot be sent to a worker because of the history that goes with it."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from perdure.runtime.environment import SystemEnv
from perdure.runtime.rpc import taskhub_pb2 as pb
from perdure.runtime.rpc.methods import Caller
from perdure.runtime.rpc.propagated import largest_call
from perdure.runtime.rpc.worker_methods import WorkerConfig, WorkerMethods
from perdure.runtime.workflow import history as h
from perdure.runtime.workflow.messages import RunActivity, Undeliverable
from perdure.runtime.workflow.workers.pool import WorkerPool
from perdure.runtime.workflow.workers.stream import Outcome
from perdure.runtime.workflow.workers.work import TurnDecided, TurnWork
from tests.rpc.samples import PROPAGATED, STARTED, steps, work

CALLER = Caller("peer", (), lambda: None)
DAPR = pb.GetWorkItemsRequest(capabilities=[2])
PATIENCE = 15
INPUT = "x" * 1000


async def sent(
    given: TurnWork | RunActivity, limit: int, *actions: pb.WorkflowAction
) -> tuple[pb.WorkItem | None, Outcome | None]:
    """What a worker gets of this work, and what comes of it once it has decided these actions."""
    pool = WorkerPool(SystemEnv())
    methods = WorkerMethods(pool, SystemEnv(), WorkerConfig(message_bytes_max=limit))
    frames = methods.work_items(DAPR, CALLER)
    outcome: asyncio.Future[Outcome | None] = asyncio.get_running_loop().create_future()
    frame = asyncio.ensure_future(anext(frames))
    await asyncio.sleep(0)
    if isinstance(given, TurnWork):
        assert pool.offer_turn(given, outcome.set_result)
    else:
        assert pool.offer_activity(given, outcome.set_result)
    async with asyncio.timeout(PATIENCE):
        either: list[asyncio.Future[Any]] = [frame, outcome]
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        item = pb.WorkItem.FromString(frame.result()) if frame.done() else None
        if item is not None and actions:
            response = pb.WorkflowResponse(actions=actions, completionToken=item.completionToken)
            await methods.complete_turn(response, CALLER)
        if not frame.done():
            frame.cancel()
            await asyncio.wait([frame])
        else:
            await frames.aclose()  # type: ignore[attr-defined]  # It is a generator.
    return item, outcome.result() if outcome.done() else None


def activity(propagated: bytes) -> RunActivity:
    return RunActivity("order-1", 7, 1, 3, "pay", "5", "e-3", propagated=propagated)


def schedule(scope: int) -> pb.WorkflowAction:
    asked = pb.ScheduleTaskAction(
        name="pay", input=pb.StringValue(value=INPUT), historyPropagationScope=scope
    )
    return pb.WorkflowAction(id=7, scheduleTask=asked)


async def test_an_activity_that_is_too_large_is_sent_to_no_worker_and_stops_its_caller() -> None:
    assert (await sent(activity(PROPAGATED), 1000))[0] is not None
    item, outcome = await sent(activity(PROPAGATED), 200)
    assert item is None
    assert isinstance(outcome, Undeliverable)
    assert outcome.key_of_call == activity(PROPAGATED).key_of_call
    assert outcome.reason.startswith("activity 'pay::3' payload size ")
    assert "exceeds 95% of max gRPC body size 200 bytes" in outcome.reason


async def test_a_turn_that_is_too_large_by_what_came_with_it_stalls() -> None:
    assert (await sent(work([]), 250))[0] is not None
    item, outcome = await sent(work([], propagated=PROPAGATED), 250)
    assert item is None
    assert isinstance(outcome, TurnDecided)
    assert outcome.stalled is not None
    assert outcome.stalled.startswith("Workflow payload size ")


@pytest.mark.parametrize(("scope", "stalls"), [(0, False), (1, False), (2, True)])
async def test_a_run_stalls_before_it_asks_for_an_activity_that_no_worker_could_be_sent(
    scope: int, stalls: bool
) -> None:
    """Own history fits; with that of the callers it does not."""
    due = work(steps(((STARTED,), ())), propagated=PROPAGATED)
    call = h.TaskScheduled(7, "pay", INPUT, "e-7", propagation=1)
    found = largest_call(due, TurnDecided(7, 1, due.after, due.covers, 0, (call,)))
    assert found is not None
    item, outcome = await sent(due, round((found[2] + 100) / 0.95), schedule(scope))
    assert item is not None
    assert isinstance(outcome, TurnDecided)
    assert (outcome.stalled is not None) == stalls
    if outcome.stalled is not None:
        assert outcome.stalled.startswith("activity 'pay::7' payload size ")
        assert not outcome.outgoing


@pytest.mark.parametrize("given", [activity(b"?"), work([], propagated=b"?")])
async def test_history_that_cannot_be_read_does_not_end_the_stream(
    given: TurnWork | RunActivity,
) -> None:
    item, outcome = await sent(given, 10_000)
    assert item is None
    assert isinstance(outcome, h.TaskFailed | TurnDecided)
    told = outcome.failure.message if isinstance(outcome, h.TaskFailed) else outcome.stalled
    assert "CorruptHistory" in str(told)
