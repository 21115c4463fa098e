"""Terminate: in every state, with and without the children, and what it leaves behind."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import perdure
from perdure import WorkflowContext
from perdure.runtime.workflow import history as h
from tests.support.world import Gate, Handle, World


@perdure.workflow
async def waits(ctx: WorkflowContext) -> Any:
    return await ctx.wait_for_external_event("go")


async def _is_terminated(instance: Handle, output: str | None = None) -> None:
    row = await instance.row()
    assert (row.status, row.output, row.failure) == (h.Status.TERMINATED, output, None)


async def test_an_instance_that_waits_for_an_event_is_terminated_with_the_given_output(
    world: World,
) -> None:
    await world.serve(waits)
    instance = await world.start("waits")
    await instance.running()
    await instance.terminate({"by": "me"})
    await _is_terminated(instance, '{"by":"me"}')
    assert (await instance.kinds())[-2:] == ["ExecutionTerminated", "ExecutionCompleted"]


async def test_an_instance_that_waits_for_timers_leaves_none_of_them(world: World) -> None:
    @perdure.workflow
    async def sleeps(ctx: WorkflowContext) -> None:
        timers = [ctx.create_timer(timedelta(hours=n + 1)) for n in range(3)]
        await asyncio.gather(*timers, ctx.wait_for_external_event("go", 3600))

    await world.serve(sleeps)
    instance = await world.start("sleeps")
    await instance.running()
    assert world.rows("reminders") == 4
    await instance.terminate()
    await _is_terminated(instance)
    assert world.rows("reminders") == 0


async def test_a_suspended_instance_can_be_terminated(world: World) -> None:
    await world.serve(waits)
    instance = await world.start("waits")
    await instance.suspend()
    await instance.raise_event("go")
    await instance.terminate()
    await _is_terminated(instance)


async def test_an_instance_that_has_not_begun_can_be_terminated(world: World) -> None:
    await world.serve(waits)
    later = world.now_us() + 3_600_000_000
    instance = await world.start("waits", start_at_us=later)
    assert await instance.status() is h.Status.PENDING
    await instance.terminate()
    await _is_terminated(instance)
    assert world.rows("reminders") == 0


async def test_running_activities_are_not_interrupted_and_their_results_are_dropped(
    steady: World,
) -> None:
    gate = Gate()
    ended: list[int] = []

    @perdure.activity
    async def slow(number: int) -> int:
        await gate.wait()
        ended.append(number)
        return number

    @perdure.workflow
    async def many(ctx: WorkflowContext) -> Any:
        return await asyncio.gather(*[ctx.call_activity(slow, input=n) for n in range(5)])

    await steady.serve(many, slow)
    instance = await steady.start("many")
    await gate.entered.wait()
    await instance.terminate()
    await _is_terminated(instance)
    before = await instance.events()
    gate.opened.set()
    await steady.stop()
    assert sorted(ended) == [0, 1, 2, 3, 4]
    await steady.restart()
    await _is_terminated(instance)
    assert await instance.events() == before
    assert "TaskCompleted" not in await instance.kinds()


async def test_a_new_run_under_the_id_gets_nothing_of_the_terminated_one(steady: World) -> None:
    gate = Gate()

    @perdure.activity
    async def slow(number: int) -> int:
        if number == 0:
            await gate.wait()
        return number

    @perdure.workflow
    async def one(ctx: WorkflowContext, number: int) -> Any:
        if number == 1:
            await ctx.wait_for_external_event("go")
        return await ctx.call_activity(slow, input=number)

    for purge in (False, True):
        gate.opened.clear()
        gate.entered.clear()
        await steady.serve(one, slow)
        first = await steady.start("one", 0, instance_id="o")
        await gate.entered.wait()
        await first.terminate()
        if purge:
            assert await first.purge() == 1
        second = await steady.start("one", 1, instance_id="o")
        gate.opened.set()
        await second.raise_event("go")
        assert await second.result() == 1
        assert len(await second.of(h.TaskCompleted)) == 1


async def test_children_and_their_children_are_terminated_too(world: World) -> None:
    @perdure.workflow
    async def tree(ctx: WorkflowContext, depth: int) -> Any:
        if depth == 0:
            return await ctx.create_timer(timedelta(hours=1))
        return await asyncio.gather(
            *[ctx.call_child_workflow("tree", input=depth - 1) for _ in range(2)]
        )

    await world.serve(tree)
    instance = await world.start("tree", 2, instance_id="t")
    for leaf in ("t:0001:0001", "t:0001:0002", "t:0002:0001", "t:0002:0002"):
        await world.handle(leaf).running()
    await instance.terminate("over")
    for instance_id in await world.ids():
        row = await world.handle(instance_id).finished()
        assert (row.status, row.output) == (h.Status.TERMINATED, '"over"')
    assert len(await world.ids()) == 7
    assert world.rows("reminders") == 0


async def test_children_live_on_if_that_is_asked(world: World) -> None:
    @perdure.workflow
    async def parent(ctx: WorkflowContext) -> Any:
        return await ctx.call_child_workflow(waits, instance_id="c")

    await world.serve(parent, waits)
    instance = await world.start("parent")
    child = world.handle("c")
    await child.running()
    await instance.terminate(recursive=False)
    await _is_terminated(instance)
    assert await child.status() is h.Status.RUNNING
    await child.raise_event("go", 1)
    assert await child.result() == 1
    await _is_terminated(instance)


async def test_children_that_have_finished_stay_as_they_are(world: World) -> None:
    @perdure.workflow
    async def quick(ctx: WorkflowContext) -> str:
        return "done"

    @perdure.workflow
    async def parent(ctx: WorkflowContext) -> Any:
        await ctx.call_child_workflow(quick, instance_id="q")
        ctx.call_child_workflow(waits, instance_id="unawaited")
        return await ctx.call_child_workflow(waits, instance_id="w")

    await world.serve(parent, quick, waits)
    instance = await world.start("parent")
    await world.handle("w").running()
    await world.handle("unawaited").running()
    await instance.terminate()
    await world.handle("w").until(h.Status.TERMINATED)
    await world.handle("unawaited").until(h.Status.TERMINATED)
    assert await world.handle("q").status() is h.Status.COMPLETED


async def test_detached_workflows_live_on(world: World) -> None:
    @perdure.workflow
    async def caller(ctx: WorkflowContext) -> Any:
        ctx.schedule_new_workflow(waits, instance_id="d")
        return await ctx.wait_for_external_event("go")

    await world.serve(caller, waits)
    instance = await world.start("caller")
    await world.handle("d").running()
    await instance.terminate()
    await world.handle("d").raise_event("go", 3)
    assert await world.handle("d").result() == 3


async def test_what_has_ended_cannot_be_ended_again(world: World) -> None:
    @perdure.workflow
    async def quick(ctx: WorkflowContext) -> str:
        return "done"

    await world.serve(quick, waits)
    done = await world.start("quick")
    await done.result()
    await done.terminate("other")
    assert (await done.row()).output == '"done"'
    ended = await world.start("waits")
    await ended.terminate("first")
    await ended.terminate("second")
    await _is_terminated(ended, '"first"')


async def test_terminate_and_the_end_of_the_code_at_once_give_one_end(world: World) -> None:
    await world.serve(waits)
    for number in range(8):
        instance = await world.start("waits", instance_id=f"w{number}")
        await instance.running()
        service = world.service
        await asyncio.gather(
            service.raise_event(instance.id, "go", "1"),
            service.terminate(instance.id, "2"),
            service.raise_event(instance.id, "go", "3"),
        )
        row = await instance.row()
        assert (row.status, row.output) in [(h.Status.COMPLETED, "1"), (h.Status.TERMINATED, "2")]
        assert len(await instance.of(h.ExecutionCompleted)) == 1
