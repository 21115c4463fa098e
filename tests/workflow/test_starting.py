"""Starting: ids that are in use or were, delayed starts, and starts that are told twice."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any
from unittest import mock

import pytest

import perdure
from perdure import WorkflowContext
from perdure.runtime.workflow import history as h
from perdure.runtime.workflow.errors import ChildNotFinished, InstanceExists, InstanceNotUnique
from perdure.runtime.workflow.messages import StartWorkflow
from tests.support.world import Gate, World
from tests.workflow.conftest import Clock

HOUR, HOUR_US = timedelta(hours=1), 3_600_000_000


@perdure.workflow
async def echo(ctx: WorkflowContext, value: Any) -> Any:
    return value


@perdure.workflow
async def waits(ctx: WorkflowContext, value: Any = None) -> Any:
    return await ctx.wait_for_external_event("go")


async def test_an_id_is_made_if_none_is_given(world: World) -> None:
    await world.serve(echo)
    ids = {(await world.start("echo", n)).id for n in range(3)}
    assert len(ids) == 3
    assert {len(instance_id) for instance_id in ids} == {36}


async def test_the_id_of_what_has_not_finished_is_refused(world: World) -> None:
    await world.serve(waits)
    later = world.now_us() + HOUR_US
    await world.start("waits", instance_id="running")
    await world.start("waits", instance_id="pending", start_at_us=later)
    await (await world.start("waits", instance_id="suspended")).suspend()
    for instance_id in ("running", "pending", "suspended"):
        with pytest.raises(
            InstanceExists, match=f"an active workflow with ID '{instance_id}' already exists"
        ):
            await world.start("waits", instance_id=instance_id)


async def test_the_id_of_what_has_finished_begins_a_new_run(world: World) -> None:
    @perdure.workflow
    async def fails(ctx: WorkflowContext) -> None:
        ctx.set_custom_status("tried")
        raise ValueError("no")

    await world.serve(echo, waits, fails)
    instance = await world.start("echo", 1, instance_id="o")
    assert await instance.result() == 1
    created = (await instance.row()).created_us
    await (await world.start("fails", instance_id="o")).failure()
    await (await world.start("waits", instance_id="o")).terminate("ended")
    assert await (await world.start("echo", 2, instance_id="o")).result() == 2
    row = await instance.row()
    assert (row.execution, row.name, row.failure, row.custom_status) == (4, "echo", None, None)
    assert row.created_us > created
    assert await instance.kinds() == ["ExecutionStarted", "ExecutionCompleted"]
    assert await world.ids() == ["o"]


async def test_a_new_run_takes_events_of_its_own_only(world: World) -> None:
    await world.serve(waits)
    first = await world.start("waits", instance_id="o")
    await first.raise_event("go", "first", idempotency_key="k")
    await first.raise_event("go", "left over")
    assert await first.result() == "first"
    second = await world.start("waits", instance_id="o")
    assert await second.status() in (h.Status.RUNNING, h.Status.PENDING)
    await second.raise_event("go", "second", idempotency_key="k")
    assert await second.result() == "second"


async def test_an_id_that_must_be_unique_is_refused_until_it_is_purged(world: World) -> None:
    await world.serve(echo)
    instance = await world.start("echo", 1, instance_id="o", unique=True)
    await instance.result()
    with pytest.raises(InstanceNotUnique, match="enforces instance ID uniqueness"):
        await world.start("echo", 2, instance_id="o", unique=True)
    await instance.purge()
    assert await (await world.start("echo", 3, instance_id="o", unique=True)).result() == 3


async def test_of_many_starts_with_one_id_exactly_one_wins(world: World) -> None:
    await world.serve(waits)
    starts = [world.service.start("waits", instance_id="o") for _ in range(20)]
    outcomes = await asyncio.gather(*starts, return_exceptions=True)
    assert outcomes.count("o") == 1
    refused = [outcome for outcome in outcomes if outcome != "o"]
    assert all(isinstance(outcome, InstanceExists) for outcome in refused)
    await world.handle("o").raise_event("go")
    await world.handle("o").result()


async def test_a_start_told_again_with_its_key_is_one_start(world: World) -> None:
    await world.serve(echo, waits)
    for _ in range(3):
        await world.start("waits", 1, instance_id="o", idempotency_key="k1")
    await world.handle("o").raise_event("go", "done")
    assert await world.handle("o").result() == "done"
    again = await world.start("waits", 1, instance_id="o", idempotency_key="k1")
    assert await again.result() == "done"
    other = await world.start("echo", 5, instance_id="o", idempotency_key="k2")
    assert await other.result() == 5


async def test_a_key_without_an_id_gives_the_same_id_again(world: World) -> None:
    await world.serve(echo)
    ids = [(await world.start("echo", 1, idempotency_key="k")).id for _ in range(2)]
    other = await world.start("echo", 1, idempotency_key="other")
    assert ids[0] == ids[1] != other.id
    await world.handle(ids[0]).result()
    await other.result()


@pytest.mark.parametrize("depth", [1, 2])
async def test_an_id_is_refused_while_a_descendant_of_its_last_run_lives(
    world: World, depth: int
) -> None:
    @perdure.workflow
    async def family(ctx: WorkflowContext, depth: int) -> None:
        if depth == 1:
            ctx.call_child_workflow(waits, instance_id="last")
        elif depth > 1:
            await ctx.call_child_workflow(family, input=depth - 1)

    await world.serve(family, waits)
    instance = await world.start("family", depth, instance_id="f")
    await instance.result()
    await world.handle("last").running()
    with pytest.raises(
        ChildNotFinished, match="cannot recreate workflow with ID 'f': child workflow 'last'"
    ):
        await world.start("family", depth, instance_id="f")
    await world.handle("last").raise_event("go")
    await world.handle("last").result()
    await (await world.start("family", 0, instance_id="f")).result()


async def test_detached_and_purged_workflows_do_not_keep_an_id_from_being_used_again(
    world: World,
) -> None:
    @perdure.workflow
    async def caller(ctx: WorkflowContext) -> None:
        ctx.schedule_new_workflow(waits, instance_id="detached")
        await ctx.call_child_workflow(echo, input=1, instance_id="child")

    await world.serve(caller, waits, echo)
    for number in range(2):
        instance = await world.start("caller", instance_id="c")
        await instance.result()
        assert (await instance.row()).execution == number + 1
        await world.handle("child").purge()
    assert await world.handle("detached").status() is h.Status.RUNNING


async def test_a_delayed_instance_begins_at_its_time_and_not_before(
    world: World, clock: Clock
) -> None:
    @perdure.workflow
    async def when(ctx: WorkflowContext) -> int:
        return int(ctx.current_utc_datetime.timestamp() * 1e6)

    await world.serve(when)
    start_at_us = world.now_us() + HOUR_US
    instance = await world.start("when", start_at_us=start_at_us)
    assert await instance.status() is h.Status.PENDING
    await clock.forward(world, HOUR)
    assert await instance.result() >= start_at_us
    assert world.rows("reminders") == 0


async def test_a_start_time_in_the_past_is_no_delay(world: World) -> None:
    await world.serve(echo)
    for start_at_us in (0, world.now_us()):
        assert await (await world.start("echo", 1, start_at_us=start_at_us)).result() == 1


async def test_events_for_a_delayed_instance_wait_for_its_begin(world: World) -> None:
    await world.serve(waits)
    instance = await world.start("waits", start_at_us=world.now_us() + 120_000)
    await instance.raise_event("go", 1)
    await instance.raise_event("go", 2)
    assert await instance.result() == 1


async def test_a_delayed_instance_may_be_suspended_before_it_begins(
    world: World, clock: Clock
) -> None:
    await world.serve(echo)
    instance = await world.start("echo", 1, start_at_us=world.now_us() + HOUR_US)
    await instance.suspend()
    await clock.forward(world, HOUR)
    await instance.saw("TimerFired")
    assert not (await instance.status()).is_terminal
    await instance.resume()
    assert await instance.result() == 1


async def test_a_version_that_is_not_there_fails_the_start_of_that_instance(world: World) -> None:
    await world.serve(echo)
    failure = await (await world.start("echo", 1, version="v9")).failure()
    assert failure.error_type == "OrchestratorNotRegisteredError"


async def test_a_run_under_an_id_in_use_gives_its_own_result_and_not_the_one_before(
    live: World,
) -> None:
    gate = Gate()

    @perdure.activity
    async def held(number: int) -> int:
        await gate.wait()
        return number

    @perdure.workflow
    async def once(ctx: WorkflowContext, number: int) -> Any:
        return await ctx.call_activity("held", input=number)

    await live.serve(held, once)
    router = live.node.engine.router
    call = router.call

    async def late(target: Any, message: Any, **about: Any) -> Any:
        if isinstance(message, StartWorkflow) and message.event.input == "2":
            await first  # As a start that has to look for the owner, or waits in a full mailbox.
        return await call(target, message, **about)

    with mock.patch.object(router, "call", late):
        first = asyncio.ensure_future(live.service.run("once", "1", instance_id="o"))
        await gate.entered.wait()
        second = asyncio.ensure_future(live.service.run("once", "2", instance_id="o"))
        await asyncio.sleep(0)
        gate.opened.set()
        views = [await first, await second]
    assert [(view.row.output, view.input) for view in views] == [("1", "1"), ("2", "2")]


@pytest.mark.parametrize("waits_for_end", [False, True])
async def test_whoever_looks_sees_what_an_instance_began_with(
    world: World, waits_for_end: bool
) -> None:
    await world.serve(waits)
    start_at_us = world.now_us() + 100_000
    instance = await world.start("waits", 7, start_at_us=start_at_us, tags=(("team", "red"),))
    if waits_for_end:
        await instance.raise_event("go")
        view = await world.service.wait(instance.id, timeout=15)
    else:
        view = await world.service.get(instance.id)
    assert view.start is not None
    assert (view.start.scheduled_us, view.start.tags) == (start_at_us, (("team", "red"),))
    assert view.input == "7"
