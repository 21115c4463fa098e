"""What becomes of a call of another app if one of the two sides is ended, removed or away.

`shop` calls, `bank` is called, as in `test_apps`.
"""

from __future__ import annotations

from typing import Any

import pytest

import perdure
from perdure import WorkflowContext
from perdure.runtime.workflow import history as h
from perdure.runtime.workflow.errors import InstanceStalled, NotCompleted
from tests.support.two_apps import charge, serve_bank, serve_shop, transfer, waits
from tests.support.world import Gate, World


@perdure.workflow
async def teller(ctx: WorkflowContext) -> Any:
    """In the bank, between two workflows of the shop."""
    return await ctx.call_child_workflow("waits", instance_id="leaf", app_id="shop")


@perdure.workflow
async def customer(ctx: WorkflowContext) -> Any:
    return await ctx.call_child_workflow("teller", instance_id="middle", app_id="bank")


async def _served_tree(shop: World, bank: World) -> list[Any]:
    """Handles of a tree over both apps, from its root to its leaf, which waits."""
    await serve_bank(bank, teller)
    await serve_shop(shop, customer, waits)
    tree = [await shop.start("customer", instance_id="root"), bank.handle("middle")]
    tree.append(shop.handle("leaf"))
    await tree[2].running()
    return tree


async def test_a_result_comes_back_over_two_apps(shop: World, bank: World) -> None:
    root, _, leaf = await _served_tree(shop, bank)
    await leaf.raise_event("go", "all the way")
    assert await root.result() == "all the way"


async def test_terminate_ends_children_wherever_they_are(shop: World, bank: World) -> None:
    root, middle, leaf = await _served_tree(shop, bank)
    await root.terminate("enough")
    for each in (root, middle, leaf):
        assert (await each.finished()).status is h.Status.TERMINATED


async def test_terminate_without_its_children_leaves_those_of_other_apps(
    shop: World, bank: World
) -> None:
    root, middle, leaf = await _served_tree(shop, bank)
    await root.terminate(recursive=False)
    await root.finished()
    await leaf.raise_event("go", "still there")
    assert await middle.result() == "still there"


async def test_purge_takes_children_wherever_they_are(shop: World, bank: World) -> None:
    root, _, leaf = await _served_tree(shop, bank)
    await leaf.raise_event("go")
    await root.result()
    assert await root.purge() == 3
    assert await shop.ids() == await bank.ids() == []


async def test_purge_leaves_a_tree_alone_that_has_not_finished_in_another_app(
    shop: World, bank: World
) -> None:
    root, *_ = await _served_tree(shop, bank)
    await root.terminate(recursive=False)
    await root.finished()
    with pytest.raises(NotCompleted) as caught:
        await root.purge()
    assert caught.value.instance_id == "middle"
    assert (await shop.ids(), await bank.ids()) == (["root", "leaf"], ["middle"])
    assert await root.purge(force=True) == 3
    assert await shop.ids() == await bank.ids() == []


# ---- an app that is not there


async def test_a_call_waits_for_an_app_that_is_not_there_yet(shop: World, bank: World) -> None:
    @perdure.workflow
    async def order(ctx: WorkflowContext) -> list[Any]:
        paid = ctx.call_activity("charge", input=1, app_id="bank")
        moved = ctx.call_child_workflow("transfer", input=2, app_id="bank")
        return [await paid, await moved]

    await serve_shop(shop, order)
    instance = await shop.start("order", instance_id="o")
    await instance.saw("TaskScheduled")
    assert await instance.status() is h.Status.RUNNING
    await shop.step()
    await serve_bank(bank, charge, transfer)
    assert await instance.result() == [{"cents": 1}, {"cents": 2}]


async def test_a_workflow_whose_child_is_to_begin_elsewhere_is_not_purged(
    steady_shop: World, bank: World
) -> None:
    @perdure.workflow
    async def order(ctx: WorkflowContext) -> None:
        ctx.call_child_workflow("transfer", input=2, instance_id="child", app_id="bank")

    await serve_shop(steady_shop, order)
    instance = await steady_shop.start("order", instance_id="o")
    await instance.result()
    with pytest.raises(NotCompleted) as caught:
        await instance.purge()
    assert caught.value.instance_id == "child"
    await serve_bank(bank, transfer)
    assert await bank.handle("child").result() == {"cents": 2}
    assert await instance.purge() == 2


async def test_terminate_does_not_wait_for_an_app_that_is_not_there(
    steady_shop: World, bank: World
) -> None:
    @perdure.workflow
    async def order(ctx: WorkflowContext) -> None:
        await ctx.call_child_workflow("waits", instance_id="child", app_id="bank")

    await serve_shop(steady_shop, order)
    instance = await steady_shop.start("order", instance_id="o")
    await instance.running()
    await instance.terminate()
    assert (await instance.finished()).status is h.Status.TERMINATED
    await serve_bank(bank, waits)
    assert (await bank.handle("child").finished()).status is h.Status.TERMINATED


async def test_an_end_that_comes_while_the_caller_is_away_waits_for_it(
    steady_shop: World, bank: World
) -> None:
    @perdure.workflow
    async def order(ctx: WorkflowContext) -> Any:
        return await ctx.call_child_workflow("waits", instance_id="child", app_id="bank")

    await serve_bank(bank, waits)
    await serve_shop(steady_shop, order)
    instance = await steady_shop.start("order", instance_id="o")
    child = bank.handle("child")
    await child.running()
    await steady_shop.stop()
    await child.raise_event("go", "while you were out")
    await child.result()
    await steady_shop.restart()
    assert await instance.result() == "while you were out"


def order_of_a_slow_activity(gate: Gate) -> tuple[Any, Any]:
    """A workflow, and the other app's activity that it calls, which waits at the gate."""

    @perdure.activity
    async def slow() -> str:
        await gate.wait()
        return "done"

    @perdure.workflow
    async def order(ctx: WorkflowContext) -> Any:
        return await ctx.call_activity("slow", app_id="bank")

    return order, slow


async def test_an_activity_outlives_the_node_of_its_caller(steady_shop: World, bank: World) -> None:
    gate = Gate()
    order, slow = order_of_a_slow_activity(gate)
    await serve_bank(bank, slow)
    await serve_shop(steady_shop, order)
    instance = await steady_shop.start("order", instance_id="o")
    await gate.entered.wait()
    await steady_shop.restart()
    gate.opened.set()
    assert await instance.result() == "done"
    assert gate.count == 1


async def test_an_activity_whose_node_went_away_is_run_by_the_next_one(
    steady_shop: World, bank: World
) -> None:
    gate = Gate()
    order, slow = order_of_a_slow_activity(gate)
    await serve_bank(bank, slow)
    await serve_shop(steady_shop, order)
    instance = await steady_shop.start("order", instance_id="o")
    await gate.entered.wait()
    await bank.stop()
    gate.opened.set()
    await serve_bank(bank, slow)
    assert await instance.result() == "done"
    assert gate.count == 2


async def test_a_workflow_that_now_calls_another_app_is_stalled(
    steady_shop: World, bank: World
) -> None:
    def order_at(app_id: str | None) -> Any:
        @perdure.workflow(name="order")
        async def order(ctx: WorkflowContext) -> Any:
            await ctx.call_activity("charge", input=1, app_id=app_id)
            return await ctx.wait_for_external_event("go")

        return order

    await serve_bank(bank, charge)
    await serve_shop(steady_shop, order_at("bank"))
    instance = await steady_shop.start("order", instance_id="o")
    await instance.saw("TaskCompleted")
    await serve_shop(steady_shop, order_at(None), charge)
    with pytest.raises(InstanceStalled):  # Nobody looks at it before something happens to it.
        await steady_shop.service.suspend("o")
    stalled = (await instance.until(h.Status.STALLED)).stalled or ""
    assert "history has activity 'charge' of app 'bank' with input 1" in stalled
    assert "the code now asks for activity 'charge' with input 1" in stalled
    await serve_shop(steady_shop, order_at("bank"))
    await instance.resume()
    await instance.raise_event("go", "on")
    assert await instance.result() == "on"
