"""History that goes with the calls of workflows whose code is in workers; here, these are by hand.

The real ones are in `tests/sdk`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from perdure.runtime.workflow import history as h
from perdure.runtime.workflow.propagated_history import PropagatedHistory
from perdure.runtime.workflow.workers.pool import Capacity, Item, Outcome, WorkerStream
from perdure.runtime.workflow.workers.work import TurnDecided, TurnWork
from tests.support.two_apps import idle
from tests.support.world import PATIENCE, World


class Hand:
    """The worker of a node."""

    def __init__(self, world: World) -> None:
        self._pool = world.node.engine.pool
        self._stream: WorkerStream = self._pool.connect(Capacity(), "by hand")

    async def next(self) -> Item:
        async with asyncio.timeout(PATIENCE):
            return await self._stream.next()

    async def some(self, count: int) -> dict[str, Item]:
        """So many items, by the names of what they are of."""
        items = [await self.next() for _ in range(count)]
        return {item.work.name: item for item in items}

    def answer(self, item: Item, outcome: Outcome) -> None:
        self._pool.answer(item, outcome)

    def decide(self, item: Item, *outgoing: h.Outgoing) -> None:
        work = item.work
        assert isinstance(work, TurnWork)
        decided = TurnDecided(
            work.key, work.execution, work.after, work.covers, work.floor_us, outgoing
        )
        self.answer(item, decided)


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


async def begun(world: World) -> Hand:
    """A run that has made `CALLS` in its second turn, while an event came in."""
    await world.serve(idle, grpc_port=0)
    hand = Hand(world)
    instance = await world.start("outer", instance_id="o")
    hand.decide(await hand.next(), h.TaskScheduled(1, "add", None, "e-1"))
    hand.answer(await hand.next(), h.TaskCompleted(1, "1"))
    second = await hand.next()
    await instance.raise_event("meanwhile")
    hand.decide(second, *CALLS)
    return hand


SEEN = ["ExecutionStarted", "TaskScheduled", "TaskCompleted", "TaskScheduled"]


async def test_callees_see_what_the_code_had_seen_and_asked_for(remote: World) -> None:
    items = await (await begun(remote)).some(3)
    expected = [[*SEEN, "ChildWorkflowInstanceCreated"]]  # Without the event: that came too late.
    assert kinds(items["hear"].work.propagated) == expected
    assert kinds(items["low"].work.propagated) == expected
    assert items["outer"].work.propagated is None


async def test_after_a_restart_callees_get_the_same_bytes(remote: World) -> None:
    before = await (await begun(remote)).some(3)
    await remote.restart()
    after = await Hand(remote).some(3)
    assert {name: item.work.propagated for name, item in after.items()} == {
        name: item.work.propagated for name, item in before.items()
    }


async def test_a_child_hands_on_what_it_was_handed_in_all_of_its_turns(remote: World) -> None:
    hand = await begun(remote)
    child = (await hand.some(3))["low"]
    hand.decide(child, h.TaskScheduled(1, "tell", None, "e-1", propagation=2))
    item = await hand.next()
    above = [*SEEN, "ChildWorkflowInstanceCreated"]
    assert kinds(item.work.propagated) == [above, ["ExecutionStarted", "TaskScheduled"]]
    hand.answer(item, h.TaskCompleted(1, None))
    second = await hand.next()
    assert second.work.name == "low"
    assert second.work.propagated == child.work.propagated
