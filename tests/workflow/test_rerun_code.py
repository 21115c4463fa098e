"""What code sees that is run again from an event, and what is refused."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest

import perdure
from perdure import TaskFailedError, WorkflowContext
from perdure.actors.errors import Refused
from perdure.runtime.workflow import history as h
from perdure.runtime.workflow import payload
from perdure.runtime.workflow.errors import (
    InstanceCreatedBefore,
    NothingToRerun,
    NotRerunnable,
)
from perdure.runtime.workflow.fork import Rerun
from tests.support.rerunning import Calls, chain, double, rerun, waits
from tests.support.world import World


async def test_the_forked_part_has_the_chance_of_its_source_and_the_rest_its_own(
    world: World,
) -> None:
    calls = Calls()

    @perdure.workflow
    async def parent(ctx: WorkflowContext) -> list[Any]:
        before = [ctx.new_uuid(), ctx.random.random(), str(ctx.current_utc_datetime)]
        await ctx.call_activity(calls.add, input=1)
        return [*before, ctx.new_uuid(), ctx.instance_id]

    await world.serve(parent, calls.add)
    then = await (await world.start("parent", instance_id="a")).result()
    now = await (await rerun(world, "a", 1, new_id="b")).result()
    assert now[:3] == then[:3]
    assert now[3] != then[3]
    assert (then[4], now[4]) == ("a", "b")


async def test_events_that_had_come_are_there_and_later_ones_are_not(world: World) -> None:
    calls = Calls()

    @perdure.workflow
    async def parent(ctx: WorkflowContext) -> list[Any]:
        await ctx.wait_for_external_event("first")
        number = await ctx.call_activity(calls.add, input=1)
        return [number, await ctx.wait_for_external_event("second")]

    await world.serve(parent, calls.add)
    source = await world.start("parent", instance_id="a")
    await source.raise_event("first")
    await source.raise_event("second", "then")
    assert await source.result() == [2, "then"]
    again = await rerun(world, "a", 1)
    await again.raise_event("second", "now")
    assert await again.result() == [2, "now"]


async def test_what_is_sent_before_the_event_is_not_sent_again(world: World) -> None:
    calls = Calls()

    @perdure.workflow
    async def parent(ctx: WorkflowContext) -> None:
        ctx.schedule_new_workflow(double, input=1)
        await ctx.call_activity(calls.add, input=1)
        await ctx.call_activity(calls.add, input=1)
        ctx.schedule_new_workflow(double, input=2)

    await world.serve(parent, double, calls.add)
    await (await world.start("parent", instance_id="a")).result()
    await (await rerun(world, "a", 2, new_id="b")).result()
    await (await rerun(world, "a", 3, new_id="c")).result()
    for last in ("a-1", "a-4", "b-4", "c-4"):
        await world.handle(last).finished()
    assert len(await world.ids()) == 3 + 4  # Not `b-1`, nor `c-1`.


async def test_a_run_that_has_failed_goes_on_with_better_code(world: World) -> None:
    calls = Calls()

    @perdure.workflow(name="parent")
    async def bad(ctx: WorkflowContext) -> int:
        number = await ctx.call_activity(calls.add, input=1)
        raise ValueError(str(number))

    @perdure.workflow(name="parent")
    async def good(ctx: WorkflowContext) -> int:
        return int(await ctx.call_activity(calls.add, input=1)) * 10

    await world.serve(bad, calls.add)
    assert (await (await world.start("parent", instance_id="a")).failure()).message == "2"
    await world.serve(good, calls.add)
    assert await (await rerun(world, "a", 1)).result() == 20
    await world.stop()  # The replay of the source would not give the same.


async def test_a_rerun_can_be_run_again_from_either_part(world: World) -> None:
    await world.serve(chain, Calls().add)
    await (await world.start("chain", 1, instance_id="a")).result()
    assert await (await rerun(world, "a", 2, new_id="b", input=10)).result() == [1, 2, 11, 12]
    late = await rerun(world, "b", 3, new_id="c", input=20)
    assert await late.result() == [1, 2, 11, 21]
    early = await rerun(world, "b", 1, new_id="d", input=5)
    assert await early.result() == [1, 6, 7, 8]
    assert [e.rerun_of for e in await late.of(h.TaskScheduled)] == [None, "a", "b"]
    (started,) = await late.of(h.ExecutionStarted)
    assert [(fork.instance_id, fork.turns) for fork in started.forks] == [("a", 2), ("b", 3)]


async def test_the_last_run_of_a_loop_is_the_one_that_runs_again(world: World) -> None:
    calls = Calls()

    @perdure.workflow
    async def loop(ctx: WorkflowContext, number: int) -> int | None:
        number = await ctx.call_activity(calls.add, input=number)
        if number < 4:
            ctx.continue_as_new(number)
            return None
        return number

    await world.serve(loop, calls.add)
    assert await (await world.start("loop", 1, instance_id="a")).result() == 4
    again = await rerun(world, "a", 1, new_id="b", input=1)
    assert await again.result() == 4
    assert (await again.row()).execution == 3


@pytest.mark.parametrize("end", ["complete", "fail", "terminate"])
async def test_it_does_not_matter_how_the_source_ended(world: World, end: str) -> None:
    calls = Calls()

    @perdure.workflow
    async def parent(ctx: WorkflowContext) -> Any:
        await ctx.call_activity(calls.add, input=1)
        if await ctx.wait_for_external_event("end") == "fail":
            raise ValueError
        return "ok"

    await world.serve(parent, calls.add)
    source = await world.start("parent", instance_id="a")
    await source.when(lambda row: row.next_seq == 2)
    if end == "terminate":
        await source.terminate()
    else:
        await source.raise_event("end", end)
    await source.finished()
    again = await rerun(world, "a", 1)
    await again.raise_event("end", "well")
    assert await again.result() == "ok"


async def test_a_source_that_was_suspended_just_then_is_run_again_suspended(live: World) -> None:
    calls = Calls()

    @perdure.workflow
    async def parent(ctx: WorkflowContext) -> Any:
        await ctx.wait_for_external_event("go")
        return await ctx.call_activity(calls.add, input=1)

    await live.serve(parent, calls.add)
    source = await live.start("parent", instance_id="a")
    await source.running()
    async with asyncio.TaskGroup() as group:  # Both in one turn.
        group.create_task(live.service.raise_event("a", "go"))
        group.create_task(live.service.suspend("a"))
    turns = await source.turns()
    assert [type(event) for event in turns[1].incoming] == [h.EventRaised, h.ExecutionSuspended]
    await source.resume()
    assert await source.result() == 2
    again = await rerun(live, "a", 1)
    assert await again.status() is h.Status.SUSPENDED
    await again.resume()
    assert await again.result() == 2


async def test_code_that_asks_for_something_else_leaves_a_stalled_instance(world: World) -> None:
    calls = Calls()

    @perdure.activity
    def other(number: int) -> int:
        return 0

    @perdure.workflow(name="chain")
    async def changed(ctx: WorkflowContext, number: int) -> list[Any]:
        return [await ctx.call_activity(other, input=number)]

    await world.serve(chain, calls.add)
    await (await world.start("chain", 1, instance_id="a")).result()
    await world.serve(changed, other, calls.add)
    again = await rerun(world, "a", 2, new_id="b")
    row = await again.row()
    assert row.status is h.Status.STALLED
    assert "the code now asks for activity 'other'" in (row.stalled or "")
    await world.serve(chain, calls.add)
    await again.resume()
    assert await again.result() == [1, 2, 3, 4]


# ---- refusals


async def refusal(world: World, source: str, event_id: int, **options: Any) -> tuple[str, str]:
    with pytest.raises(Refused) as caught:
        await rerun(world, source, event_id, **options)
    return type(caught.value).__name__, str(caught.value)


async def test_what_cannot_be_run_again_is_refused_and_leaves_nothing(live: World) -> None:
    @perdure.workflow
    async def all_kinds(ctx: WorkflowContext) -> None:
        await ctx.call_activity("add", input=1)
        await ctx.create_timer(timedelta(0))
        await ctx.call_child_workflow(double, input=1)
        ctx.schedule_new_workflow(double, input=1, instance_id="loose")

    await live.serve(all_kinds, double, waits, Calls().add)
    source = await live.start("all_kinds", instance_id="a")
    await source.result()
    await (await live.start("waits", instance_id="running")).running()
    before = await live.ids()

    invalid, missing = NotRerunnable.__name__, NothingToRerun.__name__
    assert await refusal(live, "running", 1) == (
        invalid,
        "'running' is not in a terminal state",
    )
    assert await refusal(live, "a:0003", 1) == (
        invalid,
        "'a:0003': cannot rerun from child-workflows",
    )
    assert await refusal(live, "a", 1, new_id="a") == (
        invalid,
        "rerun workflow instance ID must be different from the original instance ID",
    )
    assert await refusal(live, "a", 2, input=1) == (
        invalid,
        "cannot write input to timer event '2'",
    )
    assert await refusal(live, "a", 1, child_id="c") == (
        invalid,
        "cannot set new child workflow instance ID on activity event '1'",
    )
    assert await refusal(live, "a", 2, child_id="c") == (
        invalid,
        "cannot set new child workflow instance ID on timer event '2'",
    )
    assert await refusal(live, "nobody", 1) == (
        missing,
        "workflow instance does not exist with ID 'nobody'",
    )
    for number in (0, 6, 4_294_967_295):
        assert await refusal(live, "a", number) == (
            missing,
            f"does not have history event with ID '{number}'",
        )
    for number, kind in ((4, "DetachedWorkflowInstanceCreated"), (5, "ExecutionCompleted")):
        assert await refusal(live, "a", number) == (
            missing,
            f"target event '*protos.HistoryEvent_{kind}' with ID '{number}' "
            "is not an event that can be rerun",
        )
    for taken in ("running", "loose"):
        assert await refusal(live, "a", 1, new_id=taken) == (
            InstanceCreatedBefore.__name__,
            f"workflow '{taken}' has already been created",
        )
    assert await live.ids() == before


async def test_an_input_that_cannot_be_stored_is_refused(live: World) -> None:
    await live.serve(chain, Calls().add)
    await (await live.start("chain", 1, instance_id="a")).result()
    with pytest.raises(payload.PayloadError):
        await live.service.rerun("a", Rerun(event_id=1, input="\ud800", overwrite_input=True))


async def test_a_failed_child_fails_the_new_instance_as_it_did_the_old_one(world: World) -> None:
    @perdure.workflow
    async def fails(ctx: WorkflowContext) -> None:
        raise ValueError("no")

    @perdure.workflow
    async def parent(ctx: WorkflowContext) -> str:
        try:
            await ctx.call_child_workflow(fails)
        except TaskFailedError as error:
            return str(error)
        return "never"

    await world.serve(parent, fails)
    then = await (await world.start("parent", instance_id="a")).result()
    assert await (await rerun(world, "a", 1, new_id="b")).result() == then.replace("a:", "b:")
