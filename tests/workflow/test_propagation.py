"""History that goes with a call: what children and activities see of their callers."""

from __future__ import annotations

import contextlib
from collections.abc import Generator
from datetime import timedelta
from typing import Any

import pytest

import perdure
from perdure import (
    ActivityContext,
    PropagatedHistory,
    PropagationNotFoundError,
    PropagationScope,
    RetryPolicy,
    TaskFailedError,
    WorkflowContext,
)
from perdure.runtime.workflow import history as h
from tests.support.two_apps import serve_bank, serve_shop
from tests.support.world import Gate, World

OWN, LINEAGE = PropagationScope.OWN_HISTORY, PropagationScope.LINEAGE
QUICKLY = RetryPolicy(first_retry_interval=timedelta(milliseconds=1), max_number_of_attempts=3)

Told = list[list[Any]] | None


def told(history: PropagatedHistory | None) -> Told:
    """Each caller, with the kinds of its events."""
    if history is None:
        return None
    return [
        [found.app_id, found.instance_id, found.name, [_short(event) for event in found.events]]
        for found in history.get_workflows()
    ]


def _short(found: Any) -> str:
    event = found.event
    if isinstance(event, h.TaskScheduled | h.ChildWorkflowInstanceCreated):
        return f"{event.name}?"
    return str(found.type)


@perdure.activity
def add(number: int) -> int:
    return number + 1


@perdure.activity
async def hear(ctx: ActivityContext, _: Any = None) -> Told:
    return told(ctx.get_propagated_history())


@perdure.workflow
async def listen(ctx: WorkflowContext) -> Told:
    return told(ctx.get_propagated_history())


def caller(instance_id: str, name: str, *events: str, app: str = "default") -> list[Any]:
    return [app, instance_id, name, ["ExecutionStarted", *events]]


async def test_no_history_goes_with_a_call_that_does_not_ask_for_it(world: World) -> None:
    @perdure.workflow
    async def outer(ctx: WorkflowContext) -> list[Told]:
        calls = [
            ctx.call_activity(hear),
            ctx.call_activity(hear, propagation=PropagationScope.NONE),
            ctx.call_child_workflow(listen),
        ]
        return [ctx.get_propagated_history(), *[await call for call in calls]]

    await world.serve(outer, hear, listen)
    assert await (await world.start("outer")).result() == [None] * 4


@pytest.mark.parametrize("scope", [OWN, LINEAGE])
async def test_a_callee_sees_its_caller_up_to_the_turn_that_called(
    scope: PropagationScope, world: World
) -> None:
    @perdure.workflow
    async def outer(ctx: WorkflowContext) -> list[Told]:
        await ctx.call_activity(add, input=1)
        await ctx.call_activity(add, input=2)
        first = await ctx.call_activity(hear, propagation=scope)
        return [first, await ctx.call_child_workflow(listen, propagation=scope)]

    await world.serve(outer, add, hear, listen)
    events = ["add?", "TaskCompleted", "add?", "TaskCompleted", "hear?"]
    assert await (await world.start("outer", instance_id="o")).result() == [
        [caller("o", "outer", *events)],
        [caller("o", "outer", *events, "TaskCompleted", "listen?")],
    ]


async def test_lineage_has_all_callers_and_own_history_stops_at_the_last(world: World) -> None:
    @perdure.workflow
    async def top(ctx: WorkflowContext) -> Any:
        await ctx.call_activity(add, input=1)
        return await ctx.call_child_workflow("middle", instance_id="m", propagation=LINEAGE)

    @perdure.workflow
    async def middle(ctx: WorkflowContext) -> Any:
        return await ctx.call_child_workflow("low", instance_id="l", propagation=LINEAGE)

    @perdure.workflow
    async def low(ctx: WorkflowContext) -> Any:
        calls = [
            ctx.call_activity(hear, propagation=LINEAGE),
            ctx.call_activity(hear, propagation=OWN),
            ctx.call_child_workflow(listen, propagation=OWN),
        ]
        return [told(ctx.get_propagated_history()), *[await call for call in calls]]

    await world.serve(top, middle, low, add, hear, listen)
    above = [
        caller("t", "top", "add?", "TaskCompleted", "middle?"),
        caller("m", "middle", "low?"),
    ]
    own = caller("l", "low", "hear?", "hear?", "listen?")
    found = await (await world.start("top", instance_id="t")).result()
    assert found == [above, [*above, own], [own], [own]]


async def test_what_own_history_hides_is_not_in_the_events_either(world: World) -> None:
    """The caller's first event holds what it was handed itself."""
    hidden = "a secret of the top"

    @perdure.workflow
    async def top(ctx: WorkflowContext, secret: str) -> Any:
        return await ctx.call_child_workflow("middle", propagation=LINEAGE)

    @perdure.workflow
    async def middle(ctx: WorkflowContext) -> Any:
        return await ctx.call_child_workflow("low", instance_id="low", propagation=OWN)

    @perdure.workflow
    async def low(ctx: WorkflowContext) -> int:
        history = ctx.get_propagated_history()
        assert history is not None
        return len(history.get_workflows())

    await world.serve(top, middle, low)
    assert await (await world.start("top", hidden)).result() == 1
    (started,) = await world.handle("low").of(h.ExecutionStarted)
    assert hidden.encode() not in started.propagated


async def test_each_try_of_a_call_sees_the_history_up_to_itself(steady: World) -> None:
    tries: list[Told] = []

    @perdure.activity
    async def flaky(ctx: ActivityContext, _: Any = None) -> None:
        tries.append(told(ctx.get_propagated_history()))
        if len(tries) < 3:
            raise OSError("no")

    @perdure.workflow
    async def outer(ctx: WorkflowContext) -> None:
        await ctx.call_activity(flaky, retry_policy=QUICKLY, propagation=OWN)

    await steady.serve(outer, flaky)
    await (await steady.start("outer", instance_id="o")).result()
    again = ["TaskFailed", "TimerCreated", "TimerFired", "flaky?"]
    events = ["flaky?"]
    for seen in tries:
        assert seen == [caller("o", "outer", *events)]
        events += again
    assert len(tries) == 3


async def test_each_try_of_a_child_sees_the_history(world: World) -> None:
    @perdure.workflow
    async def fails(ctx: WorkflowContext) -> None:
        history = ctx.get_propagated_history()
        assert history is not None
        raise ValueError(str(len(history.events)))

    @perdure.workflow
    async def outer(ctx: WorkflowContext) -> str:
        try:
            await ctx.call_child_workflow(fails, retry_policy=QUICKLY, propagation=OWN)
        except TaskFailedError as error:
            return error.details.message
        return ""

    await world.serve(outer, fails)
    # 2 events at the first try, and for each further one a failure, a timer, its end, a call.
    assert await (await world.start("outer")).result() == str(2 + 4 + 4)


async def test_a_run_that_continues_as_new_hands_on_what_it_was_handed(world: World) -> None:
    @perdure.workflow
    async def top(ctx: WorkflowContext) -> Any:
        return await ctx.call_child_workflow("loop", input=0, instance_id="l", propagation=LINEAGE)

    @perdure.workflow
    async def loop(ctx: WorkflowContext, number: int) -> Any:
        await ctx.call_activity(add, input=number)
        if number < 2:
            ctx.continue_as_new(number + 1)
            return None
        seen = told(ctx.get_propagated_history())
        return [seen, await ctx.call_activity(hear, propagation=LINEAGE)]

    await world.serve(top, loop, add, hear)
    above = caller("t", "top", "loop?")
    assert await (await world.start("top", instance_id="t")).result() == [
        [above],
        [above, caller("l", "loop", "add?", "TaskCompleted", "hear?")],
    ]


async def test_an_activity_that_is_run_again_after_a_restart_sees_the_same(steady: World) -> None:
    gate, seen = Gate(), []

    @perdure.activity
    async def slow(ctx: ActivityContext, _: Any = None) -> None:
        seen.append(told(ctx.get_propagated_history()))
        await gate.wait()

    @perdure.workflow
    async def top(ctx: WorkflowContext) -> None:
        await ctx.call_child_workflow("outer", instance_id="o", propagation=LINEAGE)

    @perdure.workflow
    async def outer(ctx: WorkflowContext) -> None:
        await ctx.call_activity(add, input=1)
        call = ctx.call_activity(slow, propagation=LINEAGE)
        await ctx.call_activity(add, input=2)
        await call

    await steady.serve(top, outer, add, slow)
    instance = await steady.start("top", instance_id="t")
    await gate.entered.wait()
    await steady.handle("o").when(lambda row: row.next_seq == 3)
    await steady.restart()
    gate.opened.set()
    await instance.result()
    expected = [
        caller("t", "top", "outer?"),
        caller("o", "outer", "add?", "TaskCompleted", "slow?", "add?"),
    ]
    assert seen == [expected] * 2


async def test_an_activity_that_nobody_awaits_sees_it_after_the_end_of_its_workflow(
    steady: World,
) -> None:
    gate, seen = Gate(), []

    @perdure.activity
    async def slow(ctx: ActivityContext, _: Any = None) -> None:
        seen.append(told(ctx.get_propagated_history()))
        await gate.wait()

    @perdure.workflow
    async def top(ctx: WorkflowContext) -> None:
        await ctx.call_child_workflow("outer", instance_id="o", propagation=LINEAGE)

    @perdure.workflow
    async def outer(ctx: WorkflowContext) -> None:
        ctx.call_activity(slow, propagation=LINEAGE)

    await steady.serve(top, outer, slow)
    await (await steady.start("top", instance_id="t")).result()
    await gate.entered.wait()
    await steady.restart()
    gate.opened.set()
    expected = [
        caller("t", "top", "outer?"),
        caller("o", "outer", "slow?", "ExecutionCompleted"),
    ]
    await steady.handle("o").when(lambda row: not row.has_work)
    assert seen == [expected] * 2


async def test_history_of_another_app_says_so(shop: World, bank: World) -> None:
    @perdure.workflow
    async def order(ctx: WorkflowContext) -> list[Told]:
        first = await ctx.call_activity("hear", app_id="bank", propagation=LINEAGE)
        return [first, await ctx.call_child_workflow("settle", app_id="bank", propagation=LINEAGE)]

    @perdure.workflow
    async def settle(ctx: WorkflowContext) -> Any:
        history = ctx.get_propagated_history()
        assert history is not None
        assert history.get_app_ids() == ["shop"]
        return await ctx.call_activity(hear, propagation=LINEAGE)

    await serve_bank(bank, hear, settle)
    await serve_shop(shop, order)
    first, second = await (await shop.start("order", instance_id="o")).result()
    assert first == [caller("o", "order", "hear?", app="shop")]
    assert second == [
        caller("o", "order", "hear?", "TaskCompleted", "settle?", app="shop"),
        caller("o:0002", "settle", "hear?", app="bank"),
    ]


async def test_results_of_a_caller_are_found_by_name(world: World) -> None:
    @perdure.activity
    def fails(number: int) -> None:
        raise ValueError(f"no {number}")

    @perdure.workflow
    async def double(ctx: WorkflowContext, number: int) -> int:
        return number * 2

    @perdure.workflow
    def outer(ctx: WorkflowContext) -> Generator[Any, Any, Any]:
        yield ctx.call_activity(add, input=1)
        yield ctx.call_activity(add, input=5)
        yield ctx.call_child_workflow(double, input=4)
        with contextlib.suppress(TaskFailedError):
            yield ctx.call_activity(fails, input=3)
        return (yield ctx.call_child_workflow(inner, instance_id="i", propagation=LINEAGE))

    @perdure.workflow
    async def inner(ctx: WorkflowContext) -> Any:
        history = ctx.get_propagated_history()
        assert history is not None
        caller = history.get_last_workflow_by_name("outer")
        added = caller.get_activities_by_name("add")
        child = caller.get_last_child_workflow_by_name("double")
        failed = caller.get_last_activity_by_name("fails")
        own = caller.get_last_child_workflow_by_name("inner")
        assert failed.error is not None
        assert (failed.completed, failed.failed) == (False, True)
        assert (own.started, own.completed, own.output) == (True, False, None)
        for find in (
            history.get_last_workflow_by_name,
            caller.get_last_activity_by_name,
            caller.get_last_child_workflow_by_name,
        ):
            with pytest.raises(PropagationNotFoundError, match="'nothing'"):
                find("nothing")
        assert history.events == history.get_events_by_app_id("default")
        assert history.events == history.get_events_by_instance_id("o")
        assert history.events == history.get_events_by_workflow_name("outer")
        assert history.get_events_by_app_id("other") == []
        return [
            history.scope,
            [[one.input, one.output, one.completed] for one in added],
            child.output,
            failed.error.message,
        ]

    await world.serve(outer, inner, double, add, fails)
    found = await (await world.start("outer", instance_id="o")).result()
    assert found == [2, [["1", "2", True], ["5", "6", True]], "8", "no 3"]


async def test_a_scope_that_is_none_fails_the_workflow(live: World) -> None:
    @perdure.workflow
    async def outer(ctx: WorkflowContext) -> None:
        await ctx.call_activity(hear, propagation="all of it")  # type: ignore[arg-type]

    await live.serve(outer, hear)
    failure = await (await live.start("outer")).failure()
    assert failure.error_type == "TypeError"
    assert "propagation" in failure.message


async def test_code_may_choose_another_scope_than_it_did_then(live: World) -> None:
    gate = Gate()

    @perdure.activity
    async def slow() -> None:
        await gate.wait()

    def calling(scope: PropagationScope | None) -> Any:
        @perdure.workflow(name="outer")
        async def outer(ctx: WorkflowContext) -> str:
            await ctx.call_activity(slow, propagation=scope)
            return "well"

        return outer

    await live.serve(calling(None), slow)
    instance = await live.start("outer")
    await gate.entered.wait()
    gate.opened.set()
    await live.serve(calling(LINEAGE), slow)
    assert await instance.result() == "well"
