"""What code may rely on: time, ids, randomness and logs are the same in every replay."""

from __future__ import annotations

import contextvars
import decimal
import logging
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

import perdure
from perdure import ReplayFilter, WorkflowContext
from tests.support.world import Records, World

MS = timedelta(milliseconds=1)


@pytest.fixture
def records() -> Iterator[Records]:
    """What is logged through the logger `shop`, without what is logged during replay."""
    handler = Records()
    handler.addFilter(ReplayFilter())
    logger = logging.getLogger("shop")
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    yield handler
    logger.removeHandler(handler)


async def test_time_uuids_and_random_numbers_are_the_same_in_every_replay(world: World) -> None:
    runs: list[list[Any]] = []

    @perdure.workflow
    async def order(ctx: WorkflowContext) -> list[Any]:
        seen: list[Any] = []
        runs.append(seen)
        for _ in range(4):
            seen.append(ctx.current_utc_datetime.isoformat())
            seen.append(ctx.new_uuid())
            seen.append(ctx.random.random())
            await ctx.create_timer(MS)
        return seen

    await world.serve(order)
    instance = await world.start("order")
    seen = await instance.result()
    await world.check_replays()
    assert all(run == seen[: len(run)] for run in runs)
    assert len(runs) >= 2
    uuids = seen[1::3]
    assert len({UUID(each) for each in uuids}) == 4


async def test_the_logical_time_is_in_utc_and_stands_still_within_a_turn(world: World) -> None:
    @perdure.workflow
    async def order(ctx: WorkflowContext) -> list[Any]:
        before = ctx.current_utc_datetime
        same = before == ctx.current_utc_datetime
        await ctx.create_timer(MS)
        return [before.tzinfo is UTC, same, ctx.current_utc_datetime > before]

    started = datetime.fromtimestamp(world.now_us() / 1e6, UTC)
    await world.serve(order)
    instance = await world.start("order")
    assert await instance.result() == [True, True, True]
    at_us = (await instance.turns())[0].at_us
    assert at_us >= int(started.timestamp() * 1e6)


async def test_ids_and_random_numbers_differ_between_instances_and_runs(world: World) -> None:
    @perdure.workflow
    async def order(ctx: WorkflowContext, seen: list[Any]) -> list[Any]:
        seen.append([ctx.new_uuid(), ctx.random.random()])
        if len(seen) < 3:
            ctx.continue_as_new(seen)
        return seen

    await world.serve(order)
    found: list[Any] = []
    for number in range(2):
        found += await (await world.start("order", [], instance_id=f"o{number}")).result()
    assert len({uuid for uuid, _ in found}) == 6
    assert len({number for _, number in found}) == 6


async def test_each_line_is_logged_once_however_often_the_code_is_replayed(
    steady: World, records: Records
) -> None:
    shop = logging.getLogger("shop")

    @perdure.workflow
    async def order(ctx: WorkflowContext) -> None:
        for number in range(4):
            shop.info("step %s", number)
            await ctx.create_timer(MS)
        shop.info("done")

    await steady.serve(order)
    await (await steady.start("order")).result()
    assert records.texts == ["step 0", "step 1", "step 2", "step 3", "done"]


async def test_the_contexts_own_logger_is_silent_in_replay_and_names_the_instance(
    steady: World, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "perdure")

    @perdure.workflow
    async def order(ctx: WorkflowContext) -> None:
        for number in range(3):
            ctx.logger.info("step %s", number)
            await ctx.create_timer(MS)

    await steady.serve(order)
    instance = await steady.start("order", instance_id="o1")
    await instance.result()
    lines = [record for record in caplog.records if record.getMessage().startswith("step")]
    assert [record.getMessage() for record in lines] == ["step 0", "step 1", "step 2"]
    assert {getattr(record, "instance_id", None) for record in lines} == {"o1"}


async def test_what_code_logs_while_it_is_given_up_is_not_heard(
    steady: World, records: Records
) -> None:
    """An eviction is no event of the workflow; only the real end of the block is."""
    shop = logging.getLogger("shop")

    @perdure.workflow
    async def order(ctx: WorkflowContext) -> None:
        try:
            await ctx.wait_for_external_event("go")
        finally:
            shop.info("left")

    await steady.serve(order)
    instance = await steady.start("order")
    await instance.suspend()
    await instance.resume()
    await instance.raise_event("go")
    await instance.result()
    assert records.texts == ["left"]


async def test_a_workflow_knows_whether_it_is_replayed(steady: World) -> None:
    seen: list[bool] = []

    @perdure.workflow
    async def order(ctx: WorkflowContext) -> None:
        for _ in range(3):
            seen.append(ctx.is_replaying)
            # Long enough to be evicted in between: what has a message waiting stays.
            await ctx.create_timer(50 * MS)

    await steady.serve(order)
    await (await steady.start("order")).result()
    assert seen.count(False) == 3
    assert any(seen) is (steady.mode != "live")


async def test_what_happens_around_a_turn_does_not_leak_into_the_code(world: World) -> None:
    """Context variables of whoever starts an instance, the precision of decimals among them."""
    user = contextvars.ContextVar("user", default="nobody")

    @perdure.workflow
    async def order(ctx: WorkflowContext) -> list[Any]:
        first = user.get()
        user.set("the workflow")
        await ctx.create_timer(MS)
        return [first, user.get(), str(decimal.Decimal(1) / decimal.Decimal(3))]

    @perdure.workflow
    async def other(ctx: WorkflowContext) -> str:
        return user.get()

    await world.serve(order, other)
    user.set("the caller")
    with decimal.localcontext() as context:
        context.prec = 3
        instance = await world.start("order")
    assert await instance.result() == ["nobody", "the workflow", "0." + "3" * 28]
    assert await (await world.start("other")).result() == "nobody"
    assert user.get() == "the caller"
