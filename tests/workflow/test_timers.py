"""Durable timers: never early, exact to the microsecond, and gone when nobody waits for them."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Generator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

import perdure
from perdure import WorkflowContext
from perdure.runtime.workflow import history as h
from tests.support.world import Handle, World

MS = timedelta(milliseconds=1)
END_OF_TIME = datetime(9999, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC)


async def _never_early(instance: Handle) -> None:
    """Every timer that has fired did so in a turn at or after its due time."""
    due: dict[int, int] = {}
    for turn in await instance.turns():
        for event in turn.incoming:
            if isinstance(event, h.TimerFired):
                assert turn.at_us >= due[event.task_id]
        for asked in turn.outgoing:
            if isinstance(asked, h.TimerCreated):
                due[asked.task_id] = asked.fire_at_us


async def test_a_timer_fires_at_its_time_and_not_before(world: World) -> None:
    @perdure.workflow
    async def sleeps(ctx: WorkflowContext) -> list[float]:
        waited = []
        for _ in range(5):
            before = ctx.current_utc_datetime
            await ctx.create_timer(timedelta(microseconds=1500))
            waited.append((ctx.current_utc_datetime - before).total_seconds())
        return waited

    await world.serve(sleeps)
    instance = await world.start("sleeps")
    assert min(await instance.result()) >= 0.0015
    await _never_early(instance)


async def test_the_due_time_keeps_its_microseconds(live: World) -> None:
    @perdure.workflow
    async def sleeps(ctx: WorkflowContext) -> None:
        await ctx.create_timer(timedelta(microseconds=123))
        await asyncio.sleep(0.000321)

    await live.serve(sleeps)
    instance = await live.start("sleeps")
    await instance.result()
    spans = [
        event.fire_at_us - turn.at_us
        for turn in await instance.turns()
        for event in turn.outgoing
        if isinstance(event, h.TimerCreated)
    ]
    assert spans == [123, 321]
    await _never_early(instance)


async def test_a_timer_may_be_set_to_a_point_in_time(world: World) -> None:
    @perdure.workflow
    async def sleeps(ctx: WorkflowContext) -> bool:
        at = ctx.current_utc_datetime + 3 * MS
        await asyncio.gather(ctx.create_timer(at), ctx.create_timer(at.replace(tzinfo=None)))
        return ctx.current_utc_datetime >= at

    await world.serve(sleeps)
    instance = await world.start("sleeps")
    assert await instance.result() is True
    first, second = await instance.of(h.TimerCreated)
    assert first.fire_at_us == second.fire_at_us


@pytest.mark.parametrize(
    "span", [timedelta(0), timedelta(seconds=-5), timedelta.min, datetime(1, 1, 1, tzinfo=UTC)]
)
async def test_a_timer_that_is_due_already_fires_at_once(live: World, span: Any) -> None:
    @perdure.workflow
    async def sleeps(ctx: WorkflowContext) -> str:
        await ctx.create_timer(span)
        return "fired"

    await live.serve(sleeps)
    assert await (await live.start("sleeps")).result() == "fired"


@pytest.mark.parametrize("style", ["timer", "point", "sleep", "infinite", "event", "timeout"])
async def test_a_timer_beyond_all_time_waits_until_the_end_of_it(live: World, style: str) -> None:
    @perdure.workflow
    async def sleeps(ctx: WorkflowContext) -> Any:
        go = ctx.wait_for_external_event("go")
        match style:
            case "timer":
                other: Any = ctx.create_timer(timedelta.max)
            case "point":
                other = ctx.create_timer(END_OF_TIME)
            case "sleep":
                other = asyncio.create_task(asyncio.sleep(1e15))
            case "infinite":
                other = asyncio.create_task(asyncio.sleep(math.inf))
            case "event":
                other = ctx.wait_for_external_event("other", timedelta.max)
            case _:
                async with asyncio.timeout(1e12):
                    return await go
        await go
        return other.done()

    await live.serve(sleeps)
    instance = await live.start("sleeps")
    await instance.running()
    (timer,) = await instance.of(h.TimerCreated)
    assert timer.fire_at_us == 253_402_300_799_999_999
    await instance.raise_event("go")
    assert await instance.result() in (False, None)


async def test_what_is_no_time_is_refused_with_its_value(live: World) -> None:
    @perdure.workflow
    async def sleeps(ctx: WorkflowContext) -> None:
        await ctx.create_timer(5)  # type: ignore[arg-type]

    await live.serve(sleeps)
    failure = await (await live.start("sleeps")).failure()
    assert failure.message == "create_timer takes a datetime or a timedelta, found 5"


async def test_many_timers_fire_in_the_order_of_their_times(world: World) -> None:
    @perdure.workflow
    async def sleeps(ctx: WorkflowContext) -> list[int]:
        order: list[int] = []

        async def one(number: int) -> None:
            await ctx.create_timer(number * 4 * MS)
            order.append(number)

        async with asyncio.TaskGroup() as group:
            for number in (5, 2, 4, 1, 3):
                group.create_task(one(number))
        return order

    await world.serve(sleeps)
    assert await (await world.start("sleeps")).result() == [1, 2, 3, 4, 5]


async def test_the_timers_that_nobody_awaits_go_with_the_instance(world: World) -> None:
    @perdure.workflow
    def sleeps(ctx: WorkflowContext) -> Generator[Any, Any, str]:
        long = [ctx.create_timer(timedelta(hours=n + 1)) for n in range(3)]
        short = ctx.create_timer(MS)
        yield perdure.when_any([*long, short])
        return "done"

    await world.serve(sleeps)
    instance = await world.start("sleeps")
    assert await instance.result() == "done"
    assert world.rows("reminders") == 0


async def test_a_timer_that_is_cancelled_in_its_own_turn_is_never_made(world: World) -> None:
    @perdure.activity
    def quick() -> str:
        return "quick"

    @perdure.workflow
    async def guarded(ctx: WorkflowContext) -> str:
        sleeper = asyncio.create_task(asyncio.sleep(3600))
        await asyncio.sleep(0)
        sleeper.cancel()
        async with asyncio.timeout(3600):
            return str(await ctx.call_activity(quick))

    await world.serve(guarded, quick)
    instance = await world.start("guarded")
    assert await instance.result() == "quick"
    assert len(await instance.of(h.TimerCreated)) == 1
    assert world.rows("reminders") == 0


async def test_a_timer_that_fell_due_while_no_node_ran_fires_at_the_start(live: World) -> None:
    @perdure.workflow
    async def sleeps(ctx: WorkflowContext) -> str:
        await ctx.create_timer(20 * MS)
        return "fired"

    await live.serve(sleeps)
    instance = await live.start("sleeps")
    await instance.running()
    await live.stop()
    due_us = live.now_us() + 20_000
    while live.now_us() < due_us:
        await asyncio.get_running_loop().run_in_executor(None, live.rows, "reminders")
    await live.restart()
    assert await instance.result() == "fired"
    await _never_early(instance)
