"""What a turn sends to other apps, and what comes back: the turns of single actors."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable
from typing import Any, cast

import pytest

from perdure.actors.identity import ActorRef
from perdure.actors.messages import Delivery
from perdure.actors.ports import Snapshot
from perdure.actors.unit_of_work import Decision, Outgoing
from perdure.runtime.workflow import history as h
from perdure.runtime.workflow import messages as m
from perdure.runtime.workflow.context import WorkflowContext
from perdure.runtime.workflow.keys import Keys
from perdure.runtime.workflow.records import Instance, StoredWorkflow, WorkflowChange
from perdure.runtime.workflow.registry import Registry
from perdure.runtime.workflow.surroundings import Surroundings, WorkflowConfig
from perdure.runtime.workflow.workflow_actor import WorkflowActor, WorkflowActorType

PARENT = h.Parent(70, "boss", 2, 5, "office")


class Clockwork:
    def __init__(self) -> None:
        self.log = logging.getLogger("perdure.tests.apps")
        self.random = random.Random(0)

    def now_us(self) -> int:
        return 1_000_000

    def new_id(self) -> str:
        raise AssertionError("the tests give all ids")


class Blocks:
    """As much of a store as `Keys` needs."""

    _next = 1

    async def reserve_keys(self, count: int) -> range:
        first, self._next = self._next, self._next + count
        return range(first, self._next)


def surroundings(code: Callable[..., Any]) -> Surroundings:
    registry = Registry()
    registry.add_workflow(code, name="order")
    keys = Keys(cast(Any, Blocks()), 100)
    asyncio.run(keys.reserve())
    env = Clockwork()
    return Surroundings(registry, env, keys, WorkflowConfig(), env.log, app_id="shop")


def activated(around: Surroundings, stored: StoredWorkflow | None = None) -> WorkflowActor:
    snapshot = Snapshot(ActorRef(m.WORKFLOW, "o1"), stored)
    return WorkflowActorType(around).activate(snapshot, 0, 1)


def turn(actor: WorkflowActor, *bodies: object) -> Decision:
    return actor.decide([Delivery(body) for body in bodies], 1_000_000)


def start(parent: h.Parent | None = None) -> m.StartWorkflow:
    event = h.ExecutionStarted("order", parent=parent)
    return m.StartWorkflow(event, "r1", tell_parent=parent is not None)


def sent(decision: Decision) -> list[tuple[str, str | None, Any]]:
    """(id, app, message) of all durable messages, each read back from its bytes."""
    assert decision.unit is not None
    return [_as_read(outgoing) for outgoing in decision.unit.outbox]


def _as_read(outgoing: Outgoing) -> tuple[str, str | None, Any]:
    found = m.decode(outgoing.body)
    assert found == outgoing.message
    return outgoing.target.id, outgoing.app_id, found


def row_of(decision: Decision) -> Instance:
    assert decision.unit is not None
    assert isinstance(decision.unit.change, WorkflowChange)
    return decision.unit.change.row


async def calls_all(ctx: WorkflowContext) -> None:
    for app_id in (None, "bank"):
        ctx.call_activity("charge", app_id=app_id)
        ctx.call_child_workflow("pack", app_id=app_id)
        ctx.schedule_new_workflow("log", app_id=app_id)
    await ctx.wait_for_external_event("go")


def test_what_is_asked_of_another_app_says_where_the_answer_is_to_go() -> None:
    decision = turn(activated(surroundings(calls_all)), start())
    messages = [cast(m.RunActivity, message) for _, message in decision.sends]
    apps = [(message.app_id, message.caller_app) for message in messages]
    assert apps == [(None, None), ("bank", "shop")]
    assert [(target, app, message.event.parent) for target, app, message in sent(decision)] == [
        ("o1:0002", None, h.Parent(1, "o1", 1, 2)),
        ("o1-3", None, None),
        ("o1:0005", "bank", h.Parent(1, "o1", 1, 5, "shop")),
        ("o1-6", "bank", None),
    ]


def test_an_activity_of_another_app_is_asked_for_again_after_a_load() -> None:
    around = surroundings(calls_all)
    first = turn(activated(around), start())
    assert first.unit is not None
    assert isinstance(first.unit.change, WorkflowChange)
    assert first.unit.change.turn is not None
    stored = StoredWorkflow(row_of(first), [(0, first.unit.change.turn)])
    again = turn(activated(around, stored))
    messages = [cast(m.RunActivity, message) for _, message in again.sends]
    apps = [(message.app_id, message.caller_app, message.again) for message in messages]
    assert apps == [(None, None, True), ("bank", "shop", True)]


def test_terminate_reaches_children_where_they_are() -> None:
    actor = activated(surroundings(calls_all))
    turn(actor, start())
    decision = turn(actor, m.Terminate(h.ExecutionTerminated()))
    assert [(target, app) for target, app, _ in sent(decision)] == [
        ("o1:0002", None),
        ("o1:0005", "bank"),
    ]


async def ends(ctx: WorkflowContext) -> int:
    return 7


async def fails(ctx: WorkflowContext) -> int:
    raise ValueError("no")


async def waits(ctx: WorkflowContext) -> None:
    await ctx.wait_for_external_event("go")


@pytest.mark.parametrize("code", [ends, fails])
def test_the_end_of_a_child_goes_to_the_app_of_its_parent(code: Callable[..., Any]) -> None:
    decision = turn(activated(surroundings(code)), start(PARENT))
    ((target, app, completion),) = sent(decision)
    assert (target, app) == ("boss", "office")
    assert (completion.key, completion.execution, completion.event.task_id) == (70, 2, 5)
    assert row_of(decision).parent == PARENT


def test_a_child_that_is_read_from_its_row_still_knows_the_app_of_its_parent() -> None:
    around = surroundings(waits)
    first = turn(activated(around), start(PARENT))
    assert first.unit is not None
    assert isinstance(first.unit.change, WorkflowChange)
    assert first.unit.change.turn is not None
    stored = StoredWorkflow(row_of(first), [(0, first.unit.change.turn)])
    decision = turn(activated(around, stored), m.RaiseEvent("go", None, "e1"))
    assert [(target, app) for target, app, _ in sent(decision)] == [("boss", "office")]


def test_a_child_that_begins_again_keeps_the_app_of_its_parent() -> None:
    async def twice(ctx: WorkflowContext, number: int = 0) -> int:
        if number == 0:
            ctx.continue_as_new(1)
        return number

    decision = turn(activated(surroundings(twice)), start(PARENT))
    assert row_of(decision).execution == 2
    assert [(target, app) for target, app, _ in sent(decision)] == [("boss", "office")]


def test_a_refused_start_is_told_to_the_app_of_the_parent() -> None:
    actor = activated(surroundings(waits))
    turn(actor, start())
    other = m.StartWorkflow(h.ExecutionStarted("order", parent=PARENT), "r2", tell_parent=True)
    ((target, app, completion),) = sent(turn(actor, other))
    assert (target, app) == ("boss", "office")
    assert completion.event.failure.error_type == "WorkflowInstanceAlreadyExists"
