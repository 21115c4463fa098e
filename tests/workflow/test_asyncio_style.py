"""`async def` workflows with asyncio as it is: the same live and in every replay."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest

import perdure
from perdure import TaskFailedError, WorkflowContext
from perdure.runtime.workflow import history as h
from tests.support.world import World

MS = timedelta(milliseconds=1)


@perdure.activity
def echo(value: Any) -> Any:
    return value


@perdure.activity
def fails(value: Any) -> Any:
    raise ValueError(f"no {value}")


async def test_gather_keeps_the_order_of_its_calls(world: World) -> None:
    @perdure.workflow
    async def order(ctx: WorkflowContext) -> list[Any]:
        calls = [ctx.call_activity(echo, input=n) for n in range(5)]
        return list(await asyncio.gather(*calls, ctx.create_timer(MS)))

    await world.serve(order, echo)
    assert await (await world.start("order")).result() == [0, 1, 2, 3, 4, None]


async def test_gather_may_return_exceptions(world: World) -> None:
    @perdure.workflow
    async def order(ctx: WorkflowContext) -> list[str]:
        calls = [ctx.call_activity(fails, input=1), ctx.call_activity(echo, input=2)]
        results = await asyncio.gather(*calls, return_exceptions=True)
        return [type(result).__name__ for result in results]

    await world.serve(order, echo, fails)
    assert await (await world.start("order")).result() == ["TaskFailedError", "int"]


async def test_a_task_group_runs_its_tasks_side_by_side(world: World) -> None:
    @perdure.workflow
    async def order(ctx: WorkflowContext) -> list[Any]:
        async def step(number: int) -> int:
            number = await ctx.call_activity(echo, input=number)
            await asyncio.sleep(0.001)
            return int(await ctx.call_activity(echo, input=number * 10))

        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(step(n)) for n in range(4)]
            bare: Any = group.create_task(ctx.call_activity(echo, input="bare"))  # type: ignore[arg-type]
        return [*[task.result() for task in tasks], bare.result()]

    await world.serve(order, echo)
    assert await (await world.start("order")).result() == [0, 10, 20, 30, "bare"]


async def test_a_failure_in_a_task_group_cancels_the_others_which_may_clean_up(
    world: World,
) -> None:
    @perdure.workflow
    async def order(ctx: WorkflowContext) -> list[Any]:
        undone: list[int] = []

        async def step(number: int) -> None:
            try:
                await ctx.wait_for_external_event("never")
            except asyncio.CancelledError:
                undone.append(number)
                await ctx.call_activity(echo, input=number)
                raise

        try:
            async with asyncio.TaskGroup() as group:
                for number in range(12):
                    group.create_task(step(number))
                await ctx.call_activity(fails, input="more")
        except ExceptionGroup as errors:
            (error,) = errors.exceptions
            assert isinstance(error, TaskFailedError)
            return [error.details.message, undone]
        return []

    await world.serve(order, echo, fails)
    instance = await world.start("order")
    assert await instance.result() == ["no more", list(range(12))]


async def test_an_unhandled_failure_of_a_task_group_fails_the_workflow(world: World) -> None:
    @perdure.workflow
    async def order(ctx: WorkflowContext) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(ctx.call_activity(fails, input="more"))  # type: ignore[arg-type]

    await world.serve(order, fails)
    failure = await (await world.start("order")).failure()
    assert failure.error_type == "ExceptionGroup"
    assert failure.inner is not None
    assert failure.inner.error_type == "TaskFailedError"


async def test_timeout_and_wait_for_are_durable(world: World) -> None:
    @perdure.workflow
    async def order(ctx: WorkflowContext) -> list[Any]:
        seen: list[Any] = []
        try:
            async with asyncio.timeout(0.002):
                await ctx.wait_for_external_event("never")
        except TimeoutError:
            seen.append("timeout")
        try:
            await asyncio.wait_for(ctx.wait_for_external_event("never"), 0.002)
        except TimeoutError:
            seen.append("wait_for")
        async with asyncio.timeout(3600):
            seen.append(await ctx.call_activity(echo, input=1))
        seen.append(await asyncio.wait_for(ctx.call_activity(echo, input=2), 3600))
        return seen

    await world.serve(order, echo)
    assert await (await world.start("order")).result() == ["timeout", "wait_for", 1, 2]
    assert world.rows("reminders") == 0


async def test_wait_gives_sets_whose_order_is_the_same_in_every_replay(world: World) -> None:
    @perdure.workflow
    async def order(ctx: WorkflowContext) -> list[Any]:
        async def step(number: int) -> int:
            await asyncio.sleep(0.001 if number % 2 else 3600)
            return number

        tasks = [asyncio.create_task(step(n)) for n in range(10)]
        done, pending = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        while len(done) < 5:
            more, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
            done |= more
        for task in pending:
            task.cancel()
            await ctx.call_activity(echo, input=tasks.index(task))
        return sorted([task.result() for task in done])

    await world.serve(order, echo)
    assert await (await world.start("order")).result() == [1, 3, 5, 7, 9]


async def test_as_completed_over_tasks_gives_them_as_they_come(world: World) -> None:
    @perdure.workflow
    async def order(ctx: WorkflowContext) -> list[Any]:
        async def step(number: int) -> int:
            await ctx.create_timer(number * 3 * MS)
            return int(await ctx.call_activity(echo, input=number))

        tasks = [asyncio.create_task(step(number)) for number in (3, 1, 2)]
        return [await each for each in asyncio.as_completed(tasks)]

    await world.serve(order, echo)
    assert await (await world.start("order")).result() == [1, 2, 3]


async def test_as_completed_over_coroutines_is_refused_with_the_way_out(live: World) -> None:
    """It would start them in the order of their addresses: another one in every replay."""

    @perdure.workflow
    async def order(ctx: WorkflowContext) -> list[Any]:
        async def step(number: int) -> Any:
            return await ctx.call_activity(echo, input=number)

        steps = [step(1), step(2)]
        try:
            return [await each for each in asyncio.as_completed(steps)]
        finally:
            for unbegun in steps:
                unbegun.close()  # Python warns of those that were never awaited.

    await live.serve(order, echo)
    failure = await (await live.start("order")).failure()
    assert failure.error_type == "NotInWorkflow"
    assert "test_asyncio_style.py:" in failure.message
    assert "asyncio.create_task" in failure.message


async def test_a_shielded_call_outlives_the_cancellation_around_it(world: World) -> None:
    @perdure.workflow
    async def order(ctx: WorkflowContext) -> list[Any]:
        inner = asyncio.ensure_future(ctx.wait_for_external_event("late"))
        try:
            await asyncio.wait_for(asyncio.shield(inner), 0.002)
        except TimeoutError:
            return ["shielded", await inner]
        return []

    await world.serve(order)
    instance = await world.start("order")
    await instance.saw("TimerFired")
    await instance.raise_event("late", 7)
    assert await instance.result() == ["shielded", 7]


async def test_event_queue_lock_semaphore_and_condition_work(world: World) -> None:
    @perdure.workflow
    async def order(ctx: WorkflowContext) -> list[Any]:
        queue: asyncio.Queue[int] = asyncio.Queue(maxsize=2)
        ready, lock, slots = asyncio.Event(), asyncio.Lock(), asyncio.Semaphore(2)
        condition = asyncio.Condition()
        taken: list[int] = []

        async def produce() -> None:
            await ready.wait()
            for number in range(6):
                await queue.put(await ctx.call_activity(echo, input=number))

        async def consume() -> None:
            while len(taken) < 6:
                number = await queue.get()
                async with slots, lock:
                    await asyncio.sleep(0.001)
                    taken.append(number)
                async with condition:
                    condition.notify_all()

        async with asyncio.TaskGroup() as group:
            group.create_task(produce())
            group.create_task(consume())
            ready.set()
            async with condition:
                await condition.wait_for(lambda: len(taken) >= 3)
        return taken

    await world.serve(order, echo)
    assert await (await world.start("order")).result() == [0, 1, 2, 3, 4, 5]


async def test_tasks_in_the_background_end_with_the_workflow(world: World) -> None:
    cleaned: list[str] = []

    @perdure.workflow
    async def order(ctx: WorkflowContext) -> str:
        async def background() -> None:
            try:
                while True:
                    await asyncio.sleep(3600)
            finally:
                cleaned.append("up")

        ctx_task = asyncio.create_task(background())
        await ctx.create_timer(MS)
        return f"{ctx_task.done()}"

    await world.serve(order)
    assert await (await world.start("order")).result() == "False"
    assert world.rows("reminders") == 0
    assert "up" in cleaned


async def test_a_workflow_may_cancel_its_own_tasks(world: World) -> None:
    @perdure.workflow
    async def order(ctx: WorkflowContext) -> list[Any]:
        call = ctx.call_activity(echo, input=1)
        assert call.cancel()
        sleeper = asyncio.create_task(asyncio.sleep(3600))
        await ctx.create_timer(MS)
        sleeper.cancel()
        results = await asyncio.gather(call, sleeper, return_exceptions=True)
        return [type(result).__name__ for result in results]

    await world.serve(order, echo)
    instance = await world.start("order")
    assert await instance.result() == ["CancelledError", "CancelledError"]


async def test_a_cancellation_that_nobody_catches_fails_the_workflow(world: World) -> None:
    @perdure.workflow
    async def order(ctx: WorkflowContext) -> None:
        call = ctx.create_timer(timedelta(hours=1))
        call.cancel()
        await call

    await world.serve(order)
    assert (await (await world.start("order")).failure()).error_type == "CancelledError"


async def test_when_any_and_when_all_can_be_awaited(world: World) -> None:
    @perdure.workflow
    async def order(ctx: WorkflowContext) -> list[Any]:
        late, soon = ctx.create_timer(timedelta(hours=1)), ctx.create_timer(MS)
        winner = await perdure.when_any([late, soon])
        both = await perdure.when_all([ctx.call_activity(echo, input=n) for n in range(2)])
        return [winner is soon, *both]

    await world.serve(order, echo)
    assert await (await world.start("order")).result() == [True, 0, 1]


async def test_the_clock_of_the_loop_is_the_logical_time(world: World) -> None:
    @perdure.workflow
    async def order(ctx: WorkflowContext) -> list[Any]:
        loop = asyncio.get_running_loop()
        same = []
        for _ in range(3):
            same.append(abs(loop.time() - ctx.current_utc_datetime.timestamp()) < 1e-5)
            await asyncio.sleep(0.001)
        return same

    await world.serve(order)
    assert await (await world.start("order")).result() == [True, True, True]


async def test_async_generators_work_and_end_with_their_workflow(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    @perdure.workflow
    async def order(ctx: WorkflowContext) -> list[Any]:
        async def items() -> AsyncIterator[Any]:
            try:
                for number in range(10):
                    yield await ctx.call_activity(echo, input=number)
            finally:
                await ctx.call_activity(echo, input="cleanup")

        found = []
        async for item in items():
            found.append(item)
            if item == 2:
                break
        await ctx.create_timer(MS)
        return found

    await world.serve(order, echo)
    instance = await world.start("order")
    assert await instance.result() == [0, 1, 2]
    await world.stop()
    await asyncio.sleep(0)
    assert "attached to a different loop" not in caplog.text
    await world.restart()


async def test_many_steps_in_many_tasks_replay_alike(world: World) -> None:
    @perdure.workflow
    async def order(ctx: WorkflowContext) -> int:
        total = 0

        async def worker(number: int) -> None:
            nonlocal total
            for step in range(3):
                product = await ctx.call_activity(echo, input=number * step)
                total += product
                await asyncio.sleep(0.0005 * (number % 3))

        await asyncio.gather(*[worker(number) for number in range(12)])
        return total

    await world.serve(order, echo)
    instance = await world.start("order")
    assert await instance.result() == sum(n * step for n in range(12) for step in range(3))
    asked = [event.task_id for event in await instance.of(h.TaskScheduled)]
    assert asked == sorted(asked)


async def test_a_callback_that_asks_a_cancelled_task_for_its_result_harms_nobody(
    world: World,
) -> None:
    @perdure.workflow
    async def careless(ctx: WorkflowContext) -> str:
        task = asyncio.create_task(asyncio.sleep(3600))
        task.add_done_callback(lambda done: done.result())  # Which raises `CancelledError`.
        await ctx.wait_for_external_event("go")
        task.cancel()
        await asyncio.sleep(0)
        return "done"

    await world.serve(careless)
    instance = await world.start("careless")
    await instance.raise_event("go")
    assert await instance.result() == "done"
