"""Activities: how often they run, what they may do, and how they fail."""

from __future__ import annotations

import asyncio
import contextvars
import sys
import threading
from collections import Counter
from datetime import timedelta
from typing import Any

import pytest

import perdure
from perdure import ActivityContext, TaskFailedError, WorkflowContext
from perdure.runtime.workflow import history as h
from tests.support.world import Gate, World


def _catching(activity: Any, **options: Any) -> Any:
    """A workflow that returns how a call of an activity failed."""

    @perdure.workflow(name="catches")
    async def catches(ctx: WorkflowContext) -> list[str]:
        try:
            await ctx.call_activity(activity, **options)
        except TaskFailedError as error:
            return [error.details.error_type, error.details.message]
        return []

    return catches


async def test_unawaited_activities_all_run_though_the_workflow_has_ended(steady: World) -> None:
    counter: Counter[int] = Counter()
    gate = Gate()

    @perdure.activity
    async def note(number: int) -> None:
        await gate.wait()
        counter[number] += 1

    @perdure.workflow
    async def scatters(ctx: WorkflowContext) -> str:
        for number in range(30):
            ctx.call_activity(note, input=number)
        return "done"

    await steady.serve(scatters, note)
    instance = await steady.start("scatters")
    assert await instance.result() == "done"
    gate.opened.set()
    await instance.when(lambda row: not row.has_work)
    assert counter == Counter(range(30))


async def test_unawaited_activities_run_after_a_restart_too(live: World) -> None:
    gate = Gate()
    counter: Counter[int] = Counter()

    @perdure.activity
    async def note(number: int) -> None:
        await gate.wait()
        counter[number] += 1

    @perdure.workflow
    async def scatters(ctx: WorkflowContext) -> str:
        for number in range(3):
            ctx.call_activity(note, input=number)
        return "done"

    await live.serve(scatters, note)
    instance = await live.start("scatters")
    assert await instance.result() == "done"
    await gate.entered.wait()
    await live.restart()
    gate.opened.set()
    row = await instance.when(lambda row: not row.has_work)
    assert (row.status, row.output) == (h.Status.COMPLETED, '"done"')
    assert counter == Counter(range(3))


@pytest.mark.parametrize("width", [200, 700])
async def test_each_activity_of_a_fan_out_runs_exactly_once(steady: World, width: int) -> None:
    """Also if all of them answer at once while the instance is not in memory."""
    counter: Counter[int] = Counter()
    everybody, go = asyncio.Event(), asyncio.Event()

    @perdure.activity
    async def note(number: int) -> int:
        counter[number] += 1
        if len(counter) == width:
            everybody.set()
        await go.wait()
        return number

    @perdure.workflow
    async def fans_out(ctx: WorkflowContext) -> int:
        calls = [ctx.call_activity(note, input=n) for n in range(width)]
        return sum(await asyncio.gather(*calls))

    await steady.serve(fans_out, note, activity_concurrency=1000)
    instance = await steady.start("fans_out")
    await everybody.wait()
    go.set()
    assert await instance.result() == sum(range(width))
    assert counter == Counter(range(width))


async def test_an_activity_that_is_running_is_not_started_again_by_an_eviction(
    steady: World,
) -> None:
    gate = Gate()

    @perdure.activity
    async def slow() -> str:
        await gate.wait()
        return "slow"

    @perdure.workflow
    async def order(ctx: WorkflowContext) -> Any:
        result = ctx.call_activity(slow)
        for _ in range(3):
            await ctx.wait_for_external_event("poke")
        return await result

    await steady.serve(order, slow)
    instance = await steady.start("order")
    await gate.entered.wait()
    for _ in range(3):
        await instance.raise_event("poke")
    gate.opened.set()
    assert await instance.result() == "slow"
    assert gate.count == 1


async def test_an_activity_that_was_cut_off_by_a_restart_runs_again(live: World) -> None:
    gate = Gate()

    @perdure.activity
    async def slow() -> str:
        await gate.wait()
        return "slow"

    @perdure.workflow
    async def order(ctx: WorkflowContext) -> Any:
        return await ctx.call_activity(slow)

    await live.serve(order, slow)
    instance = await live.start("order")
    await gate.entered.wait()
    await live.restart()
    gate.opened.set()
    assert await instance.result() == "slow"
    assert gate.count == 2


async def test_an_activity_knows_for_whom_it_works(world: World) -> None:
    @perdure.activity
    def tells(ctx: ActivityContext) -> list[Any]:
        return [ctx.workflow_id, ctx.workflow_name, ctx.activity_name, ctx.task_id]

    @perdure.workflow
    async def order(ctx: WorkflowContext) -> Any:
        return await ctx.call_activity(tells)

    await world.serve(order, tells)
    instance = await world.start("order", instance_id="o1")
    assert await instance.result() == ["o1", "order", "tells", 1]


async def test_a_plain_activity_runs_in_a_thread_of_its_own(live: World) -> None:
    threads: list[bool] = []

    @perdure.activity
    def works() -> None:
        threads.append(threading.current_thread() is threading.main_thread())

    @perdure.workflow
    async def order(ctx: WorkflowContext) -> Any:
        return await ctx.call_activity(works)

    await live.serve(order, works)
    await (await live.start("order")).result()
    assert threads == [False]


async def test_an_activity_may_be_limited_in_time(world: World) -> None:
    @perdure.activity
    async def hangs() -> None:
        await asyncio.get_running_loop().create_future()

    await world.serve(_catching(hangs, timeout=timedelta(milliseconds=5)), hangs)
    assert await (await world.start("catches")).result() == [
        "TaskActivityTimeout",
        "activity 'hangs' did not finish within its timeout of 0.005 s",
    ]


async def test_a_timeout_of_the_activitys_own_is_its_own_failure(world: World) -> None:
    @perdure.activity
    async def late() -> None:
        raise TimeoutError("the bank did not answer")

    await world.serve(_catching(late, timeout=60), late)
    assert await (await world.start("catches")).result() == [
        "TimeoutError",
        "the bank did not answer",
    ]


async def test_an_activity_that_cancels_itself_has_failed(world: World) -> None:
    @perdure.activity
    async def cancels() -> None:
        raise asyncio.CancelledError("inner task was cancelled")

    await world.serve(_catching(cancels), cancels)
    result = await (await world.start("catches")).result()
    assert result == ["CancelledError", "inner task was cancelled"]


@pytest.mark.parametrize("kind", ["async", "plain"])
async def test_an_activity_that_exits_has_failed(live: World, kind: str) -> None:
    @perdure.activity
    def plain() -> None:
        sys.exit(3)

    @perdure.activity
    async def asynchronous() -> None:
        sys.exit(3)

    leaves = plain if kind == "plain" else asynchronous
    await live.serve(_catching(leaves), leaves)
    error_type, message = await (await live.start("catches")).result()
    assert error_type in ("SystemExit", "RuntimeError")
    assert "3" in message


@pytest.mark.parametrize("kind", ["async", "plain"])
async def test_an_activity_that_raises_stop_iteration_has_failed(live: World, kind: str) -> None:
    @perdure.activity
    def plain() -> None:
        raise StopIteration("the end")

    @perdure.activity
    async def asynchronous() -> None:
        raise StopIteration("the end")

    stops = plain if kind == "plain" else asynchronous
    await live.serve(_catching(stops), stops)
    error_type, message = await (await live.start("catches")).result()
    assert error_type == "RuntimeError"
    assert "StopIteration" in message


async def test_an_error_that_cannot_be_shown_is_a_failure_all_the_same(world: World) -> None:
    class Broken(Exception):
        def __str__(self) -> str:
            raise ValueError("cannot say")

    @perdure.activity
    def breaks() -> None:
        raise Broken

    await world.serve(_catching(breaks), breaks)
    assert await (await world.start("catches")).result() == [
        "Broken",
        "<exception str() failed>",
    ]


async def test_a_result_that_is_no_json_is_a_failure(world: World) -> None:
    @perdure.activity
    def strange() -> Any:
        return object()

    await world.serve(_catching(strange), strange)
    error_type, message = await (await world.start("catches")).result()
    assert error_type == "PayloadError"
    assert message.startswith("result of activity 'strange' cannot be stored as JSON: found object")


async def test_an_input_that_is_no_json_fails_at_the_call(world: World) -> None:
    @perdure.activity
    def echo(value: Any) -> Any:
        return value

    @perdure.workflow
    async def order(ctx: WorkflowContext) -> str:
        try:
            await ctx.call_activity(echo, input=object())
        except Exception as error:
            return f"{type(error).__name__}: {error}"
        return ""

    await world.serve(order, echo)
    result = await (await world.start("order")).result()
    assert result.startswith("PayloadError: input of activity 'echo' cannot be stored as JSON")


async def test_an_input_that_does_not_fit_the_hint_fails_the_activity(world: World) -> None:
    @perdure.activity
    def double(number: int) -> int:
        return number * 2

    await world.serve(_catching(double, input="two"), double)
    assert await (await world.start("catches")).result() == [
        "PayloadError",
        "input of activity 'double' does not fit int: Expected `int`, got `str`",
    ]


async def test_no_more_activities_run_at_once_than_is_allowed(live: World) -> None:
    gate = Gate()

    @perdure.activity
    async def slow(number: int) -> int:
        await gate.wait()
        return number

    @perdure.workflow
    async def many(ctx: WorkflowContext) -> Any:
        return await asyncio.gather(*[ctx.call_activity(slow, input=n) for n in range(7)])

    await live.serve(many, slow, activity_concurrency=3)
    instance = await live.start("many")
    await gate.entered.wait()
    runner = live.node.engine.tenure.activities
    assert (runner.running, runner.waiting, gate.count) == (3, 4, 3)
    gate.opened.set()
    assert await instance.result() == list(range(7))


async def test_a_timeout_must_be_above_zero(live: World) -> None:
    @perdure.activity
    def echo(value: Any) -> Any:
        return value

    @perdure.workflow
    async def order(ctx: WorkflowContext) -> None:
        await ctx.call_activity(echo, timeout=-1)

    await live.serve(order, echo)
    failure = await (await live.start("order")).failure()
    assert failure.message == "timeout of activity 'echo' must be above 0, found -1"


async def test_what_a_plain_activity_sets_in_its_context_stays_there(live: World) -> None:
    name = contextvars.ContextVar("name", default="nobody")

    @perdure.activity
    def sets() -> str:
        before = name.get()
        name.set("somebody")
        return before

    @perdure.workflow
    async def order(ctx: WorkflowContext) -> list[Any]:
        return [await ctx.call_activity(sets), await ctx.call_activity(sets), name.get()]

    await live.serve(order, sets)
    assert await (await live.start("order")).result() == ["nobody", "nobody", "nobody"]


async def test_the_timeout_of_an_activity_does_not_count_the_wait_for_a_thread(
    live: World,
) -> None:
    gate = threading.Event()

    @perdure.activity
    def holds_the_thread() -> None:
        gate.wait()

    @perdure.activity
    def quick() -> str:
        return "done"

    @perdure.activity
    async def let_go() -> None:
        gate.set()

    @perdure.workflow
    async def order(ctx: WorkflowContext) -> Any:
        holding = ctx.call_activity(holds_the_thread)
        waiting = ctx.call_activity(quick, timeout=0.05)
        await ctx.create_timer(timedelta(milliseconds=100))
        await ctx.call_activity(let_go)
        await holding
        return await waiting

    await live.serve(order, holds_the_thread, quick, let_go, activity_threads=1)
    assert await (await live.start("order")).result() == "done"
