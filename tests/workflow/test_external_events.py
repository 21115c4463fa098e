"""External events: buffered, in order, ignoring case, with and without a timeout."""

from __future__ import annotations

import asyncio
from collections.abc import Generator
from datetime import timedelta
from typing import Any

import pytest

import perdure
from perdure import WorkflowContext
from perdure.runtime.workflow import history as h
from tests.support.world import World


async def test_an_event_completes_the_wait_with_its_data(world: World) -> None:
    @perdure.workflow
    async def order(ctx: WorkflowContext) -> Any:
        return await ctx.wait_for_external_event("paid")

    await world.serve(order)
    instance = await world.start("order")
    await instance.running()
    await instance.raise_event("paid", {"amount": 5})
    assert await instance.result() == {"amount": 5}


async def test_an_event_without_data_is_none(world: World) -> None:
    @perdure.workflow
    async def order(ctx: WorkflowContext) -> bool:
        return (await ctx.wait_for_external_event("paid")) is None

    await world.serve(order)
    instance = await world.start("order")
    await instance.raise_event("paid")
    assert await instance.result() is True


async def test_events_that_nobody_waits_for_yet_are_kept_in_their_order(world: World) -> None:
    @perdure.workflow
    async def order(ctx: WorkflowContext) -> list[Any]:
        await ctx.wait_for_external_event("begin")
        return [await ctx.wait_for_external_event("item") for _ in range(3)]

    await world.serve(order)
    instance = await world.start("order")
    for number in range(3):
        await instance.raise_event("item", number)
    await instance.raise_event("begin")
    assert await instance.result() == [0, 1, 2]


async def test_events_raised_right_after_the_start_are_kept(world: World) -> None:
    @perdure.workflow
    async def order(ctx: WorkflowContext) -> list[Any]:
        return [await ctx.wait_for_external_event("item") for _ in range(2)]

    await world.serve(order)
    await asyncio.gather(
        world.service.start("order", instance_id="o1"),
        world.service.raise_event("o1", "item", "1"),
        world.service.raise_event("o1", "item", "2"),
    )
    assert await world.handle("o1").result() == [1, 2]


async def test_names_of_events_are_compared_ignoring_case(world: World) -> None:
    @perdure.workflow
    async def order(ctx: WorkflowContext) -> list[Any]:
        first = await ctx.wait_for_external_event("ApproVal")
        return [first, await ctx.wait_for_external_event("STRASSE")]

    await world.serve(order)
    instance = await world.start("order")
    await instance.raise_event("approVAL", 1)
    await instance.raise_event("straße", 2)
    assert await instance.result() == [1, 2]


async def test_one_event_completes_the_oldest_of_two_waits(world: World) -> None:
    @perdure.workflow
    async def order(ctx: WorkflowContext) -> list[Any]:
        first = ctx.wait_for_external_event("item")
        second = ctx.wait_for_external_event("item")
        await ctx.wait_for_external_event("look")
        seen = [first.is_complete, second.is_complete]
        return [*seen, await first, await second]

    await world.serve(order)
    instance = await world.start("order")
    await instance.raise_event("item", "a")
    await instance.raise_event("look")
    await instance.raise_event("item", "a")
    assert await instance.result() == [True, False, "a", "a"]


async def test_two_equal_events_are_two_events(world: World) -> None:
    @perdure.workflow
    async def order(ctx: WorkflowContext) -> list[Any]:
        return [await ctx.wait_for_external_event("item") for _ in range(2)]

    await world.serve(order)
    instance = await world.start("order")
    await instance.raise_event("item", "same")
    await instance.raise_event("item", "same")
    assert await instance.result() == ["same", "same"]


async def test_an_event_raised_again_with_its_key_is_one_event(world: World) -> None:
    @perdure.workflow
    async def order(ctx: WorkflowContext) -> list[Any]:
        return [await ctx.wait_for_external_event("item") for _ in range(2)]

    await world.serve(order)
    instance = await world.start("order")
    for data in ("first", "again", "again"):
        await instance.raise_event("item", data, idempotency_key="k1")
    await instance.raise_event("item", "last", idempotency_key="k2")
    assert await instance.result() == ["first", "last"]
    assert len(await instance.of(h.EventRaised)) == 2


async def test_a_wait_times_out_when_nothing_comes(world: World) -> None:
    @perdure.workflow
    async def order(ctx: WorkflowContext) -> str:
        try:
            await ctx.wait_for_external_event("paid", timedelta(milliseconds=5))
        except TimeoutError as error:
            return str(error)
        return "paid"

    await world.serve(order)
    instance = await world.start("order")
    assert await instance.result() == "no event 'paid' arrived in time"
    (timer,) = await instance.of(h.TimerCreated)
    assert timer.origin == "externalEvent:paid"


async def test_a_wait_that_timed_out_takes_no_later_event(world: World) -> None:
    @perdure.workflow
    async def order(ctx: WorkflowContext) -> Any:
        try:
            await ctx.wait_for_external_event("paid", 0.002)
        except TimeoutError:
            ctx.set_custom_status("late")
        return await ctx.wait_for_external_event("PAID")

    await world.serve(order)
    instance = await world.start("order")
    await instance.when(lambda row: row.custom_status == "late")
    await instance.raise_event("paid", 3)
    assert await instance.result() == 3


async def test_an_event_in_time_removes_the_timer_of_its_wait(world: World) -> None:
    @perdure.workflow
    async def order(ctx: WorkflowContext) -> Any:
        paid = await ctx.wait_for_external_event("paid", timedelta(hours=1))
        await ctx.wait_for_external_event("end")
        return paid

    await world.serve(order)
    instance = await world.start("order")
    await instance.running()
    assert world.rows("reminders") == 1
    await instance.raise_event("paid", 1)
    assert world.rows("reminders") == 0
    await instance.raise_event("end")
    assert await instance.result() == 1


async def test_an_event_removes_only_the_timer_of_the_wait_that_it_completes(world: World) -> None:
    @perdure.workflow
    async def order(ctx: WorkflowContext) -> list[Any]:
        plain = ctx.create_timer(timedelta(hours=1))
        first = ctx.wait_for_external_event("item", timedelta(hours=1))
        second = ctx.wait_for_external_event("item", timedelta(hours=2))
        got = await first
        await ctx.wait_for_external_event("look")
        return [got, second.is_complete, plain.is_complete]

    await world.serve(order)
    instance = await world.start("order")
    await instance.running()
    assert world.rows("reminders") == 3
    await instance.raise_event("Item", 1)
    assert world.rows("reminders") == 2
    await instance.raise_event("look")
    assert await instance.result() == [1, False, False]


async def test_a_timeout_of_zero_takes_only_what_is_there(world: World) -> None:
    @perdure.workflow
    async def order(ctx: WorkflowContext) -> list[Any]:
        await ctx.wait_for_external_event("begin")
        taken = await ctx.wait_for_external_event("item", 0)
        try:
            await ctx.wait_for_external_event("item", timedelta(0))
        except TimeoutError:
            return [taken]
        return []

    await world.serve(order)
    instance = await world.start("order")
    await instance.raise_event("item", 1)
    await instance.raise_event("begin")
    assert await instance.result() == [1]
    assert await instance.of(h.TimerCreated) == []


@pytest.mark.parametrize("span", [None, -1, -0.0001, timedelta(days=-1)])
async def test_a_negative_timeout_waits_for_ever(live: World, span: Any) -> None:
    @perdure.workflow
    async def order(ctx: WorkflowContext) -> Any:
        return await ctx.wait_for_external_event("item", span)

    await live.serve(order)
    instance = await live.start("order")
    await instance.running()
    assert live.rows("reminders") == 0
    await instance.raise_event("item", 1)
    assert await instance.result() == 1


async def test_a_timeout_below_a_millisecond_is_a_timeout(live: World) -> None:
    @perdure.workflow
    async def order(ctx: WorkflowContext) -> str:
        try:
            await ctx.wait_for_external_event("item", timedelta(microseconds=400))
        except TimeoutError:
            return "late"
        return ""

    await live.serve(order)
    instance = await live.start("order")
    assert await instance.result() == "late"
    (timer,) = await instance.of(h.TimerCreated)
    assert timer.fire_at_us == (await instance.turns())[0].at_us + 400


async def test_a_cancelled_wait_takes_no_event(world: World) -> None:
    @perdure.workflow
    async def order(ctx: WorkflowContext) -> Any:
        try:
            await asyncio.wait_for(ctx.wait_for_external_event("item"), 0.002)
        except TimeoutError:
            ctx.set_custom_status("gave up")
        return await ctx.wait_for_external_event("item")

    await world.serve(order)
    instance = await world.start("order")
    await instance.when(lambda row: row.custom_status == "gave up")
    await instance.raise_event("item", 4)
    assert await instance.result() == 4


async def test_the_first_of_an_event_and_a_timer_wins(world: World) -> None:
    @perdure.workflow
    def order(ctx: WorkflowContext) -> Generator[Any, Any, Any]:
        paid = ctx.wait_for_external_event("paid")
        late = ctx.create_timer(timedelta(hours=1))
        winner = yield perdure.when_any([paid, late])
        return [winner is paid, paid.get_result()]

    await world.serve(order)
    instance = await world.start("order")
    await instance.raise_event("paid", 9)
    assert await instance.result() == [True, 9]


async def test_a_loop_of_waits_with_timeouts_and_activities_loses_nothing(world: World) -> None:
    @perdure.activity
    def handle(item: int) -> int:
        return item

    @perdure.workflow
    async def agent(ctx: WorkflowContext) -> list[int]:
        handled: list[int] = []
        while len(handled) < 12:
            try:
                item = await ctx.wait_for_external_event("item", 0.001)
            except TimeoutError:
                continue
            handled.append(await ctx.call_activity(handle, input=item))
        return handled

    await world.serve(agent, handle)
    instance = await world.start("agent")
    for number in range(12):
        await world.service.raise_event(instance.id, "item", str(number))
    assert await instance.result() == list(range(12))


async def test_the_data_becomes_what_the_wait_asks_for_or_says_what_is_wrong(world: World) -> None:
    @perdure.workflow
    async def order(ctx: WorkflowContext) -> list[Any]:
        span = await ctx.wait_for_external_event("span", data_type=timedelta)
        try:
            await ctx.wait_for_external_event("count", data_type=int)
        except Exception as error:
            return [span.total_seconds(), type(error).__name__, str(error)]
        return []

    await world.serve(order)
    instance = await world.start("order")
    await instance.raise_event("span", timedelta(seconds=3))
    await instance.raise_event("count", "three")
    assert await instance.result() == [
        3,
        "PayloadError",
        "data of event 'count' does not fit int: Expected `int`, got `str`",
    ]
