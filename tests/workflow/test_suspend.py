"""Suspend and resume: what happens meanwhile is kept, and happens in order afterwards."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import perdure
from perdure import WorkflowContext
from perdure.runtime.workflow import history as h
from tests.support.world import Gate, World
from tests.workflow.conftest import Clock


@perdure.workflow
async def collects(ctx: WorkflowContext) -> list[Any]:
    items: list[Any] = []
    while (item := await ctx.wait_for_external_event("item")) != "end":
        items.append(item)
        ctx.set_custom_status(str(len(items)))
    return items


async def test_a_suspended_instance_keeps_events_and_takes_them_in_order(world: World) -> None:
    await world.serve(collects)
    instance = await world.start("collects")
    await instance.raise_event("item", 0)
    await instance.suspend("stocktaking")
    assert await instance.status() is h.Status.SUSPENDED
    for item in (1, 2, "end"):
        await instance.raise_event("item", item)
    row = await instance.row()
    assert (row.status, row.custom_status) == (h.Status.SUSPENDED, "1")
    await instance.resume("done")
    assert await instance.result() == [0, 1, 2]
    (suspended,) = await instance.of(h.ExecutionSuspended)
    (resumed,) = await instance.of(h.ExecutionResumed)
    assert (suspended.reason, resumed.reason) == ("stocktaking", "done")


async def test_suspending_twice_and_resuming_what_runs_change_nothing(world: World) -> None:
    await world.serve(collects)
    instance = await world.start("collects")
    await instance.resume()
    assert await instance.status() is h.Status.RUNNING
    await instance.suspend()
    await instance.suspend()
    assert await instance.status() is h.Status.SUSPENDED
    await instance.resume()
    await instance.resume()
    assert await instance.status() is h.Status.RUNNING
    await instance.raise_event("item", "end")
    await instance.result()
    assert len(await instance.of(h.ExecutionSuspended)) == 1
    assert len(await instance.of(h.ExecutionResumed)) == 1


async def test_an_instance_can_be_suspended_and_resumed_again_and_again(world: World) -> None:
    await world.serve(collects)
    instance = await world.start("collects")
    for number in range(3):
        await instance.suspend()
        await instance.raise_event("item", number)
        await instance.resume()
    await instance.raise_event("item", "end")
    assert await instance.result() == [0, 1, 2]


async def test_an_activity_that_runs_meanwhile_has_its_result_kept(steady: World) -> None:
    gate = Gate()

    @perdure.activity
    async def slow() -> str:
        await gate.wait()
        return "slow"

    @perdure.workflow
    async def order(ctx: WorkflowContext) -> Any:
        result = await ctx.call_activity(slow)
        ctx.set_custom_status("went on")
        return result

    await steady.serve(order, slow)
    instance = await steady.start("order")
    await gate.entered.wait()
    await instance.suspend()
    gate.opened.set()
    await instance.saw("TaskCompleted")
    row = await instance.row()
    assert (row.status, row.custom_status) == (h.Status.SUSPENDED, None)
    await instance.resume()
    assert await instance.result() == "slow"
    assert gate.count == 1


async def test_a_timer_that_is_due_meanwhile_fires_at_the_resume(
    world: World, clock: Clock
) -> None:
    @perdure.workflow
    async def order(ctx: WorkflowContext) -> str:
        await ctx.wait_for_external_event("go")
        await ctx.create_timer(timedelta(hours=1))
        return "fired"

    await world.serve(order)
    instance = await world.start("order")
    await instance.raise_event("go")
    await instance.suspend()
    await clock.forward(world, timedelta(hours=1))
    await instance.saw("TimerFired")
    assert await instance.status() is h.Status.SUSPENDED
    await instance.resume()
    assert await instance.result() == "fired"


async def test_a_timer_that_is_due_after_the_resume_fires_at_its_own_time(
    world: World, clock: Clock
) -> None:
    @perdure.workflow
    async def order(ctx: WorkflowContext) -> str:
        await ctx.create_timer(timedelta(hours=1))
        return "fired"

    await world.serve(order)
    instance = await world.start("order")
    await instance.suspend()
    await instance.resume()
    assert await instance.status() is h.Status.RUNNING
    await clock.forward(world, timedelta(hours=1))
    assert await instance.result() == "fired"
    (timer,) = await instance.of(h.TimerCreated)
    assert (await instance.turns())[-1].at_us >= timer.fire_at_us


async def test_an_event_and_the_timeout_of_its_wait_may_both_be_kept(world: World) -> None:
    """The event comes first, so the timer that was kept after it has nobody left to wake."""

    @perdure.workflow
    async def order(ctx: WorkflowContext) -> list[Any]:
        await ctx.wait_for_external_event("go")
        got = await ctx.wait_for_external_event("paid", 0.3)
        return [got, await ctx.wait_for_external_event("sent")]

    await world.serve(order)
    instance = await world.start("order")
    await instance.raise_event("go")
    await instance.suspend()
    await instance.raise_event("paid", 1)
    await instance.saw("TimerFired")
    assert (await instance.kinds())[-2:] == ["EventRaised", "TimerFired"]
    await instance.resume()
    await instance.raise_event("sent", 2)
    assert await instance.result() == [1, 2]


async def test_a_timeout_and_then_the_event_may_both_be_kept(world: World) -> None:
    @perdure.workflow
    async def order(ctx: WorkflowContext) -> list[Any]:
        await ctx.wait_for_external_event("go")
        try:
            await ctx.wait_for_external_event("paid", 0.02)
        except TimeoutError:
            return ["late", await ctx.wait_for_external_event("paid")]
        return []

    await world.serve(order)
    instance = await world.start("order")
    await instance.raise_event("go")
    await instance.suspend()
    await instance.saw("TimerFired")
    await instance.raise_event("paid", 1)
    await instance.resume()
    assert await instance.result() == ["late", 1]


async def test_an_asyncio_timeout_and_what_it_guards_may_both_be_kept(steady: World) -> None:
    gate = Gate()

    @perdure.activity
    async def slow() -> str:
        await gate.wait()
        return "in time"

    @perdure.workflow
    async def order(ctx: WorkflowContext) -> Any:
        async with asyncio.timeout(0.25):
            return await ctx.call_activity(slow)

    await steady.serve(order, slow)
    instance = await steady.start("order")
    await gate.entered.wait()
    await instance.suspend()
    gate.opened.set()
    await instance.saw("TimerFired")
    assert (await instance.kinds())[-2:] == ["TaskCompleted", "TimerFired"]
    await instance.resume()
    assert await instance.result() == "in time"


async def test_a_child_that_ends_meanwhile_is_kept(world: World) -> None:
    @perdure.workflow
    async def child(ctx: WorkflowContext) -> Any:
        return await ctx.wait_for_external_event("go")

    @perdure.workflow
    async def parent(ctx: WorkflowContext) -> Any:
        return await ctx.call_child_workflow(child, instance_id="c1")

    await world.serve(parent, child)
    instance = await world.start("parent")
    await world.handle("c1").running()
    await instance.suspend()
    await world.handle("c1").raise_event("go", 5)
    assert await world.handle("c1").result() == 5
    await instance.saw("ChildWorkflowInstanceCompleted")
    assert await instance.status() is h.Status.SUSPENDED
    await instance.resume()
    assert await instance.result() == 5


async def test_a_parent_is_suspended_without_its_children(world: World) -> None:
    @perdure.workflow
    async def child(ctx: WorkflowContext) -> Any:
        return await ctx.wait_for_external_event("go")

    @perdure.workflow
    async def parent(ctx: WorkflowContext) -> Any:
        return await ctx.call_child_workflow(child, instance_id="c1")

    await world.serve(parent, child)
    instance = await world.start("parent")
    await world.handle("c1").running()
    await instance.suspend()
    assert await world.handle("c1").status() is h.Status.RUNNING
    await instance.resume()
    await world.handle("c1").raise_event("go", 5)
    assert await instance.result() == 5


async def test_an_event_raised_again_while_suspended_is_one_event(world: World) -> None:
    await world.serve(collects)
    instance = await world.start("collects")
    await instance.suspend()
    for _ in range(3):
        await instance.raise_event("item", 1, idempotency_key="k")
    await instance.resume()
    await instance.raise_event("item", "end")
    assert await instance.result() == [1]


async def test_many_events_while_suspended_are_taken_in_order(world: World) -> None:
    await world.serve(collects)
    instance = await world.start("collects")
    await instance.suspend()
    for number in range(60):
        await world.service.raise_event(instance.id, "item", str(number))
    await instance.resume()
    await instance.raise_event("item", "end")
    assert await instance.result() == list(range(60))
