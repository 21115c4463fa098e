"""What the code asks for now, held against what it asked for then."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import pytest

from perdure.runtime.workflow import history as h
from perdure.runtime.workflow.context import WorkflowContext
from perdure.runtime.workflow.errors import NonDeterminismError
from perdure.runtime.workflow.execution import Execution, Run
from perdure.runtime.workflow.registry import Registry
from perdure.runtime.workflow.replay import replay

Code = Callable[[WorkflowContext], Any]


def execution(code: Code) -> Execution:
    registry = Registry()
    definition = registry.add_workflow(code, name="order")
    return Execution(Run(definition, "o1", 1, registry, logging.getLogger(), app_id="shop"))


def asked(code: Code) -> h.Turn:
    """The first turn of such code."""
    live = execution(code)
    live.begin_turn(5, is_replaying=False)
    started = h.ExecutionStarted("order")
    live.apply(started)
    turn = h.Turn(5, (started,), live.take_commands())
    live.close()
    return turn


def found_by_replay(then: Code, now: Code) -> str | None:
    """What a replay of `then` by `now` finds wrong."""
    again = execution(now)
    try:
        replay(again, asked(then))
    except NonDeterminismError as error:
        return str(error)
    finally:
        again.close()
    return None


def calling(method: str, name: str, **options: Any) -> Code:
    async def order(ctx: WorkflowContext) -> Any:
        getattr(ctx, method)(name, **options)
        await ctx.wait_for_external_event("go")

    return order


METHODS = ["call_activity", "call_child_workflow", "schedule_new_workflow"]


@pytest.mark.parametrize("method", METHODS)
def test_the_same_app_is_no_difference(method: str) -> None:
    here, bank = calling(method, "pay"), calling(method, "pay", app_id="bank")
    assert found_by_replay(here, here) is None
    assert found_by_replay(bank, bank) is None


@pytest.mark.parametrize("method", METHODS)
def test_the_own_app_is_as_good_as_none(method: str) -> None:
    here, named = calling(method, "pay"), calling(method, "pay", app_id="shop")
    assert asked(named).outgoing[0].app_id is None  # type: ignore[union-attr]
    assert found_by_replay(here, named) is None


@pytest.mark.parametrize("method", METHODS)
def test_another_app_is_a_difference_and_both_sides_are_said(method: str) -> None:
    here = calling(method, "pay")
    bank, mint = (calling(method, "pay", app_id=app) for app in ("bank", "mint"))
    assert asked(bank).outgoing[0].app_id == "bank"  # type: ignore[union-attr]
    kind = "activity" if method == "call_activity" else "workflow"
    for then, now, before, after in (
        (here, bank, f"history has {kind} 'pay' ", f"asks for {kind} 'pay' of app 'bank' "),
        (bank, here, f"history has {kind} 'pay' of app 'bank' ", f"asks for {kind} 'pay' "),
        (bank, mint, f"history has {kind} 'pay' of app 'bank' ", f"{kind} 'pay' of app 'mint' "),
    ):
        found = found_by_replay(then, now)
        assert found is not None
        history, _, code = found.partition(", the code now ")
        assert before in history
        assert after in code


def test_a_history_from_before_there_were_apps_is_replayed() -> None:
    parent = h.Parent(1, "p", 1, 1)
    code = calling("call_activity", "pay")
    (command,) = asked(code).outgoing
    assert isinstance(command, h.TaskScheduled)
    then = h.TaskScheduled(1, "pay", None, command.execution_id)
    turn = h.Turn(5, (h.ExecutionStarted("order", parent=parent),), (then,))
    again = execution(code)
    replay(again, turn)
    again.close()
