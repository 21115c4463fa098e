"""Turns of instances that are stalled, or become so: what comes then is not lost, nor early."""

from __future__ import annotations

import asyncio
import logging
import random
from datetime import timedelta
from typing import Any, cast

import msgspec

from perdure.actors.identity import ActorRef
from perdure.actors.messages import Delivery
from perdure.actors.ports import Snapshot
from perdure.actors.unit_of_work import Decision
from perdure.runtime.workflow import history as h
from perdure.runtime.workflow import messages as m
from perdure.runtime.workflow.codec import decode_turn
from perdure.runtime.workflow.context import WorkflowContext
from perdure.runtime.workflow.keys import Keys
from perdure.runtime.workflow.records import StoredWorkflow, WorkflowChange
from perdure.runtime.workflow.registry import Registry
from perdure.runtime.workflow.surroundings import Surroundings, WorkflowConfig
from perdure.runtime.workflow.workers.work import TurnDecided
from perdure.runtime.workflow.workflow_actor import WorkflowActor, WorkflowActorType

BEGUN_US = 1_000_000_000
HOUR_US = 3_600_000_000


class Clockwork:
    def __init__(self) -> None:
        self.log = logging.getLogger("perdure.tests.stalls")
        self.random = random.Random(0)

    def now_us(self) -> int:
        return BEGUN_US

    def new_id(self) -> str:
        raise AssertionError("the tests give all ids")


class Blocks:
    """As much of a store as `Keys` needs."""

    async def reserve_keys(self, count: int) -> range:
        return range(1, 1 + count)


def surroundings(registry: Registry) -> Surroundings:
    keys = Keys(cast(Any, Blocks()), 100)
    asyncio.run(keys.reserve())
    env = Clockwork()
    return Surroundings(registry, env, keys, WorkflowConfig(), env.log, has_workers=lambda: True)


def activated(around: Surroundings, stored: StoredWorkflow | None = None) -> WorkflowActor:
    snapshot = Snapshot(ActorRef(m.WORKFLOW, "o"), stored)
    return WorkflowActorType(around).activate(snapshot, 0, 1)


def change_of(decision: Decision) -> WorkflowChange:
    assert decision.unit is not None
    assert isinstance(decision.unit.change, WorkflowChange)
    return decision.unit.change


def turn_of(decision: Decision) -> h.Turn:
    blob = change_of(decision).turn
    assert blob is not None
    return decode_turn(blob)


START = Delivery(m.StartWorkflow(h.ExecutionStarted("order"), "r"))


def raised(name: str) -> Delivery:
    return Delivery(m.RaiseEvent(name, None, name))


# ---- a decision that stalls


def test_what_comes_with_a_decision_that_stalls_is_written_first() -> None:
    actor = activated(surroundings(Registry()))
    key = change_of(actor.decide([START], BEGUN_US)).row.key
    first = TurnDecided(key, 1, 0, 1, BEGUN_US, patches=("a",))
    actor.decide([Delivery(first)], BEGUN_US)
    actor.decide([raised("x")], BEGUN_US)
    without = Delivery(TurnDecided(key, 1, 1, 2, BEGUN_US))
    decision = actor.decide([raised("y"), without], BEGUN_US)
    assert turn_of(decision).incoming == (h.EventRaised("y", None, "y"),)
    assert decision.returned == [without]
    stalled = change_of(actor.decide(decision.returned, BEGUN_US))
    assert stalled.row.status is h.Status.STALLED
    assert "Patch mismatch" in (stalled.row.stalled or "")


# ---- a timer that fired in a stall, and a clock that was set back after it


async def order(ctx: WorkflowContext) -> bool:
    due = ctx.current_utc_datetime + timedelta(hours=1)
    timer = ctx.create_timer(timedelta(hours=1))
    await ctx.call_activity("charge")
    await timer
    return ctx.current_utc_datetime >= due


def stored(around: Surroundings, **changes: Any) -> StoredWorkflow:
    """`order`, after its first turn."""
    change = change_of(activated(around).decide([START], BEGUN_US))
    assert change.turn is not None
    return StoredWorkflow(msgspec.structs.replace(change.row, **changes), [(0, change.turn)])


def answers(key: int) -> list[Delivery]:
    """As the inbox has them: the activity's, then the timer."""
    events: list[h.TaskCompleted | h.TimerFired] = [h.TaskCompleted(2, "1"), h.TimerFired(1)]
    return [
        Delivery(m.Completion(key, 1, event), message_id=f"m{event.task_id}") for event in events
    ]


def of_order() -> Surroundings:
    registry = Registry()
    registry.add_workflow(order)
    return surroundings(registry)


def check_end(turn: h.Turn) -> None:
    assert turn.at_us >= BEGUN_US + HOUR_US
    assert turn.outgoing == (h.ExecutionCompleted(h.Status.COMPLETED, "true"),)


def test_it_is_not_early_for_code_that_sees_something_else_before_it() -> None:
    around = of_order()
    was = stored(around, status=h.Status.STALLED, stalled="other code", has_work=False)
    actor = activated(around, was)
    batch = answers(was.row.key)
    first = actor.decide(batch, BEGUN_US + 1)
    assert turn_of(first).at_us == BEGUN_US + 1
    assert first.returned == batch[1:]
    assert first.unit is not None
    assert first.unit.consumed == ["m2"]
    check_end(turn_of(actor.decide(first.returned, BEGUN_US + 2)))


def test_nor_is_it_when_all_that_was_kept_is_taken_in_the_turn_that_ends_the_stall() -> None:
    around = of_order()
    was = stored(around, attempts=1000)
    actor = activated(around, was)
    assert change_of(actor.decide(answers(was.row.key), BEGUN_US + 1)).row.stalled is not None
    ended = actor.decide([Delivery(m.Resume())], BEGUN_US + 2)
    assert ended.unit is not None
    assert sorted(ended.unit.consumed) == ["m1", "m2"]
    check_end(turn_of(ended))
