"""Joining where a node of the same id is, or seems to be."""

from __future__ import annotations

import asyncio

import pytest

from perdure.placement.errors import NodeIdTaken
from perdure.placement.joining import Applicant, join
from perdure.placement.membership import NodeState
from perdure.placement.ports import Joined
from tests.support.virtual_time import virtually
from tests.unit.placement.given import SLOTS, World, identity

LEASE = 5.0


async def _joining(world: World, incarnation: str) -> Joined:
    who = identity("n1", incarnation)
    applicant = Applicant(who, SLOTS, world.is_alive, None, LEASE)
    return await join(world.rows_of("n1").store, world.env, applicant)


@virtually
async def test_where_nobody_is_a_node_joins_at_once(world: World) -> None:
    loop = asyncio.get_running_loop()
    began = loop.time()
    joined = await _joining(world, "first")
    assert loop.time() - began < 1
    assert joined.fence.incarnation == "first"
    assert len(joined.secret) > 32


@virtually
async def test_a_twin_whose_process_is_gone_is_no_hindrance(world: World) -> None:
    before = await world.joined("n1", incarnation="before")
    world.dead.add("before")
    joined = await _joining(world, "after")
    assert [record.generation for record in joined.unclean] == [before.fence.generation]


@virtually
async def test_a_twin_that_gives_no_sign_of_life_for_a_lease_is_dead(world: World) -> None:
    before = await world.joined("n1", incarnation="before")
    loop = asyncio.get_running_loop()
    began = loop.time()
    joined = await _joining(world, "after")
    assert loop.time() - began >= LEASE
    assert [record.generation for record in joined.unclean] == [before.fence.generation]
    assert joined.fence.generation > before.fence.generation


@virtually
async def test_a_twin_that_lives_keeps_its_id(world: World) -> None:
    before = await world.joined("n1", incarnation="before")
    loop = asyncio.get_running_loop()
    began = loop.time()
    async with world.running(before):
        with pytest.raises(NodeIdTaken, match="node id 'n1' is in use by the running process 1"):
            await _joining(world, "after")
    assert loop.time() - began < LEASE
    assert await world.owners() == ["n1"] * SLOTS


@virtually
async def test_a_twin_that_is_only_late_keeps_its_id(world: World) -> None:
    before = await world.joined("n1", incarnation="before")
    joining = asyncio.ensure_future(_joining(world, "after"))
    await asyncio.sleep(0.95 * LEASE)
    await before.rows.store.commit(before.fence, [])
    with pytest.raises(NodeIdTaken):
        await joining
    await before.rows.store.commit(before.fence, [])


@virtually
async def test_a_twin_that_leaves_meanwhile_makes_room(world: World) -> None:
    before = await world.joined("n1", incarnation="before")
    joining = asyncio.ensure_future(_joining(world, "after"))
    await asyncio.sleep(1)
    await before.rows.store.leave(before.fence)
    joined = await joining
    assert joined.unclean == ()
    assert [node.state for node in joined.view.nodes] == [NodeState.UP]


@virtually
async def test_a_twin_that_is_gone_before_it_is_looked_for_makes_room_too(world: World) -> None:
    before = await world.joined("n1", incarnation="before")
    joining = asyncio.ensure_future(_joining(world, "after"))
    await asyncio.sleep(0)
    await before.rows.store.leave(before.fence)
    loop = asyncio.get_running_loop()
    began = loop.time()
    assert (await joining).unclean == ()
    assert loop.time() - began < 1


@virtually
async def test_a_process_that_joins_again_is_not_its_own_twin(world: World) -> None:
    before = await world.joined("n1", incarnation="the same")
    joined = await _joining(world, "the same")
    assert joined.fence.generation > before.fence.generation
    assert joined.unclean == ()
