"""Workflows of one app that call activities and workflows of another one in the same cluster.

`shop` calls, in the three modes; `bank` is called. Both are nodes in this process, on one file.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

import perdure
from perdure import Registry, RetryPolicy, TaskFailedError, WorkflowContext
from perdure.runtime.dapr.definitions import activity_definition, workflow_definition
from perdure.runtime.workflow import history as h
from perdure.runtime.workflow.errors import InstanceNotFound
from tests.support.two_apps import (
    SETTINGS,
    Receipt,
    charge,
    fails,
    serve_bank,
    serve_shop,
    transfer,
    waits,
)
from tests.support.world import World

QUICKLY = RetryPolicy(first_retry_interval=timedelta(milliseconds=1), max_number_of_attempts=3)


# ---- activities


async def test_an_activity_of_another_app_gives_its_result(shop: World, bank: World) -> None:
    @perdure.workflow
    async def order(ctx: WorkflowContext) -> list[Any]:
        plain = await ctx.call_activity("charge", input=3, app_id="bank")
        asked = await ctx.call_activity("charge", input=4, app_id="bank", result_type=Receipt)
        hinted = await ctx.call_activity(charge, input=5, app_id="bank")
        return [plain, asked.cents, hinted.cents]

    await serve_bank(bank, charge)
    await serve_shop(shop, order)
    assert await (await shop.start("order")).result() == [{"cents": 3}, 4, 5]
    assert await bank.ids() == []


async def test_the_failure_of_an_activity_of_another_app_has_its_details(
    shop: World, bank: World
) -> None:
    @perdure.activity
    def decline() -> None:
        raise ValueError("no money")

    @perdure.workflow
    async def order(ctx: WorkflowContext) -> list[str]:
        told = []
        for name in ("decline", "unknown"):
            try:
                await ctx.call_activity(name, app_id="bank")
            except TaskFailedError as error:
                told += [error.details.error_type, error.details.message]
        return told

    await serve_bank(bank, decline)
    await serve_shop(shop, order)
    told = await (await shop.start("order")).result()
    assert told[:3] == ["ValueError", "no money", "TaskActivityNotRegistered"]
    assert "unknown" in told[3]


async def test_an_activity_of_another_app_is_tried_again_there(shop: World, bank: World) -> None:
    tries = []

    @perdure.activity
    def flaky(ctx: perdure.ActivityContext, input: None = None) -> int:
        tries.append(ctx.task_execution_id)
        if len(tries) < 3:
            raise ConnectionError("try again")
        return len(tries)

    @perdure.workflow
    async def order(ctx: WorkflowContext) -> Any:
        return await ctx.call_activity("flaky", retry_policy=QUICKLY, app_id="bank")

    await serve_bank(bank, flaky)
    await serve_shop(shop, order)
    instance = await shop.start("order")
    assert await instance.result() == 3
    assert [event.app_id for event in await instance.of(h.TaskScheduled)] == ["bank"] * 3
    assert len(set(tries)) == 1


async def test_each_app_runs_its_own_code_under_a_name_that_both_have(
    shop: World, bank: World
) -> None:
    def named(answer: str) -> tuple[Any, Any]:
        @perdure.activity(name="who")
        def activity() -> str:
            return answer

        @perdure.workflow(name="whose")
        async def child(ctx: WorkflowContext) -> str:
            return answer

        return activity, child

    @perdure.workflow
    async def order(ctx: WorkflowContext) -> list[str]:
        return [
            await ctx.call_activity("who"),
            await ctx.call_activity("who", app_id="shop"),
            await ctx.call_activity("who", app_id="bank"),
            await ctx.call_child_workflow("whose"),
            await ctx.call_child_workflow("whose", app_id="shop"),
            await ctx.call_child_workflow("whose", app_id="bank"),
        ]

    await serve_bank(bank, *named("bank"))
    await serve_shop(shop, order, *named("shop"))
    instance = await shop.start("order", instance_id="o")
    assert await instance.result() == ["shop", "shop", "bank"] * 2
    asked = [
        event.app_id
        for kind in (h.TaskScheduled, h.ChildWorkflowInstanceCreated)
        for event in await instance.of(kind)
    ]
    assert asked == [None, None, "bank"] * 2
    assert await shop.ids() == ["o", "o:0004", "o:0005"]
    assert await bank.ids() == ["o:0006"]


async def test_many_activities_of_another_app_all_answer(shop: World, bank: World) -> None:
    @perdure.workflow
    async def order(ctx: WorkflowContext) -> int:
        calls = [ctx.call_activity("charge", input=n, app_id="bank") for n in range(50)]
        return sum([(await call)["cents"] for call in calls])

    await serve_bank(bank, charge)
    await serve_shop(shop, order)
    assert await (await shop.start("order")).result() == sum(range(50))


async def test_code_for_dapr_sees_what_it_would_see_of_its_own_app(
    shop: World, bank: World
) -> None:
    def pay(ctx: Any, cents: int) -> Receipt:
        return Receipt(cents)

    def move(ctx: Any, cents: int) -> Any:
        yield ctx.create_timer(timedelta(milliseconds=1))
        return Receipt(cents)

    def order(ctx: Any, _: Any) -> Any:
        paid = yield ctx.call_activity("pay", input=1, app_id="bank")
        moved = yield ctx.call_child_workflow("move", input=2, app_id="bank")
        return [paid.cents, moved.cents]

    theirs, ours = Registry(), Registry()
    theirs.add(activity_definition(pay, "pay"))
    theirs.add(workflow_definition(move, "move"))
    ours.add(workflow_definition(order, "order"))
    await bank.serve(theirs, app_id="bank", **SETTINGS)
    await shop.serve(ours, app_id="shop", **SETTINGS)
    assert await (await shop.start("order")).result() == [1, 2]


# ---- children


async def test_a_child_in_another_app_gives_its_result(shop: World, bank: World) -> None:
    @perdure.workflow
    async def order(ctx: WorkflowContext) -> list[Any]:
        plain = await ctx.call_child_workflow("transfer", input=3, app_id="bank")
        hinted = await ctx.call_child_workflow(transfer, input=4, app_id="bank")
        return [plain, hinted.cents]

    await serve_bank(bank, transfer)
    await serve_shop(shop, order)
    assert await (await shop.start("order", instance_id="o")).result() == [{"cents": 3}, 4]
    assert await bank.ids() == ["o:0001", "o:0002"]
    assert await shop.ids() == ["o"]
    row = await bank.handle("o:0001").row()
    assert (row.parent_id, row.parent_app) == ("o", "shop")


async def test_the_failure_of_a_child_in_another_app_has_its_details(
    shop: World, bank: World
) -> None:
    @perdure.workflow
    async def order(ctx: WorkflowContext) -> list[str]:
        told = []
        for name in ("fails", "unknown"):
            try:
                await ctx.call_child_workflow(name, app_id="bank")
            except TaskFailedError as error:
                told += [error.details.error_type, error.details.message]
        return told

    await serve_bank(bank, fails)
    await serve_shop(shop, order)
    told = await (await shop.start("order")).result()
    assert told[:3] == ["ValueError", "no money", "OrchestratorNotRegisteredError"]
    assert "unknown" in told[3]


async def test_a_child_in_another_app_is_tried_again_as_a_new_instance(
    shop: World, bank: World
) -> None:
    @perdure.workflow
    async def order(ctx: WorkflowContext) -> str:
        try:
            await ctx.call_child_workflow("fails", retry_policy=QUICKLY, app_id="bank")
        except TaskFailedError as error:
            return error.details.message
        return ""

    await serve_bank(bank, fails)
    await serve_shop(shop, order)
    assert await (await shop.start("order", instance_id="o")).result() == "no money"
    assert await bank.ids() == ["o:0001", "o:0003", "o:0005"]


async def test_an_id_may_be_in_use_in_each_app(shop: World, bank: World) -> None:
    @perdure.workflow
    async def order(ctx: WorkflowContext) -> Any:
        same = ctx.instance_id
        return await ctx.call_child_workflow(
            "transfer", input=1, instance_id=same, app_id="bank", result_type=Receipt
        )

    await serve_bank(bank, transfer)
    await serve_shop(shop, order)
    assert await (await shop.start("order", instance_id="o")).result() == {"cents": 1}
    assert await shop.ids() == await bank.ids() == ["o"]


async def test_an_id_that_is_taken_in_the_other_app_fails_the_call(
    shop: World, bank: World
) -> None:
    @perdure.workflow
    async def order(ctx: WorkflowContext) -> str:
        try:
            await ctx.call_child_workflow("waits", instance_id="taken", app_id="bank")
        except TaskFailedError as error:
            return error.details.error_type
        return ""

    await serve_bank(bank, waits)
    taken = await bank.start("waits", instance_id="taken")
    await taken.running()
    await serve_shop(shop, order)
    assert await (await shop.start("order")).result() == "WorkflowInstanceAlreadyExists"
    assert await taken.status() is h.Status.RUNNING
    await taken.terminate()


async def test_an_instance_is_found_in_its_own_app_only(shop: World, bank: World) -> None:
    @perdure.workflow
    async def order(ctx: WorkflowContext) -> Any:
        return await ctx.call_child_workflow("waits", instance_id="w", app_id="bank")

    await serve_bank(bank, waits)
    await serve_shop(shop, order)
    instance = await shop.start("order", instance_id="o")
    child = bank.handle("w")
    await child.running()
    assert (await shop.ids(), await bank.ids()) == (["o"], ["w"])
    for call in (bank.service.get("o"), shop.service.get("w"), shop.service.terminate("w")):
        with pytest.raises(InstanceNotFound):
            await call
    await child.raise_event("go", "on")
    assert await instance.result() == "on"


async def test_a_workflow_on_its_own_begins_in_another_app(shop: World, bank: World) -> None:
    @perdure.workflow
    async def order(ctx: WorkflowContext) -> str:
        return ctx.schedule_new_workflow("transfer", input=9, app_id="bank")

    await serve_bank(bank, transfer)
    await serve_shop(shop, order)
    instance = await shop.start("order", instance_id="o")
    assert await instance.result() == "o-1"
    detached = bank.handle("o-1")
    assert await detached.result() == {"cents": 9}
    assert (await detached.row()).parent is None
    assert await instance.purge() == 1
    assert await bank.ids() == ["o-1"]
