"""Slots change hands: taken from the dead, given by the living, each once and with a new epoch."""

from __future__ import annotations

import pytest

from perdure.actors.errors import NodeFenced
from perdure.placement.membership import NodeState
from tests.contract.conftest import Engine
from tests.contract.given import SLOTS, Member, alive, identity, instance, second


async def test_the_slots_of_a_silent_node_are_taken_over_once(
    engine: Engine, member: Member
) -> None:
    two = await second(engine, member)
    view = await two.store.read_cluster()
    assert await two.store.take_over(two.fence, view.nodes[0])
    assert not await two.store.take_over(two.fence, view.nodes[0])
    after = await two.store.read_cluster()
    assert after.version == view.version + 1
    assert [node.state for node in after.nodes] == [NodeState.DEAD, NodeState.UP]
    for old, new in zip(member.joined.table.owners, after.tables["shop"].owners, strict=True):
        assert (new.node_id, new.generation) == ("n2", two.fence.generation)
        assert new.epoch == old.epoch + 1
    with pytest.raises(NodeFenced):
        await member.commit()


async def test_a_node_that_has_shown_a_sign_of_life_is_not_taken_over(
    engine: Engine, member: Member
) -> None:
    two = await second(engine, member)
    view = await two.store.read_cluster()
    await member.commit()
    assert not await two.store.take_over(two.fence, view.nodes[0])
    after = await two.store.read_cluster()
    assert (after.version, after.tables) == (view.version, view.tables)
    await member.written(member.create(instance(1, "o1")))


async def test_a_later_stay_is_not_taken_over_for_an_earlier_one(
    engine: Engine, member: Member
) -> None:
    (record,) = member.joined.view.nodes
    await engine.store().join(identity(), SLOTS, alive)
    two = await second(engine, member)
    assert not await two.store.take_over(two.fence, record)


async def test_a_take_over_shares_with_all_that_are_up(engine: Engine, member: Member) -> None:
    two = await second(engine, member)
    store = engine.store()
    three = await store.join(identity("n3", "third"), SLOTS, alive)
    four = await store.join(identity("n4", "fourth"), SLOTS, alive)
    await store.begin_drain(four.fence)
    dead = (await store.read_cluster()).nodes[0]
    assert await store.take_over(three.fence, dead)
    owners = [owner.node_id for owner in (await store.read_cluster()).tables["shop"].owners]
    assert sorted(owners) == ["n2"] * 8 + ["n3"] * 8
    assert two.fence.generation == 2


async def test_a_fenced_node_takes_nothing_and_gives_nothing(
    engine: Engine, member: Member
) -> None:
    two = await second(engine, member)
    view = await two.store.read_cluster()
    await two.store.take_over(two.fence, view.nodes[0])
    after = await two.store.read_cluster()
    for change in (
        member.store.take_over(member.fence, view.nodes[1]),
        member.store.take_over(member.fence, None),
        member.store.hand_over(member.fence, two.given_by(member, 1)),
        member.store.begin_drain(member.fence),
    ):
        with pytest.raises(NodeFenced, match="'n1' is no longer a member under generation 1"):
            await change
    await member.store.leave(member.fence)
    assert await two.store.read_cluster() == after


async def test_slots_of_nobody_go_to_members_and_without_any_it_changes_nothing(
    engine: Engine, member: Member
) -> None:
    assert not await member.store.take_over(member.fence, None)
    assert (await member.store.read_cluster()).version == member.joined.view.version
    await engine.runner.write(lambda c: c.execute("UPDATE slots SET owner = 'x' WHERE slot < 3"))
    assert await member.store.take_over(member.fence, None)
    view = await member.store.read_cluster()
    assert view.version == member.joined.view.version + 1
    assert [owner.epoch for owner in view.tables["shop"].owners] == [2] * 3 + [1] * (SLOTS - 3)
    assert {owner.node_id for owner in view.tables["shop"].owners} == {"n1"}


async def test_what_nobody_can_take_waits_for_somebody_who_can(
    engine: Engine, member: Member
) -> None:
    """Only a member that drains is there: the slots wait for the next join."""
    two = await second(engine, member)
    await two.store.begin_drain(two.fence)
    dead = (await two.store.read_cluster()).nodes[0]
    assert await two.store.take_over(two.fence, dead)
    assert {o.node_id for o in (await two.store.read_cluster()).tables["shop"].owners} == {"n1"}
    joined = await engine.store().join(identity("n3", "third"), SLOTS, alive)
    assert {owner.node_id for owner in joined.table.owners} == {"n3"}
    assert {owner.epoch for owner in joined.table.owners} == {2}


# ---- handing over


async def test_slots_are_handed_over_with_a_new_epoch(engine: Engine, member: Member) -> None:
    two = await second(engine, member)
    version = (await two.store.read_cluster()).version
    assert await member.store.hand_over(member.fence, two.given_by(member, 3, 5)) == 2
    view = await two.store.read_cluster()
    assert view.version == version + 1
    assert view.tables["shop"].owned_by("n2", two.fence.generation) == {3: 2, 5: 2}
    assert len(view.tables["shop"].owned_by("n1", member.fence.generation)) == SLOTS - 2


async def test_a_slot_that_is_not_the_giver_s_at_that_epoch_stays(
    engine: Engine, member: Member
) -> None:
    two = await second(engine, member)
    given = two.given_by(member, 3)
    assert await member.store.hand_over(member.fence, given) == 1
    assert await member.store.hand_over(member.fence, given) == 0
    back = [type(given[0])(3, 2, given[0].to)]
    assert await member.store.hand_over(member.fence, back) == 0
    view = await two.store.read_cluster()
    assert view.tables["shop"].owned_by("n2", two.fence.generation) == {3: 2}
    assert view.version == member.joined.view.version + 2


@pytest.mark.parametrize("end", ["drain", "leave", "other app"])
async def test_a_slot_goes_to_nobody_who_is_not_up(
    engine: Engine, member: Member, end: str
) -> None:
    app = "bank" if end == "other app" else "shop"
    store = engine.store(app)
    joined = await store.join(identity("n2", "second", app_id=app), SLOTS, alive)
    if end == "drain":
        await store.begin_drain(joined.fence)
    elif end == "leave":
        await store.leave(joined.fence)
    two = Member(store, joined)
    assert await member.store.hand_over(member.fence, two.given_by(member, 3)) == 0
    table = (await store.read_cluster()).tables["shop"]
    assert len(table.owned_by("n1", member.fence.generation)) == SLOTS
