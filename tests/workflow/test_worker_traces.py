"""What Microsoft's workers tell of their span of a run is told to whoever decides next."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from perdure.runtime.rpc import taskhub_pb2 as pb
from perdure.runtime.workflow import history as h
from tests.support import actions
from tests.support import scripted_worker as scripted
from tests.support.rerunning import rerun
from tests.support.scripted_worker import MICROSOFT, NEUTRAL, ScriptedWorker, scripted_worker
from tests.support.two_apps import idle
from tests.support.world import Mode, World

FIRST = pb.OrchestrationTraceContext(spanID=pb.StringValue(value="b7ad6b7169203331"))
SECOND = pb.OrchestrationTraceContext(spanID=pb.StringValue(value="00f067aa0ba902b7"))


@pytest.fixture(params=[Mode.LIVE, Mode.EVICT], ids=str)
async def world(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[World]:
    async with World(tmp_path / "app.db", request.param) as world:
        await world.serve(idle, grpc_port=0)
        yield world


def twice(turn: pb.WorkflowRequest) -> list[pb.WorkflowAction]:
    answered = scripted.answers(turn)
    for number in (1, 2):
        if number not in answered:
            return [actions.task(number, "pack")]
    return [actions.end(3, '"done"')]


def code(worker: ScriptedWorker, trace: pb.OrchestrationTraceContext | None) -> ScriptedWorker:
    worker.workflows["order"] = twice
    worker.activities["pack"] = lambda asked: "1"
    worker.trace = None if trace is None else trace.SerializeToString()
    return worker


def told(worker: ScriptedWorker) -> list[bytes | None]:
    """What came with each turn."""
    return [
        turn.propagatedHistory if turn.HasField("propagatedHistory") else None
        for turn in worker.turns
    ]


@pytest.mark.parametrize("asks", [MICROSOFT, NEUTRAL], ids=["microsoft", "neutral"])
async def test_it_comes_with_every_later_turn_and_is_stored_once(
    world: World, asks: pb.GetWorkItemsRequest
) -> None:
    async with scripted_worker(world.node.grpc_address, asks) as worker:
        code(worker, FIRST)
        instance = await world.start("order")
        assert await instance.result() == "done"
    own = FIRST.SerializeToString()
    assert told(worker) == [None, own, own]
    stored = [turn.decided.trace for turn in await instance.turns() if turn.decided is not None]
    assert stored == [own, None, None]


async def test_another_worker_goes_on_with_it_and_may_change_it(world: World) -> None:
    async with scripted_worker(world.node.grpc_address, MICROSOFT) as first:
        code(first, FIRST).activities.clear()
        first.workflows["order"] = lambda turn: [actions.timer(1)] if not turn.pastEvents else []
        instance = await world.start("order")
        await instance.saw("TimerFired")
    async with scripted_worker(world.node.grpc_address, MICROSOFT) as second:
        code(second, SECOND)
        second.workflows["order"] = lambda turn: [actions.end(2, '"done"')]
        await instance.raise_event("go")
        assert await instance.result() == "done"
    assert told(second)[-1:] == [FIRST.SerializeToString()]


async def test_daprs_workers_are_not_told(world: World) -> None:
    async with scripted_worker(world.node.grpc_address) as worker:
        code(worker, None)
        assert await (await world.start("order")).result() == "done"
    assert told(worker) == [None, None, None]


async def test_a_run_from_an_event_has_a_span_of_its_own(world: World) -> None:
    async with scripted_worker(world.node.grpc_address, MICROSOFT) as worker:
        code(worker, FIRST)
        await (await world.start("order", instance_id="a")).result()
        worker.turns.clear()
        worker.trace = SECOND.SerializeToString()
        again = await rerun(world, "a", 2, new_id="b")
        assert await again.result() == "done"
    assert told(worker) == [None]
    assert [turn.decided.trace for turn in await again.turns() if turn.decided is not None] == [
        None,
        None,
        SECOND.SerializeToString(),
    ]


async def test_so_has_the_run_after_a_continue_as_new(world: World) -> None:
    def decide(turn: pb.WorkflowRequest) -> list[pb.WorkflowAction]:
        if scripted.started(turn).input.value == '"again"':
            return [actions.end(1, '"done"')]
        again = actions.end(1, '"again"')
        again.completeWorkflow.workflowStatus = h.Status.CONTINUED_AS_NEW
        return [again]

    async with scripted_worker(world.node.grpc_address, MICROSOFT) as worker:
        code(worker, FIRST).workflows["order"] = decide
        assert await (await world.start("order")).result() == "done"
    assert told(worker) == [None, None]
