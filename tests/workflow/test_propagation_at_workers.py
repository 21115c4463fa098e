"""History that goes with the calls of workflows whose code is in workers; here, these are by hand.

The real ones are in `tests/sdk`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from perdure.runtime.workflow import history as h
from perdure.runtime.workflow.propagated_history import PropagatedHistory
from tests.support.two_apps import idle
from tests.support.workers import Given, Worker
from tests.support.world import World


async def some(worker: Worker, count: int) -> dict[str, Given]:
    """So many items, by the names of what they are of."""
    items = [await worker.next() for _ in range(count)]
    return {item.work.name: item for item in items}


CALLS = (
    h.TaskScheduled(2, "hear", None, "e-2", propagation=1),
    h.ChildWorkflowInstanceCreated(3, "low", "low", None, propagation=2),
)


def kinds(propagated: bytes | None) -> list[list[str]]:
    history = PropagatedHistory.of(propagated)
    assert history is not None
    return [[event.type for event in one.events] for one in history.get_workflows()]


@pytest.fixture
async def remote(live: World) -> AsyncIterator[World]:
    """Its histories cannot be replayed here: the code is nowhere."""
    yield live
    await live.stop()


async def begun(world: World) -> Worker:
    """A run that has made `CALLS` in its second turn, while an event came in."""
    await world.serve(idle, grpc_port=0)
    worker = Worker(world.node)
    instance = await world.start("outer", instance_id="o")
    await worker.turn(h.TaskScheduled(1, "add", None, "e-1"))
    await worker.activity(1)
    second = await worker.next()
    await instance.raise_event("meanwhile")
    second.decide(*CALLS)
    return worker


SEEN = ["ExecutionStarted", "TaskScheduled", "TaskCompleted", "TaskScheduled"]


async def test_callees_see_what_the_code_had_seen_and_asked_for(remote: World) -> None:
    items = await some(await begun(remote), 3)
    expected = [[*SEEN, "ChildWorkflowInstanceCreated"]]  # Without the event: that came too late.
    assert kinds(items["hear"].work.propagated) == expected
    assert kinds(items["low"].work.propagated) == expected
    assert items["outer"].work.propagated is None


async def test_after_a_restart_callees_get_the_same_bytes(remote: World) -> None:
    before = await some(await begun(remote), 3)
    await remote.restart()
    after = await some(Worker(remote.node), 3)
    assert {name: item.work.propagated for name, item in after.items()} == {
        name: item.work.propagated for name, item in before.items()
    }


async def test_a_child_hands_on_what_it_was_handed_in_all_of_its_turns(remote: World) -> None:
    worker = await begun(remote)
    child = (await some(worker, 3))["low"]
    child.decide(h.TaskScheduled(1, "tell", None, "e-1", propagation=2))
    item = await worker.next()
    above = [*SEEN, "ChildWorkflowInstanceCreated"]
    assert kinds(item.work.propagated) == [above, ["ExecutionStarted", "TaskScheduled"]]
    item.complete()
    second = await worker.next()
    assert second.work.name == "low"
    assert second.work.propagated == child.work.propagated
