"""Who may write: the node's membership, then the slot's epoch."""

from __future__ import annotations

import pytest

from perdure.actors.errors import NodeFenced, NotOwner
from perdure.actors.ports import Fence
from tests.contract.conftest import Engine
from tests.contract.given import SLOTS, Member, gone, identity, instance, message, second


async def test_a_commit_is_a_heartbeat(member: Member) -> None:
    await member.commit()
    await member.written(member.create(instance(1, "o1")))
    (record,) = (await member.store.read_cluster()).nodes
    assert record.heartbeat == 2


@pytest.mark.parametrize(
    "changes", [{"generation": 99}, {"incarnation": "twin"}, {"node_id": "stranger"}]
)
async def test_a_commit_under_a_wrong_fence_writes_nothing(
    member: Member, engine: Engine, changes: dict[str, object]
) -> None:
    fence = member.fence
    fields = {"node_id": fence.node_id, "incarnation": fence.incarnation, **changes}
    wrong = Fence(**{"generation": fence.generation, **fields})  # type: ignore[arg-type]
    with pytest.raises(NodeFenced, match="no longer a member"):
        await member.store.commit(wrong, [member.create(instance(1, "o1"))])
    with pytest.raises(NodeFenced):
        await member.store.commit(wrong, [])
    assert set((await engine.rows()).values()) == {0}


async def test_a_node_that_left_is_fenced(member: Member) -> None:
    await member.store.leave(member.fence)
    with pytest.raises(NodeFenced):
        await member.commit(member.create(instance(1, "o1")))


async def test_a_successor_fences_the_node_before_it(engine: Engine, member: Member) -> None:
    await member.written(member.create(instance(1, "before")))
    store = engine.store()
    successor = Member(store, await store.join(identity(incarnation="second"), SLOTS, gone))
    with pytest.raises(NodeFenced):
        await member.commit(member.create(instance(2, "late"), outbox=[message("x", "m")]))
    await successor.written(successor.create(instance(3, "after")))
    assert await successor.loaded("late") is None
    assert await successor.inbox("x") == []


async def test_a_turn_decided_under_an_earlier_epoch_fails_alone(member: Member) -> None:
    """The same process joined again: its node is a member, but the activation is of before."""
    old = member.joined
    rejoined = Member(member.store, await member.store.join(identity(), SLOTS, gone))
    row = instance(1, "stale")
    stale = rejoined.create(row, epoch=old.table.owners[row.slot].epoch)
    outcomes = await rejoined.commit(stale, rejoined.create(instance(2, "fresh")))
    assert isinstance(outcomes[0], NotOwner)
    assert f"slot {row.slot}" in str(outcomes[0])
    assert outcomes[1] is None
    assert await rejoined.loaded("stale") is None


async def test_a_turn_for_a_slot_that_does_not_exist_is_nobody_s(member: Member) -> None:
    unit = member.create(instance(1, "o1"))
    unit.slot = SLOTS + 1
    (outcome,) = await member.commit(unit)
    assert isinstance(outcome, NotOwner)


async def test_the_epochs_are_read_again_when_the_table_has_changed(
    engine: Engine, member: Member
) -> None:
    """Two stores of one node: what one has cached must not outlive the other's join."""
    await member.written(member.create(instance(1, "o1")))
    other = engine.store()
    rejoined = Member(member.store, await other.join(identity(), SLOTS, gone))
    await rejoined.written(rejoined.create(instance(2, "o2")))


async def test_turns_in_slots_that_went_elsewhere_fail_alone(
    engine: Engine, member: Member
) -> None:
    two = await second(engine, member)
    stays, goes = instance(1, "o1"), instance(2, "o3")
    assert stays.slot != goes.slot
    await member.written(member.create(stays), member.create(goes))
    await member.store.hand_over(member.fence, two.given_by(member, goes.slot))
    turns = [
        member.update(instance(row.key, row.instance_id, next_seq=2), (1, 1), b"turn 1")
        for row in (goes, stays)
    ]
    outcomes = await member.commit(*turns)
    assert isinstance(outcomes[0], NotOwner)
    assert f"slot {goes.slot} is no longer this node's at epoch 1" in str(outcomes[0])
    assert outcomes[1] is None
    assert (await two.loaded("o3")).row.next_seq == 1
    later = two.update(instance(2, "o3", next_seq=2), (1, 1), b"turn 1", epoch=2)
    await two.written(later)


async def test_a_node_that_drains_goes_on_writing_and_beating(member: Member) -> None:
    await member.store.begin_drain(member.fence)
    await member.written(member.create(instance(1, "o1")))
    (record,) = (await member.store.read_cluster()).nodes
    assert record.heartbeat == 2


async def test_whoever_changes_the_table_beats_too(engine: Engine, member: Member) -> None:
    await second(engine, member)
    await member.store.take_over(member.fence, None)
    await member.store.hand_over(member.fence, [])
    assert (await member.store.read_cluster()).nodes[0].heartbeat == 2
