"""Joining, leaving and owning slots."""

from __future__ import annotations

import pytest

from perdure.placement.errors import ClusterOccupied, NodeIdTaken
from perdure.placement.membership import NodeState
from perdure.runtime.workflow.history import Status
from tests.contract.conftest import Engine
from tests.contract.given import SLOTS, Member, alive, gone, identity, instance, message


async def test_the_first_member_owns_every_slot(member: Member) -> None:
    table = member.joined.table
    assert table.slots == SLOTS
    owned = {(owner.node_id, owner.generation) for owner in table.owners}
    assert owned == {("n1", member.fence.generation)}
    assert member.joined.unclean == ()
    assert await member.store.read_table() == table
    (record,) = await member.store.read_nodes()
    assert (record.identity, record.state) == (identity(), NodeState.UP)


async def test_before_the_first_join_the_table_is_empty(engine: Engine) -> None:
    assert (await engine.store().read_table()).owners == ()
    assert await engine.store().read_nodes() == []


async def test_a_join_raises_generation_epochs_and_version(engine: Engine, member: Member) -> None:
    store = engine.store()
    joined = await store.join(identity("n2", "second"), SLOTS, gone)
    assert joined.fence.generation > member.fence.generation
    assert joined.table.version > member.joined.table.version
    for before, after in zip(member.joined.table.owners, joined.table.owners, strict=True):
        assert (after.node_id, after.generation) == ("n2", joined.fence.generation)
        assert after.epoch > before.epoch


async def test_the_number_of_slots_is_fixed_with_the_first_join(engine: Engine) -> None:
    store = engine.store()
    await store.join(identity(), SLOTS, gone)
    assert (await store.join(identity(incarnation="2"), 99, gone)).table.slots == SLOTS


async def test_a_former_node_that_died_is_reported_and_marked_dead(engine: Engine) -> None:
    store = engine.store()
    first = await store.join(identity("a"), SLOTS, gone)
    joined = await store.join(identity("b", "second"), SLOTS, gone)
    (dead,) = joined.unclean
    assert (dead.identity.node_id, dead.generation) == ("a", first.fence.generation)
    states = {record.identity.node_id: record.state for record in await store.read_nodes()}
    assert states == {"a": NodeState.DEAD, "b": NodeState.UP}
    again = await store.join(identity("c", "third"), SLOTS, gone)
    assert [record.identity.node_id for record in again.unclean] == ["b"]
    # The dead are told of once; a row for every start of a node would never end.
    assert [record.identity.node_id for record in await store.read_nodes()] == ["b", "c"]


async def test_a_restarted_node_finds_its_former_self_dead(engine: Engine) -> None:
    store = engine.store()
    await store.join(identity(), SLOTS, gone)
    joined = await store.join(identity(incarnation="second"), SLOTS, gone)
    assert [record.identity.incarnation for record in joined.unclean] == ["first"]
    assert len(await store.read_nodes()) == 1


async def test_a_node_that_left_is_not_unclean(engine: Engine, member: Member) -> None:
    await member.store.leave(member.fence)
    (record,) = await member.store.read_nodes()
    assert record.state is NodeState.LEFT
    joined = await engine.store().join(identity("n2", "second"), SLOTS, alive)
    assert joined.unclean == ()


async def test_leaving_under_an_old_fence_changes_nothing(engine: Engine, member: Member) -> None:
    joined = await engine.store().join(identity(incarnation="second"), SLOTS, gone)
    await member.store.leave(member.fence)
    (record,) = await member.store.read_nodes()
    assert (record.state, record.generation) == (NodeState.UP, joined.fence.generation)


async def test_a_process_that_joins_again_has_not_died(engine: Engine, member: Member) -> None:
    await member.written(member.create(instance(1, "o1", has_work=True)))
    joined = await engine.store().join(identity(), SLOTS, alive)
    assert joined.unclean == ()
    assert joined.fence.generation > member.fence.generation
    assert (await member.loaded("o1")).row.attempts == 0


async def test_a_living_node_under_the_same_id_is_refused(engine: Engine, member: Member) -> None:
    with pytest.raises(NodeIdTaken, match="'n1' is in use by the running process 100"):
        await engine.store().join(identity(incarnation="twin"), SLOTS, alive)
    await member.written(member.create(instance(1, "o1")))


async def test_a_living_node_keeps_its_database(engine: Engine, member: Member) -> None:
    with pytest.raises(ClusterOccupied, match=r"node .n1.*process 100 .127"):
        await engine.store().join(identity("n2", "second"), SLOTS, alive)
    assert await member.store.read_table() == member.joined.table
    await member.written(member.create(instance(1, "o1")))


async def test_an_unclean_death_counts_as_an_attempt_of_the_work_in_flight(
    engine: Engine, member: Member
) -> None:
    stalled = {"status": Status.STALLED, "stalled": "no code"}
    await member.written(
        member.create(instance(1, "busy", has_work=True, attempts=1)),
        member.create(instance(2, "idle")),
        member.create(instance(3, "stalled", has_work=True, **stalled)),
    )
    rejoined = Member(
        engine.store(), await engine.store().join(identity(incarnation="2"), SLOTS, gone)
    )
    attempts = [(await rejoined.loaded(name)).row.attempts for name in ("busy", "idle", "stalled")]
    assert attempts == [2, 0, 0]
    turn = rejoined.update(instance(1, "busy", has_work=True, next_seq=2), (1, 1))
    await rejoined.written(turn)
    assert (await rejoined.loaded("busy")).row.attempts == 0


async def test_a_due_reminder_and_an_unread_message_count_as_being_at_work(
    engine: Engine, member: Member
) -> None:
    await member.written(
        member.create(instance(1, "due"), reminders_set=[("r", 50)]),
        member.create(instance(2, "later"), reminders_set=[("r", 51)]),
        member.create(instance(3, "sender"), outbox=[message("unread", "m")]),
        member.create(instance(4, "unread")),
    )
    joined = await engine.store().join(identity(incarnation="2"), SLOTS, gone, now_us=50)
    rejoined = Member(engine.store(), joined)
    names = ("due", "later", "sender", "unread")
    assert [(await rejoined.loaded(name)).row.attempts for name in names] == [1, 0, 0, 1]


async def test_a_node_that_left_counts_no_attempt(engine: Engine, member: Member) -> None:
    await member.written(member.create(instance(1, "busy", has_work=True)))
    await member.store.leave(member.fence)
    await engine.store().join(identity(incarnation="second"), SLOTS, gone)
    assert (await member.loaded("busy")).row.attempts == 0


async def test_apps_have_slots_of_their_own(engine: Engine, member: Member) -> None:
    other = engine.store("bank")
    bank = identity("n2", "second", app_id="bank")
    joined = await other.join(bank, 4, gone)
    assert joined.table.slots == 4
    assert {owner.node_id for owner in (await member.store.read_table()).owners} == {"n1"}
