"""Code that changes under instances that run: patches and named versions."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import perdure
from perdure import WorkflowContext
from perdure.runtime.workflow import history as h
from tests.support.world import Handle, World


@perdure.activity
def echo(value: Any) -> Any:
    return value


def _code(*patches: str, before: bool = True) -> Any:
    """Asks for patches before and after it waits for an event; returns which ones it takes."""

    @perdure.workflow(name="order")
    async def order(ctx: WorkflowContext) -> list[Any]:
        taken: list[Any] = []
        if before:
            taken += [patch for patch in patches if ctx.is_patched(patch)]
        taken.append(await ctx.call_activity(echo, input="work"))
        await ctx.wait_for_external_event("go")
        taken += [patch for patch in patches if ctx.is_patched(patch)]
        return taken

    return order


async def _waiting(world: World, code: Any) -> Handle:
    await world.serve(code, echo)
    instance = await world.start("order", instance_id="o")
    await instance.saw("TaskCompleted")
    return instance


async def test_a_new_run_takes_every_patch(world: World) -> None:
    instance = await _waiting(world, _code("a", "b"))
    await instance.raise_event("go")
    assert await instance.result() == ["a", "b", "work", "a", "b"]
    assert (await instance.turns())[0].patches == ("a", "b")


async def test_a_run_from_before_the_patch_does_not_take_it(world: World) -> None:
    instance = await _waiting(world, _code())
    await world.serve(_code("a"), echo)
    await instance.raise_event("go")
    assert await instance.result() == ["work"]


async def test_a_patch_beyond_what_has_been_replayed_is_taken(world: World) -> None:
    instance = await _waiting(world, _code())
    await world.serve(_code("a", before=False), echo)
    await instance.raise_event("go")
    assert await instance.result() == ["work", "a"]
    assert (await instance.turns())[-1].patches == ("a",)


async def test_the_answer_stays_the_same_for_the_whole_run(world: World) -> None:
    @perdure.workflow(name="order")
    async def order(ctx: WorkflowContext) -> list[bool]:
        answers = []
        for _ in range(4):
            answers.append(ctx.is_patched("a"))
            await ctx.create_timer(timedelta(milliseconds=1))
        return answers

    await world.serve(order)
    assert await (await world.start("order")).result() == [True, True, True, True]


async def test_every_run_of_a_loop_decides_anew(live: World) -> None:
    def code(patched: bool) -> Any:
        @perdure.workflow(name="loop")
        async def loop(ctx: WorkflowContext, seen: list[bool]) -> list[bool]:
            taken = patched and ctx.is_patched("a")
            await ctx.wait_for_external_event("go")
            seen.append(taken)
            if len(seen) < 3:
                ctx.continue_as_new(seen)
            return seen

        return loop

    await live.serve(code(patched=False))
    instance = await live.start("loop", [])
    await instance.raise_event("go")
    await live.serve(code(patched=True))
    await instance.raise_event("go")
    await instance.raise_event("go")
    assert await instance.result() == [False, False, True]


async def _stalls(instance: Handle, world: World, code: Any) -> str:
    await world.serve(code, echo)
    await world.service.raise_event("o", "go")
    row = await instance.until(h.Status.STALLED)
    return row.stalled or ""


async def test_a_patch_that_was_taken_out_of_the_code_stalls(live: World) -> None:
    instance = await _waiting(live, _code("a", "b"))
    reason = await _stalls(instance, live, _code("a"))
    assert reason == "Patch mismatch. History patches: [a, b], current patches: [a]. "
    await live.serve(_code("a", "b"), echo)
    assert await instance.result() == ["a", "b", "work", "a", "b"]


async def test_patches_in_another_order_stall(live: World) -> None:
    instance = await _waiting(live, _code("a", "b"))
    reason = await _stalls(instance, live, _code("b", "a"))
    assert reason == "Patch mismatch. History patches: [a, b], current patches: [b, a]. "


def _version(name: str | None, latest: bool = False) -> Any:
    @perdure.workflow(name="order", version=name, latest=latest)
    async def order(ctx: WorkflowContext) -> str:
        await ctx.wait_for_external_event("go")
        return str(name)

    return order


async def test_a_new_instance_runs_the_latest_version_and_an_old_one_its_own(world: World) -> None:
    await world.serve(_version("v1"))
    old = await world.start("order")
    assert (await old.row()).version == "v1"
    await world.serve(_version("v1"), _version("v2", latest=True))
    new = await world.start("order")
    chosen = await world.start("order", version="v1")
    for instance, version in ((old, "v1"), (new, "v2"), (chosen, "v1")):
        await instance.raise_event("go")
        assert await instance.result() == version
        assert (await instance.row()).version == version


async def test_an_instance_from_before_versions_stays_with_the_code_without_one(
    world: World,
) -> None:
    await world.serve(_version(None))
    old = await world.start("order")
    await world.serve(_version(None), _version("v2", latest=True))
    await old.raise_event("go")
    assert await old.result() == "None"


async def test_a_version_that_is_not_there_any_more_stalls_until_it_is_back(live: World) -> None:
    await live.serve(_version("v1"))
    instance = await live.start("order", instance_id="o")
    await live.serve(_version("v2"))
    await live.service.raise_event("o", "go")
    row = await instance.until(h.Status.STALLED)
    assert row.stalled is not None
    assert row.stalled.startswith("Version not available: v1 of workflow ")
    await live.restart()
    assert await instance.status() is h.Status.STALLED
    await live.serve(_version("v1"), _version("v2", latest=True))
    assert await instance.result() == "v1"


async def test_a_timer_of_a_missing_version_is_kept_for_its_return(live: World) -> None:
    def code(version: str) -> Any:
        @perdure.workflow(name="order", version=version)
        async def order(ctx: WorkflowContext) -> str:
            await ctx.create_timer(timedelta(milliseconds=150))
            return version

        return order

    await live.serve(code("v1"))
    instance = await live.start("order")
    await instance.running()
    await live.serve(code("v2"))
    await instance.until(h.Status.STALLED)
    assert live.rows("reminders") == 0
    assert live.rows("inbox") == 1
    await live.serve(code("v1"))
    assert await instance.result() == "v1"


async def test_children_of_a_loop_follow_the_latest_version(live: World) -> None:
    def child(version: str, latest: bool) -> Any:
        @perdure.workflow(name="child", version=version, latest=latest)
        async def child(ctx: WorkflowContext) -> str:
            await asyncio.sleep(0)
            return version

        return child

    @perdure.workflow
    async def parent(ctx: WorkflowContext) -> list[Any]:
        first = await ctx.call_child_workflow("child")
        await ctx.wait_for_external_event("go")
        return [first, await ctx.call_child_workflow("child")]

    await live.serve(parent, child("v1", True))
    instance = await live.start("parent")
    await instance.saw("ChildWorkflowInstanceCompleted")
    await live.serve(parent, child("v1", False), child("v2", True))
    await instance.raise_event("go")
    assert await instance.result() == ["v1", "v2"]
