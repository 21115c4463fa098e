"""Detached workflows: started from within a workflow, and nobody's child."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import perdure
from perdure import WorkflowContext
from perdure.runtime.workflow import history as h
from tests.support.world import World


@perdure.workflow
async def echo(ctx: WorkflowContext, value: Any) -> Any:
    return value


async def test_a_detached_workflow_has_no_parent_and_nobody_waits_for_it(world: World) -> None:
    @perdure.workflow
    async def caller(ctx: WorkflowContext) -> str:
        return ctx.schedule_new_workflow(echo, input=5, instance_id="d")

    await world.serve(caller, echo)
    assert await (await world.start("caller")).result() == "d"
    assert await world.handle("d").result() == 5
    row = await world.handle("d").row()
    assert (row.parent_key, row.parent_id) == (None, None)


async def test_default_ids_are_numbered_and_made_once_over_all_replays(world: World) -> None:
    @perdure.workflow
    async def caller(ctx: WorkflowContext) -> list[str]:
        made = []
        for number in range(3):
            made.append(ctx.schedule_new_workflow(echo, input=number))
            await ctx.create_timer(timedelta(milliseconds=1))
        return made

    await world.serve(caller, echo)
    instance = await world.start("caller", instance_id="c")
    made = await instance.result()
    assert made == ["c-1", "c-3", "c-5"]
    for number, instance_id in enumerate(made):
        assert await world.handle(instance_id).result() == number
        assert (await world.handle(instance_id).row()).execution == 1


async def test_its_failure_is_its_own(world: World) -> None:
    @perdure.workflow
    async def caller(ctx: WorkflowContext) -> str:
        return ctx.schedule_new_workflow("nobody", instance_id="d")

    await world.serve(caller)
    assert await (await world.start("caller")).result() == "d"
    assert (await world.handle("d").failure()).error_type == "OrchestratorNotRegisteredError"


async def test_an_id_that_is_taken_is_dropped_silently(world: World) -> None:
    @perdure.workflow
    async def waits(ctx: WorkflowContext) -> Any:
        return await ctx.wait_for_external_event("go")

    @perdure.workflow
    async def caller(ctx: WorkflowContext) -> str:
        return ctx.schedule_new_workflow(echo, input=1, instance_id="d")

    await world.serve(caller, waits, echo)
    taken = await world.start("waits", instance_id="d")
    assert await (await world.start("caller")).result() == "d"
    await taken.raise_event("go", "still here")
    assert await taken.result() == "still here"
    assert world.rows("inbox") == 0


async def test_it_may_start_later(world: World) -> None:
    @perdure.workflow
    async def when(ctx: WorkflowContext) -> float:
        return ctx.current_utc_datetime.timestamp()

    @perdure.workflow
    async def caller(ctx: WorkflowContext) -> float:
        at = ctx.current_utc_datetime + timedelta(milliseconds=80)
        ctx.schedule_new_workflow(when, instance_id="d", start_at=at)
        return at.timestamp()

    await world.serve(caller, when)
    due = await (await world.start("caller")).result()
    assert await world.handle("d").result() >= due


async def test_each_run_of_a_loop_detaches_once(world: World) -> None:
    @perdure.workflow
    async def loop(ctx: WorkflowContext, run: int) -> int:
        ctx.schedule_new_workflow(echo, input=run, instance_id=f"d{run}")
        await ctx.create_timer(timedelta(milliseconds=1))
        if run < 3:
            ctx.continue_as_new(run + 1)
        return run

    await world.serve(loop, echo)
    assert await (await world.start("loop", 0)).result() == 3
    for run in range(4):
        assert await world.handle(f"d{run}").result() == run
        assert (await world.handle(f"d{run}").row()).execution == 1


async def test_a_purge_of_the_caller_leaves_it_alone(world: World) -> None:
    @perdure.workflow
    async def caller(ctx: WorkflowContext) -> None:
        ctx.schedule_new_workflow(echo, input=1, instance_id="d")

    await world.serve(caller, echo)
    instance = await world.start("caller")
    await instance.result()
    await world.handle("d").result()
    assert await instance.purge() == 1
    assert await world.handle("d").status() is h.Status.COMPLETED
