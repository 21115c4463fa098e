"""Who may write: the node's membership, then the slot's epoch."""

from __future__ import annotations

import pytest

from perdure.actors.errors import NodeFenced, TurnConflict
from perdure.actors.ports import Fence
from tests.contract.conftest import Engine
from tests.contract.given import SLOTS, Member, gone, identity, instance, message


async def test_a_commit_is_a_heartbeat(member: Member) -> None:
    await member.commit()
    await member.written(member.create(instance(1, "o1")))
    (record,) = await member.store.read_nodes()
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
    assert isinstance(outcomes[0], TurnConflict)
    assert f"slot {row.slot}" in str(outcomes[0])
    assert outcomes[1] is None
    assert await rejoined.loaded("stale") is None


async def test_a_turn_for_a_slot_that_does_not_exist_is_a_conflict(member: Member) -> None:
    unit = member.create(instance(1, "o1"))
    unit.slot = SLOTS + 1
    (outcome,) = await member.commit(unit)
    assert isinstance(outcome, TurnConflict)


async def test_the_epochs_are_read_again_when_the_table_has_changed(
    engine: Engine, member: Member
) -> None:
    """Two stores of one node: what one has cached must not outlive the other's join."""
    await member.written(member.create(instance(1, "o1")))
    other = engine.store()
    rejoined = Member(member.store, await other.join(identity(), SLOTS, gone))
    await rejoined.written(rejoined.create(instance(2, "o2")))
