"""Managing the instances of one app through a node of another one, on the same database.

`shop` is asked, in the three modes; `bank` runs what it is about.
"""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

import perdure
from perdure import WorkflowContext
from perdure.actors.errors import Retryable
from perdure.runtime.workflow import history as h
from perdure.runtime.workflow import payload, views
from perdure.runtime.workflow.errors import (
    InstanceCreatedBefore,
    InstanceExists,
    InstanceNotFound,
    NoSuchApp,
    NotCompleted,
)
from perdure.runtime.workflow.fork import Rerun
from perdure.runtime.workflow.records import ListQuery
from perdure.runtime.workflow.service import FINISHED, WorkflowService
from perdure.runtime.workflow.watchers import Listener
from tests.support.rerunning import Calls, chain
from tests.support.two_apps import idle, serve_bank, serve_shop, transfer, waits
from tests.support.world import PATIENCE, World

SUSPENDED = frozenset({h.Status.SUSPENDED})


@perdure.workflow
async def holds(ctx: WorkflowContext) -> Any:
    return await ctx.call_child_workflow("waits", instance_id="child")


@pytest.fixture
async def apps(shop: World, bank: World) -> World:
    await serve_bank(bank, transfer, waits, holds, chain, Calls().add)
    await serve_shop(shop, idle, waits)
    return shop


async def at_bank(shop: World) -> WorkflowService:
    """The bank's instances, as a node of the shop manages them."""
    await shop.step()
    return await shop.service.of("bank")


async def test_an_instance_of_another_app_is_started_and_waited_for(
    apps: World, bank: World
) -> None:
    there = await at_bank(apps)
    made = await there.start("transfer", "3", instance_id="t")
    assert made == "t"
    view = await (await at_bank(apps)).wait("t", timeout=PATIENCE)
    assert (view.row.status, view.row.output) == (h.Status.COMPLETED, '{"cents":3}')
    assert (view.input, await bank.ids(), await apps.ids()) == ("3", ["t"], [])


async def test_an_id_that_is_taken_there_is_refused_and_here_is_free(
    apps: World, bank: World
) -> None:
    there = await at_bank(apps)
    await there.start("waits", instance_id="w")
    with pytest.raises(InstanceExists):
        await there.start("waits", instance_id="w")
    ours = await apps.start("waits", instance_id="w")
    await ours.raise_event("go", "ours")
    assert await ours.result() == "ours"
    assert (await (await at_bank(apps)).get("w")).row.status is h.Status.RUNNING


async def test_whoever_waits_is_told_by_the_other_app_and_not_of_a_namesake_here(
    steady_shop: World, bank: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(views, "LOOK_SECONDS", 10 * PATIENCE)  # Looking helps nobody here.
    await serve_bank(bank, waits)
    await serve_shop(steady_shop, waits)
    bank.node.engine.refresh()
    while len(bank.node.engine.router.view.present()) < 2:
        await asyncio.sleep(0.01)
    watchers, subscribed = bank.node.engine.watchers, asyncio.Event()
    add = watchers.add

    def added(instance_id: str, listener: Listener) -> None:
        add(instance_id, listener)
        subscribed.set()

    monkeypatch.setattr(watchers, "add", added)
    there, here = await at_bank(steady_shop), steady_shop.service
    for service in (there, here):
        await service.start("waits", instance_id="w")
    async with asyncio.timeout(PATIENCE):
        waiting = asyncio.ensure_future(there.wait("w", timeout=PATIENCE))
        await subscribed.wait()
        await here.raise_event("w", "go", '"ours"')
        assert (await here.wait("w", timeout=PATIENCE)).row.output == '"ours"'
        await there.raise_event("w", "go", '"theirs"')
        assert (await waiting).row.output == '"theirs"'


async def test_an_instance_of_another_app_is_changed(apps: World, bank: World) -> None:
    await (await at_bank(apps)).start("waits", instance_id="w")
    await (await at_bank(apps)).suspend("w", "a check")
    view = await (await at_bank(apps)).wait("w", until=SUSPENDED, timeout=PATIENCE)
    assert view.row.status is h.Status.SUSPENDED
    await (await at_bank(apps)).resume("w")
    await (await at_bank(apps)).raise_event("w", "go", payload.encode("on"))
    assert await bank.handle("w").result() == "on"


async def test_terminate_and_purge_take_the_children_of_another_apps_instance(
    apps: World, bank: World
) -> None:
    await (await at_bank(apps)).start("holds", instance_id="h")
    await bank.handle("child").running()
    with pytest.raises(NotCompleted):
        await (await at_bank(apps)).purge("h")
    await (await at_bank(apps)).terminate("h", '"enough"')
    for instance_id in ("h", "child"):
        row = (await (await at_bank(apps)).wait(instance_id, timeout=PATIENCE)).row
        assert row.status is h.Status.TERMINATED
    assert await (await at_bank(apps)).purge("h") == 2
    with pytest.raises(InstanceNotFound):
        await (await at_bank(apps)).get("h")
    assert await bank.ids() == []


async def test_the_instances_of_another_app_are_listed_with_their_history(
    apps: World, bank: World
) -> None:
    await (await at_bank(apps)).start("transfer", "3", instance_id="t")
    there = await at_bank(apps)
    await there.wait("t", timeout=PATIENCE)
    assert [row.instance_id for row in (await there.page(ListQuery())).rows] == ["t"]
    assert await there.counts(ListQuery()) == {h.Status.COMPLETED: 1}
    row, turns = await there.history("t")
    assert row.name == "transfer"
    assert turns == await bank.handle("t").turns()


async def test_an_instance_of_another_app_runs_again_from_an_event(
    apps: World, bank: World
) -> None:
    there = await at_bank(apps)
    await there.start("chain", "1", instance_id="a")
    await bank.handle("a").finished()
    changed = Rerun(event_id=2, new_id="b", input="10", overwrite_input=True)
    assert await (await at_bank(apps)).rerun("a", changed) == "b"
    assert await bank.handle("b").result() == [1, 2, 11, 12]
    assert await apps.ids() == []
    with pytest.raises(InstanceCreatedBefore):
        await (await at_bank(apps)).rerun("a", changed)
    unnamed = await (await at_bank(apps)).rerun("a", Rerun(event_id=1))
    assert await bank.handle(unnamed).result() == [1, 2, 3, 4]


@pytest.mark.parametrize("own", [None, "shop"])
async def test_the_own_app_is_managed_as_ever(apps: World, own: str | None) -> None:
    assert await apps.service.of(own) is apps.service


async def test_an_app_of_which_there_never_was_a_node_is_refused_at_once(apps: World) -> None:
    with pytest.raises(NoSuchApp, match="no node of this cluster is of app 'post'"):
        await apps.service.of("post")


async def test_an_unknown_instance_is_unknown_there_too(apps: World) -> None:
    there = await at_bank(apps)
    for attempt in (there.get("nobody"), there.suspend("nobody"), there.wait("nobody", timeout=1)):
        with pytest.raises(InstanceNotFound):
            await attempt


async def test_without_a_node_of_that_app_its_instances_are_seen_and_not_changed(
    steady_shop: World, bank: World
) -> None:
    await serve_bank(bank, transfer)
    await (await bank.start("transfer", 3, instance_id="t")).result()
    await bank.stop()
    await steady_shop.serve(idle, app_id="shop", call_seconds=0.05)
    there = await steady_shop.service.of("bank")
    assert (await there.wait("t", until=FINISHED, timeout=PATIENCE)).row.output == '{"cents":3}'
    with pytest.raises(Retryable):
        await there.start("transfer", "3")
