"""Purge: what it removes, and what it refuses."""

from __future__ import annotations

import asyncio
import sqlite3
from datetime import timedelta
from typing import Any

import pytest

import perdure
from perdure import WorkflowContext
from perdure.runtime.workflow import history as h
from perdure.runtime.workflow.errors import InstanceNotFound, NotCompleted
from tests.support.world import Gate, World

TABLES = ("workflows", "history", "inbox", "reminders")


@perdure.activity
def echo(value: Any) -> Any:
    return value


@perdure.workflow
async def waits(ctx: WorkflowContext) -> Any:
    return await ctx.wait_for_external_event("go")


@perdure.workflow
async def tree(ctx: WorkflowContext, depth: int) -> Any:
    await ctx.call_activity(echo, input=depth)
    await ctx.create_timer(timedelta(milliseconds=1))
    if depth == 0:
        return await ctx.wait_for_external_event("go", 0.001 if ctx.instance_id else 0)
    return [await ctx.call_child_workflow(tree, input=depth - 1) for _ in range(2)]


@perdure.workflow
async def quick(ctx: WorkflowContext) -> str:
    await ctx.call_activity(echo, input=1)
    return "done"


def _mentions(world: World, text: str) -> list[str]:
    """Tables of the database with a row that has `text` in some column."""
    found = []
    with sqlite3.connect(world.path) as connection:
        names = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
        for (table,) in names.fetchall():
            rows = connection.execute(f"SELECT * FROM {table}").fetchall()
            if any(text in str(column) for row in rows for column in row):
                found.append(table)
    connection.close()
    return found


async def test_a_purged_instance_is_gone_from_every_table(world: World) -> None:
    await world.serve(quick, echo)
    instance = await world.start("quick", instance_id="purge-me")
    await instance.result()
    assert _mentions(world, "purge-me") == ["workflows"]
    assert await instance.purge() == 1
    assert not await instance.exists()
    assert [world.rows(table) for table in TABLES] == [0, 0, 0, 0]
    assert _mentions(world, "purge-me") == []
    with pytest.raises(InstanceNotFound):
        await instance.purge()


async def test_children_are_purged_with_their_parent(world: World) -> None:
    await world.serve(tree, echo)
    instance = await world.start("tree", 2, instance_id="t")
    row = await instance.finished()
    assert row.status is h.Status.FAILED  # The leaves wait in vain.
    other = await world.start("tree", 0, instance_id="other")
    await other.finished()
    for instance_id in await world.ids():
        await world.handle(instance_id).finished()
    count = len(await world.ids())
    assert await instance.purge() == count - 1
    assert await world.ids() == ["other"]
    assert world.leftovers() == {}


async def test_children_stay_if_that_is_asked(world: World) -> None:
    @perdure.workflow
    async def parent(ctx: WorkflowContext) -> Any:
        return await ctx.call_child_workflow(quick, instance_id="c")

    await world.serve(parent, quick, echo)
    instance = await world.start("parent")
    await instance.result()
    assert await instance.purge(recursive=False) == 1
    assert await world.ids() == ["c"]


async def test_a_child_that_has_not_finished_aborts_the_purge_of_its_parent(world: World) -> None:
    @perdure.workflow
    async def parent(ctx: WorkflowContext) -> Any:
        await ctx.call_child_workflow(quick, instance_id="done")
        ctx.call_child_workflow(waits, instance_id="busy")

    await world.serve(parent, waits, quick, echo)
    instance = await world.start("parent", instance_id="p")
    await instance.result()
    await world.handle("busy").running()
    with pytest.raises(NotCompleted, match="orchestration has not yet completed"):
        await instance.purge()
    assert sorted(await world.ids()) == ["busy", "done", "p"]
    await world.handle("busy").raise_event("go")
    await world.handle("busy").result()
    assert await instance.purge() == 3
    assert await world.ids() == []


async def test_a_child_that_was_purged_before_is_skipped(world: World) -> None:
    @perdure.workflow
    async def parent(ctx: WorkflowContext) -> Any:
        return [await ctx.call_child_workflow(quick, instance_id=each) for each in ("a", "b")]

    await world.serve(parent, quick, echo)
    instance = await world.start("parent")
    await instance.result()
    assert await world.handle("a").purge() == 1
    assert await instance.purge() == 2


@pytest.mark.parametrize("suspended", [False, True])
async def test_what_has_not_finished_is_not_purged(world: World, suspended: bool) -> None:
    await world.serve(waits)
    instance = await world.start("waits")
    await instance.running()
    if suspended:
        await instance.suspend()
    with pytest.raises(NotCompleted):
        await instance.purge()
    assert await instance.exists()


async def test_a_delayed_instance_does_not_exist_for_a_purge(world: World) -> None:
    await world.serve(waits)
    later = world.now_us() + 3_600_000_000
    instance = await world.start("waits", start_at_us=later)
    with pytest.raises(InstanceNotFound):
        await instance.purge()
    assert await instance.purge(force=True) == 1
    assert world.rows("reminders") == 0


async def test_force_purges_what_runs_with_timers_and_children(world: World) -> None:
    @perdure.workflow
    async def parent(ctx: WorkflowContext) -> Any:
        ctx.create_timer(timedelta(hours=1))
        ctx.call_child_workflow(waits, instance_id="c")
        return await ctx.wait_for_external_event("go", 3600)

    await world.serve(parent, waits)
    instance = await world.start("parent")
    await world.handle("c").running()
    assert await instance.purge(force=True) == 2
    assert [world.rows(table) for table in TABLES] == [0, 0, 0, 0]


async def test_a_purged_id_begins_anew(world: World) -> None:
    await world.serve(quick, echo)
    for _ in range(3):
        instance = await world.start("quick", instance_id="o", unique=True)
        assert await instance.result() == "done"
        assert (await instance.row()).execution == 1
        await instance.purge()


async def test_an_activity_that_still_runs_finds_nobody_after_a_forced_purge(
    steady: World,
) -> None:
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

    await steady.serve(one, slow)
    first = await steady.start("one", 0, instance_id="o")
    await gate.entered.wait()
    assert await first.purge(force=True) == 1
    gate.opened.set()
    second = await steady.start("one", 1, instance_id="o")
    await second.raise_event("go")
    assert await second.result() == 1


async def test_unread_messages_go_with_the_instance(live: World) -> None:
    """A child that answers a parent which is purged in the same moment leaves no row behind."""

    @perdure.workflow
    async def parent(ctx: WorkflowContext) -> Any:
        return await ctx.call_child_workflow(waits, instance_id="c")

    await live.serve(parent, waits)
    instance = await live.start("parent")
    await live.handle("c").running()
    await asyncio.gather(
        live.service.raise_event("c", "go"),
        live.service.purge(instance.id, recursive=False, force=True),
    )
    await live.handle("c").result()
    await live.stop()
    await live.restart()  # What had come too late is found and taken by the first scan.
    await live.start("waits", instance_id=instance.id)
    await live.handle(instance.id).raise_event("go")
    await live.handle(instance.id).result()
    assert live.rows("inbox") == 0


async def test_force_on_an_unknown_instance_is_still_an_error(live: World) -> None:
    await live.serve(waits)
    with pytest.raises(InstanceNotFound):
        await live.handle("nobody").purge(force=True)
