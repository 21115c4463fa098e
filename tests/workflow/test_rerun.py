"""Running a finished instance again from one of its events on, as a new instance."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest

import perdure
from perdure import RetryPolicy, WorkflowContext
from perdure.runtime.workflow import history as h
from tests.support.rerunning import Calls, chain, double, rerun, waits
from tests.support.world import Gate, World

# ---- from an activity


async def test_what_was_done_before_the_event_is_not_done_again(steady: World) -> None:
    calls = Calls()
    await steady.serve(chain, calls.add)
    source = await steady.start("chain", 1, instance_id="a")
    assert await source.result() == [1, 2, 3, 4]
    before = await source.turns()
    again = await rerun(steady, "a", 2, new_id="b")
    assert again.id == "b"
    assert await again.result() == [1, 2, 3, 4]
    assert calls.seen == [1, 2, 3, 2, 3]
    assert await source.turns() == before


async def test_the_new_instance_has_an_id_of_its_own_by_default(world: World) -> None:
    await world.serve(chain, Calls().add)
    await (await world.start("chain", 1, instance_id="a")).result()
    first, second = await rerun(world, "a", 1), await rerun(world, "a", 1)
    assert len({"a", first.id, second.id}) == 3
    assert await first.result() == await second.result() == [1, 2, 3, 4]


@pytest.mark.parametrize(("given", "result"), [(10, [1, 2, 11, 12]), (None, [1, 2, 100, 101])])
async def test_the_activity_can_be_given_another_input(
    world: World, given: int | None, result: list[int]
) -> None:
    await world.serve(chain, Calls().add)
    await (await world.start("chain", 1, instance_id="a")).result()
    again = await rerun(world, "a", 2, input=given)
    assert await again.result() == result
    first, second, third = await again.of(h.TaskScheduled)
    assert [first.rerun_of, second.rerun_of, third.rerun_of] == [None, "a", None]


async def test_what_runs_again_has_an_idempotency_key_of_its_own(world: World) -> None:
    await world.serve(chain, Calls().add)
    source = await world.start("chain", 1, instance_id="a")
    await source.result()
    again = await rerun(world, "a", 2, new_id="b")
    await again.result()
    then = [event.execution_id for event in await source.of(h.TaskScheduled)]
    now = [event.execution_id for event in await again.of(h.TaskScheduled)]
    assert now[0] == then[0]
    assert len({*then, *now}) == 5


async def test_all_tries_of_a_call_have_the_new_input_and_key(world: World) -> None:
    seen: list[int] = []

    @perdure.activity
    def fragile(number: int) -> int:
        seen.append(number)
        if len(seen) in (1, 4):
            raise ValueError("not yet")
        return number

    @perdure.workflow
    async def parent(ctx: WorkflowContext) -> int:
        policy = RetryPolicy(
            max_number_of_attempts=3, first_retry_interval=timedelta(milliseconds=1)
        )
        return int(await ctx.call_activity(fragile, input=1, retry_policy=policy))

    await world.serve(parent, fragile)
    source = await world.start("parent", instance_id="a")
    assert await source.result() == 1
    seen.append(0)
    again = await rerun(world, "a", 1, input=7)
    assert await again.result() == 7
    first, second = await again.of(h.TaskScheduled)
    assert (first.input, second.input) == ("7", "7")
    assert first.execution_id == second.execution_id


async def test_what_was_unfinished_at_that_point_runs_again_too(steady: World) -> None:
    gate = Gate()
    ran: list[str] = []

    @perdure.activity
    async def slow(name: str) -> str:
        ran.append(name)
        if name == "slow":
            await gate.wait()
        return name

    @perdure.workflow
    async def parent(ctx: WorkflowContext) -> list[str]:
        first = ctx.call_activity(slow, input="slow")
        child = ctx.call_child_workflow("waits", input="go")
        done = ctx.call_activity(slow, input="done")
        await done
        last = ctx.call_activity(slow, input="last")
        return [await first, await last, await child]

    await steady.serve(parent, slow, waits)
    source = await steady.start("parent", instance_id="a")
    await source.when(lambda row: row.next_seq >= 3)
    gate.opened.set()
    await steady.handle("a:0002").raise_event("go", "went")
    assert await source.result() == ["slow", "last", "went"]
    ran.clear()
    again = await rerun(steady, "a", 4, new_id="b")
    await steady.handle("b:0002").raise_event("go", "went on")
    assert await again.result() == ["slow", "last", "went on"]
    assert sorted(ran) == ["last", "slow"]
    calls = (h.TaskScheduled, h.ChildWorkflowInstanceCreated)
    told = {e.task_id: e.rerun_of for e in await again.events() if isinstance(e, calls)}
    assert told == {1: "a", 2: "a", 3: None, 4: "a"}


async def test_what_the_same_turn_asked_for_comes_with_the_event(steady: World) -> None:
    calls = Calls()

    @perdure.workflow
    async def parent(ctx: WorkflowContext) -> list[int]:
        return list(await asyncio.gather(*[ctx.call_activity(calls.add, input=n) for n in (1, 2)]))

    await steady.serve(parent, calls.add)
    assert await (await steady.start("parent", instance_id="a")).result() == [2, 3]
    for event_id in (1, 2):
        again = await rerun(steady, "a", event_id)
        assert await again.result() == [2, 3]
    assert sorted(calls.seen) == [1, 1, 1, 2, 2, 2]


async def test_an_activity_that_nobody_awaits_is_run_before_the_end(steady: World) -> None:
    calls = Calls()

    @perdure.workflow
    async def parent(ctx: WorkflowContext) -> str:
        ctx.call_activity(calls.add, input=1)
        return "done"

    await steady.serve(parent, calls.add)
    source = await steady.start("parent", instance_id="a")
    assert await source.result() == "done"
    await source.when(lambda row: not row.has_work)
    again = await rerun(steady, "a", 1)
    assert await again.result() == "done"
    assert calls.seen == [1, 1]


# ---- from a timer, from a child


async def test_a_timer_is_due_when_it_was_due(world: World) -> None:
    calls = Calls()

    @perdure.workflow
    async def parent(ctx: WorkflowContext) -> int:
        await ctx.create_timer(timedelta(milliseconds=1))
        return int(await ctx.call_activity(calls.add, input=1))

    await world.serve(parent, calls.add)
    source = await world.start("parent", instance_id="a")
    assert await source.result() == 2
    again = await rerun(world, "a", 1)
    assert await again.result() == 2
    (then,), (now,) = await source.of(h.TimerCreated), await again.of(h.TimerCreated)
    assert (now.fire_at_us, now.rerun_of) == (then.fire_at_us, "a")


async def test_only_timers_that_are_waited_for_run_again(world: World) -> None:
    calls = Calls()

    @perdure.workflow
    async def parent(ctx: WorkflowContext) -> Any:
        await ctx.wait_for_external_event("go", timeout=timedelta(days=1))
        number = await ctx.call_activity(calls.add, input=1)
        more = await ctx.wait_for_external_event("more", timeout=timedelta(days=2))
        return [number, more]

    await world.serve(parent, calls.add)
    source = await world.start("parent", instance_id="a")
    await source.raise_event("go")
    await source.raise_event("more", 1)
    assert await source.result() == [2, 1]
    again = await rerun(world, "a", 2)
    await again.when(lambda row: row.next_seq == 3)
    assert world.rows("reminders") == 1
    await again.raise_event("more", 2)
    assert await again.result() == [2, 2]
    waiting = await rerun(world, "a", 1)
    assert world.rows("reminders") == 1
    await waiting.terminate()


@perdure.workflow
async def mother(ctx: WorkflowContext, number: int) -> list[int]:
    found = [number]
    for _ in range(2):
        found.append(int(await ctx.call_child_workflow("double", input=found[-1])))
    return found


async def test_a_child_runs_again_under_an_id_of_the_new_instance(world: World) -> None:
    await world.serve(mother, double)
    assert await (await world.start("mother", 1, instance_id="a")).result() == [1, 2, 4]
    again = await rerun(world, "a", 2, new_id="b", input=50)
    assert await again.result() == [1, 2, 100]
    assert await world.ids() == ["a", "a:0001", "a:0002", "b", "b:0002"]
    assert (await world.handle("b:0002").row()).parent_id == "b"
    first, second = await again.of(h.ChildWorkflowInstanceCreated)
    assert (first.instance_id, second.instance_id) == ("a:0001", "b:0002")
    assert (first.rerun_of, second.rerun_of) == (None, "a")


async def test_a_child_can_be_given_an_id(world: World) -> None:
    await world.serve(mother, double)
    await (await world.start("mother", 1, instance_id="a")).result()
    again = await rerun(world, "a", 1, new_id="b", child_id="kid")
    assert await again.result() == [1, 2, 4]
    assert await world.ids() == ["a", "a:0001", "a:0002", "b", "kid", "b:0002"]


async def test_the_child_that_runs_again_ends_with_its_parent(world: World) -> None:
    @perdure.workflow
    async def parent(ctx: WorkflowContext) -> Any:
        return await ctx.call_child_workflow(waits, instance_id="fixed")

    await world.serve(parent, waits)
    source = await world.start("parent", instance_id="a")
    await source.running()
    await world.handle("fixed").running()
    await source.terminate()
    await source.finished()
    again = await rerun(world, "a", 1, new_id="b")
    await world.handle("b:0001").running()
    await again.terminate()
    assert (await world.handle("b:0001").finished()).status is h.Status.TERMINATED


async def test_a_try_that_is_run_again_from_its_timer_has_a_key_of_its_own(world: World) -> None:
    """Whoever has carried out the source's try must not take it for that one."""
    failures = [True, True, False, True, False]

    @perdure.activity
    def fragile() -> int:
        if failures.pop(0):
            raise ValueError("not yet")
        return 1

    @perdure.workflow
    async def parent(ctx: WorkflowContext) -> int:
        policy = RetryPolicy(
            max_number_of_attempts=4, first_retry_interval=timedelta(milliseconds=1)
        )
        return int(await ctx.call_activity(fragile, retry_policy=policy))

    await world.serve(parent, fragile)
    source = await world.start("parent", instance_id="a")
    assert await source.result() == 1
    again = await rerun(world, "a", 2, new_id="b")
    assert await again.result() == 1
    first, *tries = await again.of(h.TaskScheduled)
    assert {event.execution_id for event in await source.of(h.TaskScheduled)} == {
        first.execution_id
    }
    (key,) = {event.execution_id for event in tries}
    assert key != first.execution_id
    timers = await again.of(h.TimerCreated)
    assert [timer.origin for timer in timers] == [f"activityRetry:{key}"] * 2
