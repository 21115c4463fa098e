"""Joining, leaving and owning slots."""

from __future__ import annotations

from itertools import pairwise

import pytest

from perdure.actors.errors import NodeFenced
from perdure.placement.errors import NodeIdTaken
from perdure.placement.membership import NodeState
from tests.contract.conftest import Engine
from tests.contract.given import SLOTS, Member, alive, dies, gone, identity, instance, second


async def test_the_first_member_owns_every_slot(member: Member) -> None:
    table = member.joined.table
    assert table.slots == SLOTS
    owned = {(owner.node_id, owner.generation) for owner in table.owners}
    assert owned == {("n1", member.fence.generation)}
    assert member.joined.unclean == ()
    view = await member.store.read_cluster()
    assert view == member.joined.view
    assert view.tables == {"shop": table}
    (record,) = view.nodes
    assert (record.identity, record.state) == (identity(), NodeState.UP)


async def test_before_the_first_join_there_is_nobody_and_nothing(engine: Engine) -> None:
    view = await engine.store().read_cluster()
    assert (view.version, view.nodes, view.tables) == (0, (), {})


async def test_a_join_beside_the_living_takes_nothing_from_them(
    engine: Engine, member: Member
) -> None:
    joined = await engine.store().join(identity("n2", "second"), 99, alive)
    assert joined.fence.generation > member.fence.generation
    assert joined.view.version > member.joined.view.version
    assert joined.table.owners == member.joined.table.owners
    assert [node.node_id for node in joined.view.up("shop")] == ["n1", "n2"]
    assert joined.unclean == ()
    await member.written(member.create(instance(1, "o1")))


async def test_a_join_raises_generation_epochs_and_version(engine: Engine, member: Member) -> None:
    store = engine.store()
    joined = await store.join(identity("n2", "second"), SLOTS, gone)
    assert joined.fence.generation > member.fence.generation
    assert joined.table.version > member.joined.table.version
    for before, after in zip(member.joined.table.owners, joined.table.owners, strict=True):
        assert (after.node_id, after.generation) == ("n2", joined.fence.generation)
        assert after.epoch == before.epoch + 1


async def test_a_join_shares_what_the_dead_have_left_with_the_living(
    engine: Engine, member: Member
) -> None:
    """The new one has nothing yet, so most of it is the new one's."""
    two = await second(engine, member)
    given = two.given_by(member, *range(6))
    assert await member.store.hand_over(member.fence, given) == 6
    store = engine.store()
    joined = await store.join(identity("n3", "third"), SLOTS, dies("first"))
    owners = [owner.node_id for owner in joined.table.owners]
    assert owners[:6] == ["n2"] * 6
    assert sorted(owners[6:]) == ["n2"] * 2 + ["n3"] * 8


async def test_the_number_of_slots_is_fixed_with_the_first_join(engine: Engine) -> None:
    store = engine.store()
    await store.join(identity(), SLOTS, gone)
    assert (await store.join(identity(incarnation="2"), 99, gone)).table.slots == SLOTS


async def test_a_former_node_that_died_is_reported_and_marked_dead(engine: Engine) -> None:
    store = engine.store()
    first = await store.join(identity("a"), SLOTS, gone)
    joined = await store.join(identity("b", "second"), SLOTS, gone)
    (dead,) = joined.unclean
    assert (dead.node_id, dead.generation) == ("a", first.fence.generation)
    assert dead.state is NodeState.DEAD
    states = {record.node_id: record.state for record in (await store.read_cluster()).nodes}
    assert states == {"a": NodeState.DEAD, "b": NodeState.UP}
    again = await store.join(identity("c", "third"), SLOTS, gone)
    assert [record.node_id for record in again.unclean] == ["b"]
    # The dead are told of once; a row for every start of a node would never end.
    assert [record.node_id for record in again.view.nodes] == ["b", "c"]


async def test_a_restarted_node_finds_its_former_self_dead(engine: Engine) -> None:
    store = engine.store()
    await store.join(identity(), SLOTS, gone)
    joined = await store.join(identity(incarnation="second"), SLOTS, gone)
    assert [record.identity.incarnation for record in joined.unclean] == ["first"]
    assert len(joined.view.nodes) == 1


async def test_a_node_that_left_is_not_unclean(engine: Engine, member: Member) -> None:
    await member.store.leave(member.fence)
    (record,) = (await member.store.read_cluster()).nodes
    assert record.state is NodeState.LEFT
    joined = await engine.store().join(identity("n2", "second"), SLOTS, alive)
    assert joined.unclean == ()
    assert {owner.node_id for owner in joined.table.owners} == {"n2"}


async def test_leaving_under_an_old_fence_changes_nothing(engine: Engine, member: Member) -> None:
    joined = await engine.store().join(identity(incarnation="second"), SLOTS, gone)
    await member.store.leave(member.fence)
    assert await member.store.read_cluster() == joined.view


async def test_a_process_that_joins_again_has_not_died(engine: Engine, member: Member) -> None:
    await member.written(member.create(instance(1, "o1", has_work=True)))
    joined = await engine.store().join(identity(), SLOTS, alive)
    assert joined.unclean == ()
    assert joined.fence.generation > member.fence.generation
    assert {owner.generation for owner in joined.table.owners} == {joined.fence.generation}
    assert (await member.loaded("o1")).row.attempts == 0


async def test_a_living_node_under_the_same_id_is_refused(engine: Engine, member: Member) -> None:
    with pytest.raises(NodeIdTaken, match="'n1' is in use by the running process 100"):
        await engine.store().join(identity(incarnation="twin"), SLOTS, alive)
    await member.written(member.create(instance(1, "o1")))
    assert (await member.store.read_cluster()).version == member.joined.view.version


async def test_a_twin_that_is_presumed_dead_is_so_if_its_heartbeat_has_not_moved(
    engine: Engine, member: Member
) -> None:
    (record,) = member.joined.view.nodes
    await member.commit()
    store, twin = engine.store(), identity(incarnation="twin")
    with pytest.raises(NodeIdTaken):
        await store.join(twin, SLOTS, alive, presumed_dead=record)
    (record,) = (await member.store.read_cluster()).nodes
    joined = await store.join(twin, SLOTS, alive, presumed_dead=record)
    assert [dead.generation for dead in joined.unclean] == [member.fence.generation]
    with pytest.raises(NodeFenced):
        await member.commit()


# ---- leaving


async def test_a_node_that_drains_still_writes_and_gets_no_more_slots(
    engine: Engine, member: Member
) -> None:
    version = member.joined.view.version
    await member.store.begin_drain(member.fence)
    view = await member.store.read_cluster()
    assert (view.version, view.nodes[0].state) == (version + 1, NodeState.DRAINING)
    await member.written(member.create(instance(1, "o1")))
    two = await second(engine, member)
    await two.store.leave(two.fence)
    assert (await two.store.read_cluster()).up("shop") == []


async def test_who_leaves_gives_its_slots_to_those_who_are_up(
    engine: Engine, member: Member
) -> None:
    two = await second(engine, member)
    await member.store.leave(member.fence)
    view = await two.store.read_cluster()
    assert {owner.node_id for owner in view.tables["shop"].owners} == {"n2"}
    assert {owner.epoch for owner in view.tables["shop"].owners} == {2}
    assert view.version == two.joined.view.version + 1
    await member.store.leave(member.fence)
    assert await two.store.read_cluster() == view


async def test_generations_and_epochs_never_go_down(engine: Engine) -> None:
    store = engine.store()
    generations, epochs, versions = [0], [[0] * SLOTS], [0]
    for number in range(4):
        joined = await store.join(identity(f"n{number % 2}", f"i{number}"), SLOTS, gone)
        generations.append(joined.fence.generation)
        epochs.append([owner.epoch for owner in joined.table.owners])
        versions.append(joined.view.version)
        if number % 2:
            await store.leave(joined.fence)
    assert generations == sorted(set(generations))
    assert versions == sorted(set(versions))
    for before, after in pairwise(epochs):
        assert all(new > old for old, new in zip(before, after, strict=True))


async def test_a_view_that_is_read_again_has_the_heartbeats_of_the_moment(
    engine: Engine, member: Member
) -> None:
    """Whatever a store keeps of the last one: who dies is judged by it."""
    two = await second(engine, member)
    for beats in range(1, 4):
        await member.commit()
        view = await two.store.read_cluster()
        assert [node.heartbeat for node in view.nodes] == [beats, 0]
    await two.store.begin_drain(two.fence)
    view = await two.store.read_cluster()
    assert [node.state for node in view.nodes] == [NodeState.UP, NodeState.DRAINING]
    assert view == await engine.store().read_cluster()


# ---- apps


async def test_apps_have_slots_of_their_own_as_many_as_there_are(
    engine: Engine, member: Member
) -> None:
    """A message to an app that has never been there has its slot."""
    other = engine.store("bank")
    joined = await other.join(identity("n2", "second", app_id="bank"), 4, alive)
    assert joined.table.slots == SLOTS
    assert {owner.node_id for owner in joined.table.owners} == {"n2"}
    view = await member.store.read_cluster()
    assert {owner.node_id for owner in view.tables["shop"].owners} == {"n1"}
    assert [node.node_id for node in view.up("bank")] == ["n2"]
    assert view.present() == list(view.nodes)


async def test_the_slots_of_an_app_whose_last_node_died_wait_for_its_next_one(
    engine: Engine, member: Member
) -> None:
    bank = engine.store("bank")
    await bank.join(identity("n2", "second", app_id="bank"), SLOTS, alive)
    await engine.store().join(identity("n3", "third"), SLOTS, dies("second"))
    view = await member.store.read_cluster()
    assert {owner.node_id for owner in view.tables["bank"].owners} == {"n2"}
    # Its row is forgotten by then.
    await engine.store().join(identity("n4", "fourth"), SLOTS, alive)
    joined = await bank.join(identity("n5", "fifth", app_id="bank"), SLOTS, alive)
    assert {owner.node_id for owner in joined.table.owners} == {"n5"}
    assert {owner.epoch for owner in joined.table.owners} == {2}
    assert joined.unclean == ()
