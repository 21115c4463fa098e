"""Continue-as-new: a new run with a new input, and what it takes over."""

from __future__ import annotations

from collections.abc import Generator
from datetime import timedelta
from typing import Any

import perdure
from perdure import TaskFailedError, WorkflowContext
from perdure.runtime.workflow import history as h
from tests.support.world import Gate, World


async def test_a_new_run_has_the_new_input_and_an_empty_history(world: World) -> None:
    @perdure.workflow
    async def count(ctx: WorkflowContext, number: int) -> int:
        if number < 3:
            ctx.continue_as_new(number + 1)
            return -1
        return number

    await world.serve(count)
    instance = await world.start("count", 0)
    assert await instance.result() == 3
    row = await instance.row()
    assert row.execution == 4
    assert await instance.kinds() == ["ExecutionStarted", "ExecutionCompleted"]
    assert (await world.service.get(instance.id)).input == "3"


async def test_a_loop_in_the_generator_style(world: World) -> None:
    @perdure.activity
    def add(number: int) -> int:
        return number + 1

    @perdure.workflow
    def count(ctx: WorkflowContext, number: int) -> Generator[Any, Any, int]:
        number = yield ctx.call_activity(add, input=number)
        if number < 4:
            ctx.continue_as_new(number)
        return number

    await world.serve(count, add)
    instance = await world.start("count", 0)
    assert await instance.result() == 4
    assert (await instance.row()).execution == 4


async def test_a_loop_with_timer_activity_and_child(world: World) -> None:
    @perdure.activity
    def add(number: int) -> int:
        return number + 1

    @perdure.workflow
    async def child(ctx: WorkflowContext, number: int) -> int:
        return int(await ctx.call_activity(add, input=number))

    @perdure.workflow
    async def count(ctx: WorkflowContext, number: int) -> int:
        await ctx.create_timer(timedelta(milliseconds=1))
        number = await ctx.call_activity(add, input=number)
        number = await ctx.call_child_workflow(child, input=number)
        if number < 8:
            ctx.continue_as_new(number)
        return number

    await world.serve(count, child, add)
    assert await (await world.start("count", 0)).result() == 8


async def test_what_else_was_asked_in_the_turn_is_dropped(world: World) -> None:
    started: list[int] = []

    @perdure.activity
    def note(number: int) -> None:
        started.append(number)

    @perdure.workflow
    async def count(ctx: WorkflowContext, number: int) -> int:
        if number == 0:
            ctx.call_activity(note, input=number)
            ctx.create_timer(timedelta(milliseconds=1))
            ctx.continue_as_new(1)
            return 0
        await ctx.create_timer(timedelta(milliseconds=5))
        return number

    await world.serve(count, note)
    assert await (await world.start("count", 0)).result() == 1
    assert started == []


async def test_the_custom_status_is_reset(world: World) -> None:
    @perdure.workflow
    async def count(ctx: WorkflowContext, number: int) -> Any:
        if number == 0:
            ctx.set_custom_status("first")
            await ctx.wait_for_external_event("go")
            ctx.continue_as_new(1)
            return None
        return await ctx.wait_for_external_event("go")

    await world.serve(count)
    instance = await world.start("count", 0)
    await instance.when(lambda row: row.custom_status == "first")
    await instance.raise_event("go")
    await instance.when(lambda row: row.execution == 2)
    assert (await instance.row()).custom_status is None
    await instance.raise_event("go")
    await instance.result()


def _looping(keep: bool) -> Any:
    @perdure.workflow(name="collects")
    async def collects(ctx: WorkflowContext, items: list[Any]) -> list[Any]:
        if not items:
            await ctx.wait_for_external_event("begin")
            ctx.continue_as_new(["begun"], save_events=keep)
            return []
        while (item := await ctx.wait_for_external_event("Item")) != "end":
            items.append(item)
        return items

    return collects


async def test_unprocessed_events_are_kept_in_order_when_asked(world: World) -> None:
    await world.serve(_looping(keep=True))
    instance = await world.start("collects", [])
    for number in range(4):
        await instance.raise_event("ITEM" if number % 2 else "item", number)
    await instance.raise_event("other")
    await instance.raise_event("begin")
    await instance.raise_event("item", "end")
    assert await instance.result() == ["begun", 0, 1, 2, 3]


async def test_unprocessed_events_are_lost_when_not_asked(world: World) -> None:
    await world.serve(_looping(keep=False))
    instance = await world.start("collects", [])
    for number in range(4):
        await instance.raise_event("item", number)
    await instance.raise_event("begin")
    await instance.raise_event("item", "late")
    await instance.raise_event("item", "end")
    assert await instance.result() == ["begun", "late"]


async def test_events_that_were_held_back_by_a_suspension_belong_to_the_next_run(
    world: World,
) -> None:
    await world.serve(_looping(keep=False))
    instance = await world.start("collects", [])
    await instance.suspend()
    await instance.raise_event("begin")
    await instance.raise_event("item", 1)
    await instance.raise_event("item", "end")
    await instance.resume()
    assert await instance.result() == ["begun", 1]


async def test_an_event_raised_again_after_the_new_run_is_still_one_event(world: World) -> None:
    await world.serve(_looping(keep=True))
    instance = await world.start("collects", [])
    await instance.raise_event("item", 1, idempotency_key="k")
    await instance.raise_event("begin")
    await instance.raise_event("item", 1, idempotency_key="k")
    await instance.raise_event("item", "end")
    assert await instance.result() == ["begun", 1]


async def test_more_than_twenty_runs_lose_and_repeat_nothing(world: World) -> None:
    @perdure.workflow
    async def drain(ctx: WorkflowContext, items: list[int]) -> list[int]:
        items.append(await ctx.wait_for_external_event("item"))
        if len(items) < 50:
            ctx.continue_as_new(items, save_events=True)
        return items

    await world.serve(drain)
    instance = await world.start("drain", [])
    await instance.suspend()
    for number in range(50):
        await world.service.raise_event(instance.id, "item", str(number))
    await instance.resume()
    assert await instance.result() == list(range(50))
    assert (await instance.row()).execution == 50


async def test_many_runs_without_any_wait_come_to_their_end(world: World) -> None:
    @perdure.workflow
    async def count(ctx: WorkflowContext, number: int) -> int:
        if number < 65:
            ctx.continue_as_new(number + 1)
        return number

    await world.serve(count)
    instance = await world.start("count", 0)
    assert await instance.result() == 65
    assert (await instance.row()).execution == 66


async def test_results_of_the_run_before_are_ignored(steady: World) -> None:
    """Task ids begin anew with each run, so a late result must not be taken for a new one."""
    gate = Gate()

    @perdure.activity
    async def work(run: int) -> int:
        if run == 0:
            await gate.wait()
        return run

    @perdure.workflow
    async def loop(ctx: WorkflowContext, run: int) -> Any:
        if run == 0:
            ctx.call_activity(work, input=run)
            await ctx.wait_for_external_event("next")
            ctx.continue_as_new(1)
            return None
        await ctx.wait_for_external_event("late")
        result = ctx.call_activity(work, input=run)
        return await result

    await steady.serve(loop, work)
    instance = await steady.start("loop", 0)
    await gate.entered.wait()
    await instance.raise_event("next")
    await instance.when(lambda row: row.execution == 2)
    gate.opened.set()
    await instance.raise_event("late")
    assert await instance.result() == 1
    assert len(await instance.of(h.TaskCompleted)) == 1


async def test_timers_of_the_run_before_do_not_fire_in_the_next(world: World) -> None:
    @perdure.workflow
    async def loop(ctx: WorkflowContext, run: int) -> Any:
        if run == 0:
            ctx.create_timer(timedelta(milliseconds=30))
            ctx.create_timer(timedelta(hours=1))
            await ctx.wait_for_external_event("next")
            ctx.continue_as_new(1)
            return None
        timer = ctx.create_timer(timedelta(hours=1))
        await ctx.wait_for_external_event("look")
        return timer.is_complete

    await world.serve(loop)
    instance = await world.start("loop", 0)
    await instance.raise_event("next")
    await instance.when(lambda row: row.execution == 2)
    assert world.rows("reminders") == 1
    await instance.raise_event("look")
    assert await instance.result() is False


async def test_a_run_may_begin_again_after_a_failed_activity(world: World) -> None:
    @perdure.activity
    def fails() -> None:
        raise ValueError("no")

    @perdure.workflow
    async def loop(ctx: WorkflowContext, run: int) -> int:
        try:
            await ctx.call_activity(fails)
        except TaskFailedError:
            if run < 2:
                ctx.continue_as_new(run + 1)
        return run

    await world.serve(loop, fails)
    assert await (await world.start("loop", 0)).result() == 2


async def test_a_child_that_begins_again_answers_its_parent_once(world: World) -> None:
    @perdure.workflow
    async def child(ctx: WorkflowContext, number: int) -> int:
        await ctx.create_timer(timedelta(milliseconds=1))
        if number < 3:
            ctx.continue_as_new(number + 1)
        return number

    @perdure.workflow
    async def parent(ctx: WorkflowContext) -> int:
        return int(await ctx.call_child_workflow(child, input=0))

    await world.serve(parent, child)
    instance = await world.start("parent", instance_id="p")
    assert await instance.result() == 3
    child_row = await world.handle("p:0001").row()
    assert (child_row.parent_id, child_row.execution) == ("p", 4)


async def test_terminate_wins_over_the_next_run(world: World) -> None:
    @perdure.workflow
    async def loop(ctx: WorkflowContext, run: int) -> None:
        await ctx.create_timer(timedelta(milliseconds=1))
        ctx.continue_as_new(run + 1)

    await world.serve(loop)
    instance = await world.start("loop", 0)
    await instance.when(lambda row: row.execution > 2)
    await instance.terminate("enough")
    row = await instance.row()
    assert (row.status, row.output) == (h.Status.TERMINATED, '"enough"')


async def test_an_endless_loop_without_any_wait_can_be_terminated(world: World) -> None:
    @perdure.workflow
    async def loop(ctx: WorkflowContext, run: int) -> None:
        ctx.continue_as_new(run + 1)

    await world.serve(loop)
    instance = await world.start("loop", 0)
    await instance.terminate()
    assert await instance.status() is h.Status.TERMINATED


async def test_created_stays_and_the_name_stays(world: World) -> None:
    @perdure.workflow
    async def loop(ctx: WorkflowContext, run: int) -> str:
        await ctx.create_timer(timedelta(milliseconds=1))
        if run < 2:
            ctx.continue_as_new(run + 1)
        return ctx.workflow_name

    await world.serve(loop)
    instance = await world.start("loop", 0)
    created = (await instance.row()).created_us
    assert await instance.result() == "loop"
    assert (await instance.row()).created_us == created
