"""A node's membership: it takes over from the dead, hands over to the living, and may be fenced."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest

from perdure.actors.errors import CommitUnknown, NodeFenced, StoreUnavailable
from perdure.placement.membership import NodeState
from tests.support.virtual_time import virtually
from tests.unit.placement.given import APP, SLOTS, Process, World, record, view


@virtually
async def test_a_second_node_gets_its_share_from_the_first(world: World) -> None:
    one = await world.joined("n1")
    assert one.slots == set(range(SLOTS))
    async with world.running(one):
        two = await world.joined("n2")
        async with world.running(two):
            assert two.slots == set()
            await asyncio.sleep(3)
            assert Counter(await world.owners()) == {"n1": 4, "n2": 4}
            assert len(one.slots) == len(two.slots) == 4
            assert one.slots | two.slots == set(range(SLOTS))
            assert set(one.host.vacated) == two.slots
            assert two.gained >= 1


@virtually
async def test_a_slot_is_left_before_it_is_given(world: World) -> None:
    one, two = await world.joined("n1"), await world.joined("n2")
    seen: list[set[int]] = []
    hand_over = one.rows.store.hand_over

    async def observed(*args: object) -> int:
        one.host.log.append("hand_over")
        seen.append(set(one.host.vacated))
        assert one.slots.isdisjoint(one.host.vacated)
        return await hand_over(*args)  # type: ignore[arg-type]

    one.rows.store.hand_over = observed  # type: ignore[assignment,method-assign]
    one.agent.on_view = lambda found: one.host.log.append("adopt")
    async with world.running(one, two):
        await asyncio.sleep(3)
    assert one.host.log[0] == "adopt"  # The other one is there.
    assert one.host.log[1:4] == ["vacate", "hand_over", "adopt"]
    assert [len(slots) for slots in seen] == [4]


@virtually
async def test_only_a_newer_view_is_adopted(world: World) -> None:
    one = await world.joined("n1")
    version = one.router.view.version
    views, others = list(one.views), len(world.line.adopted)
    for old in (version - 1, version):
        one.agent.adopt(view(old, record("n9")))
    assert (one.router.view.version, one.views) == (version, views)
    assert len(world.line.adopted) == others
    strangers = one.host.dropped_strangers
    one.agent.adopt((await world.joined("n2")).joined.view)
    assert one.host.dropped_strangers == strangers + 1
    assert one.views == [*views, one.router.view.version]
    assert one.router.view.version > version
    assert world.line.adopted[-1] == ["n2"]


@virtually
async def test_a_process_that_is_gone_is_taken_over_at_once_and_by_one_alone(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    nodes = [await world.joined(f"n{number}") for number in (1, 2, 3)]
    one, two, three = nodes
    async with world.running(one, two, three) as tasks:
        await asyncio.sleep(5)
        assert Counter(await world.owners()).total() == SLOTS
        tasks[2].cancel()
        tasks[5].cancel()
        world.dead.add(three.fence.incarnation)
        await asyncio.sleep(1)
        assert set(await world.owners()) == {"n1", "n2"}
        assert one.slots | two.slots == set(range(SLOTS))
        assert one.slots.isdisjoint(two.slots)
    told = [r for r in caplog.records if getattr(r, "event", "") == "node_taken_over"]
    assert [r.node_id for r in told] == ["n3"]  # type: ignore[attr-defined]


@virtually
async def test_a_silent_node_is_taken_over_after_a_lease_and_not_before(world: World) -> None:
    one, two = await world.joined("n1"), await world.joined("n2")
    async with world.running(one, two) as tasks:
        await asyncio.sleep(5)
        assert Counter(await world.owners()) == {"n1": 4, "n2": 4}
        two.is_frozen = True
        tasks[1].cancel()
        await asyncio.sleep(4)
        assert set(await world.owners()) == {"n1", "n2"}
        await asyncio.sleep(4)
        assert await world.owners() == ["n1"] * SLOTS
        assert one.slots == set(range(SLOTS))


@virtually
async def test_a_node_that_cannot_write_declares_nobody_dead(world: World) -> None:
    one, two = await world.joined("n1"), await world.joined("n2")
    async with world.running(one, two) as tasks:
        await asyncio.sleep(5)
        two.is_frozen = one.is_frozen = True
        tasks[1].cancel()
        await asyncio.sleep(60)
        assert set(await world.owners()) == {"n1", "n2"}
        assert "take_over" not in one.rows.asked


@virtually
async def test_a_node_that_was_declared_dead_ends_when_it_reads_so(world: World) -> None:
    one, two = await world.joined("n1"), await world.joined("n2")
    record = next(node for node in two.joined.view.nodes if node.node_id == "n1")
    assert await two.rows.store.take_over(two.fence, record)
    with pytest.raises(NodeFenced, match="no longer a member under generation 1"):
        await one.agent.run()


@virtually
async def test_a_later_stay_of_the_same_node_fences_the_earlier_one(world: World) -> None:
    one = await world.joined("n1")
    await world.joined("n1")
    with pytest.raises(NodeFenced, match="generation 1"):
        await one.agent.run()


@virtually
async def test_slots_that_nobody_owns_are_taken(world: World) -> None:
    one = await world.joined("n1")
    async with world.running(one):
        await world.direct.write(
            lambda c: c.executescript(
                "UPDATE slots SET owner = 'nobody', epoch = epoch + 1 WHERE slot < 3;"
                "UPDATE meta SET value = value + 1 WHERE key = 'placement_version';"
            )
        )
        await asyncio.sleep(2)
        assert await world.owners() == ["n1"] * SLOTS
        assert one.slots == set(range(SLOTS))
        assert one.router.owned_slots[0] == 3
        assert one.router.owned_slots[7] == 1
        assert one.gained >= 1


@virtually
async def test_what_others_tell_makes_the_next_look_come_sooner(world: World) -> None:
    one, two = await world.joined("n1", 50.0), await world.joined("n2", 50.0)
    async with world.running(one, two):
        await asyncio.sleep(0.05)
        version = one.router.view.version
        loop = asyncio.get_running_loop()
        began = loop.time()
        two.agent.adopt(await two.rows.store.read_cluster())
        await two.rows.store.begin_drain(two.fence)
        two.agent.tell_others()
        await asyncio.sleep(0.05)
        assert one.router.view.version > version
        assert loop.time() - began < 1


# ---- a store that fails


@virtually
async def test_rows_that_cannot_be_read_are_read_later(world: World) -> None:
    one, two = await world.joined("n1"), await world.joined("n2")
    one.rows.troubles["read_cluster"] = [StoreUnavailable("away")] * 3
    async with world.running(one, two):
        await asyncio.sleep(2.5)
        assert len(one.slots) == SLOTS
        await asyncio.sleep(3)
        assert Counter(await world.owners()) == {"n1": 4, "n2": 4}


@pytest.mark.parametrize("error", [StoreUnavailable("away"), CommitUnknown("who knows")], ids=str)
@virtually
async def test_slots_that_could_not_be_given_are_served_again(
    world: World, error: Exception
) -> None:
    """What was live in them is gone: it has to be looked for as in slots that are new."""
    one, two = await world.joined("n1", 50.0), await world.joined("n2", 50.0)
    one.rows.troubles["hand_over"] = [error]
    gained = one.gained
    async with world.running(one, two):
        await asyncio.sleep(0.5)
        assert one.slots == set(range(SLOTS))
        assert len(one.host.vacated) == 4
        assert one.gained == gained + 1
        await asyncio.sleep(15)
        assert Counter(await world.owners()) == {"n1": 4, "n2": 4}


@virtually
async def test_a_hand_over_that_nobody_heard_the_end_of_is_read_from_the_rows(
    world: World,
) -> None:
    one, two = await world.joined("n1", 50.0), await world.joined("n2", 50.0)
    hand_over = one.rows.store.hand_over

    async def doubtful(*args: object) -> int:
        await hand_over(*args)  # type: ignore[arg-type]
        raise CommitUnknown("who knows")

    one.rows.store.hand_over = doubtful  # type: ignore[assignment,method-assign]
    gained = one.gained
    async with world.running(one, two):
        one.agent.refresh()
        await asyncio.sleep(0.5)
        assert len(one.slots) == 4
        assert one.gained == gained


@virtually
async def test_a_hand_over_waits_for_rows_that_cannot_be_read(world: World) -> None:
    one, two = await world.joined("n1", 50.0), await world.joined("n2", 50.0)
    vacate = one.host.vacate

    async def and_then_nothing_is_read(slots: object) -> None:
        await vacate(slots)  # type: ignore[arg-type]
        one.rows.troubles["read_cluster"] = [StoreUnavailable("away")] * 5

    one.host.vacate = and_then_nothing_is_read  # type: ignore[method-assign]
    async with world.running(one, two):
        await asyncio.sleep(0.3)
        assert len(one.slots) == 4
        assert one.router.view.version < (await two.rows.store.read_cluster()).version
        await asyncio.sleep(0.5)
        assert one.router.view.version == (await two.rows.store.read_cluster()).version


@virtually
async def test_a_node_that_is_fenced_in_a_hand_over_ends_and_serves_nothing(world: World) -> None:
    one, two = await world.joined("n1"), await world.joined("n2")
    one.rows.troubles["hand_over"] = [NodeFenced("declared dead")]
    with pytest.raises(NodeFenced):
        await one.agent.run()
    one.router.shut()
    assert one.slots == set()
    again = await world.joined("n1")
    one.router.open(one.host, again.fence)
    one.router.adopt(again.joined.view)
    two.router.adopt(again.joined.view)
    assert one.slots == again.slots == set(range(SLOTS)) - two.slots
    assert one.slots & set(one.host.vacated)


# ---- the end


@virtually
async def test_a_node_alone_drains_at_once_and_keeps_its_slots(world: World) -> None:
    one = await world.joined("n1")
    async with world.running(one):
        async with asyncio.timeout(5):
            await one.agent.drain()
        assert await world.owners() == ["n1"] * SLOTS
        assert _state(one) is NodeState.DRAINING


@virtually
async def test_a_node_among_others_drains_until_it_owns_nothing(world: World) -> None:
    one, two, three = [await world.joined(f"n{number}") for number in (1, 2, 3)]
    async with world.running(one, two, three):
        await asyncio.sleep(5)
        async with asyncio.timeout(5):
            await one.agent.drain()
        assert one.slots == set()
        await asyncio.sleep(3)
        assert Counter(await world.owners()) == {"n2": 4, "n3": 4}
        assert two.slots | three.slots == set(range(SLOTS))


@virtually
async def test_two_that_drain_together_do_not_wait_for_each_other(world: World) -> None:
    one, two = await world.joined("n1"), await world.joined("n2")
    async with world.running(one, two):
        await asyncio.sleep(5)
        async with asyncio.timeout(20):
            await asyncio.gather(one.agent.drain(), two.agent.drain())
        assert Counter(await world.owners()).total() == SLOTS


@virtually
async def test_a_node_that_drains_takes_nothing_new(world: World) -> None:
    one = await world.joined("n1")
    async with world.running(one):
        await one.agent.drain()
        two = await world.joined("n2")
        async with world.running(two):
            await asyncio.sleep(5)
            assert await world.owners() == ["n2"] * SLOTS
            assert one.slots == set()
            assert [n.node_id for n in one.router.view.up(APP)] == ["n2"]


def _state(process: Process) -> NodeState:
    node = process.router.view.node(process.membership)
    assert node is not None
    return node.state
