"""Child workflows: their ids, results and failures, and what happens to ids that are taken."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest

import perdure
from perdure import RetryPolicy, TaskFailedError, WorkflowContext
from perdure.runtime.workflow import history as h
from tests.support.world import World


@perdure.workflow
async def double(ctx: WorkflowContext, number: int) -> int:
    return number * 2


@perdure.workflow
async def waits(ctx: WorkflowContext) -> Any:
    return await ctx.wait_for_external_event("go")


@perdure.workflow
async def fails(ctx: WorkflowContext) -> None:
    raise ValueError("not today")


async def test_a_child_gives_its_result_to_its_parent(world: World) -> None:
    @perdure.workflow
    async def parent(ctx: WorkflowContext, number: int) -> int:
        return int(await ctx.call_child_workflow(double, input=number))

    await world.serve(parent, double)
    instance = await world.start("parent", 4, instance_id="p")
    assert await instance.result() == 8
    assert await world.ids() == ["p", "p:0001"]
    child = await world.handle("p:0001").row()
    assert (child.parent_id, child.status) == ("p", h.Status.COMPLETED)


async def test_default_ids_of_children_count_the_operations_of_their_parent(world: World) -> None:
    @perdure.activity
    def nothing() -> None: ...

    @perdure.workflow
    async def parent(ctx: WorkflowContext) -> list[Any]:
        children = [ctx.call_child_workflow(double, input=n) for n in range(2)]
        await ctx.call_activity(nothing)
        children += [ctx.call_child_workflow(double, input=n) for n in range(10)]
        return [await child for child in children]

    await world.serve(parent, double, nothing)
    instance = await world.start("parent", instance_id="p")
    assert await instance.result() == [0, 2, *range(0, 20, 2)]
    made = [event.instance_id for event in await instance.of(h.ChildWorkflowInstanceCreated)]
    assert made == [
        "p:0001",
        "p:0002",
        *("p:0004", "p:0005", "p:0006", "p:0007", "p:0008", "p:0009"),
        *("p:000a", "p:000b", "p:000c", "p:000d"),
    ]


async def test_many_children_that_end_at_once_are_all_counted(world: World) -> None:
    @perdure.workflow
    async def parent(ctx: WorkflowContext) -> int:
        children = [ctx.call_child_workflow(double, input=1) for _ in range(50)]
        return sum(await asyncio.gather(*children))

    await world.serve(parent, double)
    assert await (await world.start("parent")).result() == 100


async def test_the_failure_of_a_child_is_raised_in_its_parent_with_its_details(
    world: World,
) -> None:
    @perdure.workflow
    async def parent(ctx: WorkflowContext) -> list[Any]:
        try:
            await ctx.call_child_workflow(fails)
        except TaskFailedError as error:
            details = error.details
            return [str(error), details.error_type, details.message]
        return []

    await world.serve(parent, fails)
    instance = await world.start("parent", instance_id="p")
    assert await instance.result() == [
        "p: Child workflow task #1 failed: not today",
        "ValueError",
        "not today",
    ]


async def test_an_unregistered_child_fails_its_call(world: World) -> None:
    @perdure.workflow
    async def parent(ctx: WorkflowContext) -> str:
        try:
            await ctx.call_child_workflow("nobody")
        except TaskFailedError as error:
            return error.details.error_type
        return ""

    await world.serve(parent)
    result = await (await world.start("parent")).result()
    assert result == "OrchestratorNotRegisteredError"


async def test_a_terminated_child_is_a_failure_without_details(world: World) -> None:
    @perdure.workflow
    async def parent(ctx: WorkflowContext) -> str:
        try:
            await ctx.call_child_workflow(waits, instance_id="c")
        except TaskFailedError as error:
            return str(error)
        return ""

    await world.serve(parent, waits)
    instance = await world.start("parent", instance_id="p")
    await world.handle("c").running()
    await world.handle("c").terminate()
    assert await instance.result() == (
        "p: Child workflow task #1 failed: the child workflow was terminated"
    )
    (failed,) = await instance.of(h.ChildWorkflowInstanceFailed)
    assert failed.failure is None


async def test_grandchildren_pass_their_results_up(world: World) -> None:
    @perdure.workflow
    async def tree(ctx: WorkflowContext, depth: int) -> int:
        if depth == 0:
            return 1
        return sum([await ctx.call_child_workflow("tree", input=depth - 1) for _ in range(2)])

    await world.serve(tree)
    instance = await world.start("tree", 3, instance_id="t")
    assert await instance.result() == 8
    assert len(await world.ids()) == 15


async def test_a_parent_that_ends_leaves_its_children_alone(world: World) -> None:
    @perdure.workflow
    async def parent(ctx: WorkflowContext) -> str:
        ctx.call_child_workflow(waits, instance_id="c")
        return "gone"

    await world.serve(parent, waits)
    instance = await world.start("parent")
    assert await instance.result() == "gone"
    await world.handle("c").running()
    await world.handle("c").raise_event("go", 1)
    assert await world.handle("c").result() == 1


@pytest.mark.parametrize("taken", ["another", "itself", "its parent", "a sibling"])
async def test_an_id_that_is_taken_fails_the_call_and_nothing_else(
    world: World, taken: str
) -> None:
    @perdure.workflow
    async def child(ctx: WorkflowContext, instance_id: str) -> str:
        try:
            await ctx.call_child_workflow(waits, instance_id=instance_id)
        except TaskFailedError as error:
            return f"{error.details.error_type}: {error.details.message}"
        return ""

    @perdure.workflow
    async def parent(ctx: WorkflowContext, instance_id: str) -> str:
        ctx.call_child_workflow(waits, instance_id="sibling")
        await ctx.wait_for_external_event("go")
        return str(await ctx.call_child_workflow(child, input=instance_id, instance_id="child"))

    await world.serve(parent, child, waits)
    other = await world.start("waits", instance_id="other")
    taken_id = {"another": "other", "itself": "child", "its parent": "parent"}.get(taken, "sibling")
    instance = await world.start("parent", taken_id, instance_id="parent")
    await world.handle("sibling").running()
    await instance.raise_event("go")
    assert await instance.result() == (
        f"WorkflowInstanceAlreadyExists: an active workflow with ID '{taken_id}' already exists"
    )
    assert await other.status() is h.Status.RUNNING


async def test_a_call_with_a_taken_id_can_be_tried_again(world: World) -> None:
    policy = RetryPolicy(
        first_retry_interval=timedelta(milliseconds=5), max_number_of_attempts=1000
    )

    @perdure.workflow
    async def parent(ctx: WorkflowContext) -> Any:
        return await ctx.call_child_workflow(
            double, input=3, instance_id="taken", retry_policy=policy
        )

    await world.serve(parent, double, waits)
    other = await world.start("waits", instance_id="taken")
    instance = await world.start("parent")
    await instance.when(lambda row: row.next_seq > 2)
    await other.raise_event("go")
    assert await instance.result() == 6


async def test_the_id_of_a_finished_instance_can_be_a_child(world: World) -> None:
    @perdure.workflow
    async def parent(ctx: WorkflowContext) -> Any:
        return await ctx.call_child_workflow(double, input=3, instance_id="c")

    await world.serve(parent, double)
    assert await (await world.start("double", 1, instance_id="c")).result() == 2
    assert await (await world.start("parent")).result() == 6
    assert (await world.handle("c").row()).execution == 2


async def test_a_workflow_may_call_children_under_one_id_one_after_the_other(world: World) -> None:
    @perdure.workflow
    async def parent(ctx: WorkflowContext) -> list[Any]:
        return [await ctx.call_child_workflow(double, input=n, instance_id="c") for n in range(4)]

    await world.serve(parent, double)
    assert await (await world.start("parent")).result() == [0, 2, 4, 6]


async def test_an_id_used_again_may_have_the_children_of_the_run_before(world: World) -> None:
    @perdure.workflow
    async def parent(ctx: WorkflowContext, number: int) -> Any:
        return await ctx.call_child_workflow(double, input=number)

    await world.serve(parent, double)
    for number in range(3):
        instance = await world.start("parent", number, instance_id="p")
        assert await instance.result() == number * 2
    assert await world.ids() == ["p", "p:0001"]


async def test_each_run_of_a_loop_has_children_of_its_own_under_the_same_ids(world: World) -> None:
    @perdure.workflow
    async def loop(ctx: WorkflowContext, number: int) -> Any:
        number = await ctx.call_child_workflow(double, input=number)
        if number < 16:
            ctx.continue_as_new(number)
        return number

    await world.serve(loop, double)
    assert await (await world.start("loop", 1)).result() == 16


async def test_an_id_after_a_purge_has_nothing_to_do_with_the_child_that_is_left(
    world: World,
) -> None:
    @perdure.workflow
    async def parent(ctx: WorkflowContext, number: int) -> Any:
        return await ctx.call_child_workflow(double, input=number)

    await world.serve(parent, double)
    for number in range(3):
        instance = await world.start("parent", number, instance_id="p")
        assert await instance.result() == number * 2
        assert await instance.purge(recursive=False) == 1


async def test_a_child_of_a_purged_parent_does_not_answer_its_successor(world: World) -> None:
    @perdure.workflow
    async def parent(ctx: WorkflowContext, child: str) -> Any:
        return await ctx.call_child_workflow(waits, instance_id=child)

    await world.serve(parent, waits)
    first = await world.start("parent", "c1", instance_id="p")
    await world.handle("c1").running()
    await first.terminate(recursive=False)
    await first.purge(recursive=False)
    second = await world.start("parent", "c2", instance_id="p")
    await world.handle("c2").running()
    await world.handle("c1").raise_event("go", "of the first")
    await world.handle("c1").result()
    await world.handle("c2").raise_event("go", "of the second")
    assert await second.result() == "of the second"


@pytest.mark.parametrize("bad", [7, b"id", "\ud800", ""])
async def test_an_id_that_is_no_text_fails_the_workflow_and_nothing_else(
    live: World, bad: Any
) -> None:
    @perdure.workflow
    async def parent(ctx: WorkflowContext, detached: bool) -> None:
        if detached:
            ctx.schedule_new_workflow(double, input=1, instance_id=bad)
        else:
            await ctx.call_child_workflow(double, input=1, instance_id=bad)

    await live.serve(parent, double)
    for detached in (True, False):
        row = await (await live.start("parent", detached)).finished()
        if bad == "":
            assert row.status is h.Status.COMPLETED
            continue
        assert row.failure is not None
        assert "id of workflow 'double'" in row.failure.message
    assert await (await live.start("double", 1)).result() == 2


async def test_the_result_of_a_child_becomes_what_its_hint_says(world: World) -> None:
    @perdure.workflow
    async def span(ctx: WorkflowContext) -> timedelta:
        return timedelta(seconds=90)

    @perdure.workflow
    async def parent(ctx: WorkflowContext) -> float:
        found = await ctx.call_child_workflow(span)
        return float(found.total_seconds())

    await world.serve(parent, span)
    assert await (await world.start("parent")).result() == 90.0
