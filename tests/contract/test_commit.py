"""What one commit writes, and what becomes of units that cannot be written."""

from __future__ import annotations

from typing import Any

import msgspec

from perdure.actors.errors import TurnConflict
from perdure.actors.unit_of_work import Outgoing
from perdure.runtime.workflow.history import Failure, Parent, Status
from perdure.runtime.workflow.records import ChangeKind, StoredWorkflow, WorkflowChange
from tests.contract.conftest import Engine
from tests.contract.given import BORN_US, Member, instance, message, ref

FAILURE = Failure("ValueError", "no stock", "stack", Failure("KeyError", "k"))


def changed(row: Any, **changes: Any) -> Any:
    return msgspec.structs.replace(row, **changes)


async def test_a_created_instance_is_loaded_as_it_was_written(member: Member) -> None:
    row = instance(
        7,
        "o1",
        version="v2",
        custom_status='"half"',
        parent_key=3,
        parent_id="p",
        parent_execution=2,
        parent_task=9,
        has_work=True,
        start_requests="r1",
        attempts=2,
    )
    await member.written(member.create(row, b"first"))
    assert await member.loaded("o1") == StoredWorkflow(row, [(0, b"first")])


async def test_the_app_of_a_parent_comes_back_and_goes_with_the_next_run(member: Member) -> None:
    row = instance(
        7,
        "o1",
        parent_key=3,
        parent_id="p",
        parent_execution=2,
        parent_task=9,
        parent_app="bank",
    )
    await member.written(member.create(row))
    assert (await member.loaded("o1")).row == row
    assert row.parent == Parent(3, "p", 2, 9, "bank")
    again = instance(7, "o1", execution=2)
    await member.written(member.update(again, (1, 1), b"again"))
    assert (await member.loaded("o1")).row == again


async def test_every_column_of_a_finished_instance_comes_back(member: Member) -> None:
    row = instance(1, "o1", status=Status.FAILED, output="null", failure=FAILURE)
    await member.written(member.create(row))
    assert (await member.loaded("o1")).row == row


async def test_a_turn_appends_history_and_rewrites_the_row(member: Member) -> None:
    row = instance(1, "o1", custom_status='"a"', attempts=3)
    await member.written(member.create(row, b"first"))
    row = changed(row, next_seq=2, custom_status=None, updated_us=BORN_US + 9, attempts=0)
    await member.written(member.update(row, (1, 1), b"second"))
    assert await member.loaded("o1") == StoredWorkflow(row, [(0, b"first"), (1, b"second")])


async def test_values_are_cleared_when_a_turn_clears_them(member: Member) -> None:
    row = instance(1, "o1", status=Status.STALLED, stalled="no code", has_work=True)
    await member.written(member.create(row))
    row = changed(row, status=Status.RUNNING, stalled=None, has_work=False)
    await member.written(member.update(row, (1, 1)))
    assert (await member.loaded("o1")).row == row


async def test_a_unit_without_a_turn_writes_no_history(member: Member, engine: Engine) -> None:
    row = instance(1, "o1")
    await member.written(member.create(row))
    await member.written(member.update(changed(row, has_work=True), (1, 1)))
    assert (await engine.rows())["history"] == 1


async def test_an_instance_with_a_past_is_created_whole_or_not_at_all(
    member: Member, engine: Engine
) -> None:
    row = instance(1, "o1", next_seq=2)
    change = WorkflowChange(ChangeKind.CREATE, row, past=(b"turn 0", b"turn 1"))
    await member.written(member.unit(row, change, reminders_set=[("1:1", 7)]))
    loaded = await member.loaded("o1")
    assert (loaded.row, loaded.history) == (row, [(0, b"turn 0"), (1, b"turn 1")])
    before = await engine.rows()
    twin = instance(2, "o1", next_seq=2)
    change = WorkflowChange(ChangeKind.CREATE, twin, past=(b"turn 0", b"turn 1"))
    (outcome,) = await member.commit(member.unit(twin, change, reminders_set=[("1:1", 7)]))
    assert isinstance(outcome, TurnConflict)
    assert await engine.rows() == before


async def test_an_id_is_created_once(member: Member) -> None:
    await member.written(member.create(instance(1, "o1")))
    (outcome,) = await member.commit(member.create(instance(2, "o1", name="other")))
    assert isinstance(outcome, TurnConflict)
    assert "workflow/o1" in str(outcome)
    assert (await member.loaded("o1")).row == instance(1, "o1")


async def test_a_turn_on_another_sequence_number_is_a_conflict(member: Member) -> None:
    row = instance(1, "o1")
    await member.written(member.create(row))
    for expected in ((1, 0), (1, 2), (0, 1), (2, 1)):
        late = member.update(changed(row, next_seq=9, execution=expected[0]), expected, b"late")
        (outcome,) = await member.commit(late)
        assert isinstance(outcome, TurnConflict)
    assert await member.loaded("o1") == StoredWorkflow(row, [(0, b"turn 0")])


async def test_a_turn_of_a_purged_instance_is_a_conflict(member: Member) -> None:
    (outcome,) = await member.commit(member.update(instance(1, "o1"), (1, 1)))
    assert isinstance(outcome, TurnConflict)


async def test_a_history_row_is_never_overwritten(member: Member) -> None:
    row = instance(1, "o1")
    await member.written(member.create(row, b"first"))
    repeat = member.update(row, (1, 1), b"again")
    repeat.change.turn_seq = 0  # type: ignore[attr-defined]
    (outcome,) = await member.commit(repeat)
    assert isinstance(outcome, TurnConflict)
    assert (await member.loaded("o1")).history == [(0, b"first")]


async def test_one_bad_unit_does_not_fail_its_neighbours(member: Member) -> None:
    taken = instance(1, "taken")
    await member.written(member.create(taken))
    rows = [instance(10 + n, f"o{n}") for n in range(4)]
    outcomes = await member.commit(
        member.create(rows[0], outbox=[message("x", "m0")]),
        member.create(instance(99, "taken"), outbox=[message("x", "bad")]),
        member.create(rows[1], outbox=[message("x", "m1")]),
        member.update(changed(taken, next_seq=5), (1, 4), b"bad", outbox=[message("x", "bad 2")]),
        member.create(rows[2]),
        member.update(changed(taken, next_seq=2), (1, 1), b"good"),
        member.create(rows[3]),
    )
    assert [type(outcome) for outcome in outcomes] == [
        type(None),
        TurnConflict,
        type(None),
        TurnConflict,
        type(None),
        type(None),
        type(None),
    ]
    for row in rows:
        assert (await member.loaded(row.instance_id)).row == row
    assert (await member.loaded("taken")).history == [(0, b"turn 0"), (1, b"good")]
    assert await member.inbox("x") == [("m0", b"body"), ("m1", b"body")]


async def test_a_value_that_cannot_be_stored_fails_its_unit_alone(member: Member) -> None:
    surrogate, huge = instance(1, "o1", output="\ud800"), instance(2, "o2", updated_us=1 << 70)
    long = instance(3, "o3", created_us=1 << 63)
    units = [member.create(row) for row in (surrogate, huge, long, instance(4, "o4"))]
    outcomes = await member.commit(*units)
    assert [isinstance(outcome, Exception) for outcome in outcomes] == [True, True, True, False]
    assert (await member.loaded("o4")).row == instance(4, "o4")


async def test_two_turns_of_one_instance_in_one_batch_follow_each_other(member: Member) -> None:
    row = instance(1, "o1")
    await member.written(
        member.create(row, b"0"),
        member.update(changed(row, next_seq=2, output="1"), (1, 1), b"1"),
        member.update(changed(row, next_seq=3), (1, 2), b"2"),
    )
    assert (await member.loaded("o1")).history == [(0, b"0"), (1, b"1"), (2, b"2")]


async def test_a_large_batch_is_written_whole(member: Member, engine: Engine) -> None:
    rows = [instance(n, f"o{n}", output=None if n % 3 else f'"{n}"') for n in range(1, 301)]
    await member.written(*[member.create(row) for row in rows])
    snapshots = await member.store.load([ref(row.instance_id) for row in rows])
    assert [snapshot.state.row for snapshot in snapshots if snapshot.state] == rows
    assert (await engine.rows())["history"] == 300


async def test_a_message_becomes_an_inbox_row_and_is_consumed_with_its_effect(
    member: Member, engine: Engine
) -> None:
    parent, child = instance(1, "p"), instance(2, "c")
    await member.written(member.create(parent, outbox=[message("c", "start", b"go")]))
    assert await member.inbox("c") == [("start", b"go")]
    await member.written(member.create(child, consumed=["start"]))
    assert await member.inbox("c") == []
    assert (await engine.rows())["inbox"] == 0


async def test_a_repeated_message_is_a_conflict_and_no_duplicate(member: Member) -> None:
    row = instance(1, "p")
    await member.written(member.create(row, outbox=[message("c", "m", b"first")]))
    await member.written(member.update(row, (1, 1), outbox=[message("c", "m", b"second")]))
    assert await member.inbox("c") == [("m", b"first")]


async def test_messages_keep_their_order(member: Member) -> None:
    names = [f"m{n}" for n in (3, 1, 2)]
    row = instance(1, "p")
    await member.written(member.create(row, outbox=[message("c", name) for name in names]))
    await member.written(member.update(row, (1, 1), outbox=[message("c", "m0")]))
    assert [name for name, _ in await member.inbox("c")] == [*names, "m0"]


async def test_consuming_a_message_that_is_gone_is_no_error(member: Member) -> None:
    await member.written(member.create(instance(1, "o1"), consumed=["never", "was"]))


async def test_a_unit_without_a_change_consumes_sends_and_reminds(member: Member) -> None:
    row = instance(1, "o1")
    await member.written(member.create(row, outbox=[message("o1", "m")]))
    unit = member.unit(
        row, None, consumed=["m"], outbox=[message("o2", "n")], reminders_set=[("r", 5)]
    )
    await member.written(unit)
    assert (await member.inbox("o1"), await member.inbox("o2")) == ([], [("n", b"body")])
    assert await member.reminders() == [("o1", "r", 5)]


async def test_reminders_are_set_moved_and_cleared(member: Member) -> None:
    row = instance(1, "o1")
    await member.written(member.create(row, reminders_set=[("a", 30), ("b", 20), ("c", 10)]))
    await member.written(
        member.update(row, (1, 1), reminders_set=[("a", 5)], reminders_cleared=["c", "unknown"])
    )
    assert await member.reminders() == [("o1", "a", 5), ("o1", "b", 20)]


async def test_a_new_run_drops_the_history_and_reminders_of_the_last(member: Member) -> None:
    row = instance(1, "o1", start_requests="r1", version="v1")
    await member.written(member.create(row, b"old", reminders_set=[("old", 1)]))
    row = changed(
        row,
        execution=2,
        next_seq=1,
        name="renamed",
        version=None,
        start_requests="r2",
        created_us=BORN_US + 77,
        parent_key=4,
        parent_id="p",
        parent_execution=1,
        parent_task=0,
    )
    await member.written(member.update(row, (1, 1), b"new", reminders_set=[("new", 2)]))
    assert await member.loaded("o1") == StoredWorkflow(row, [(0, b"new")])
    assert await member.reminders() == [("o1", "new", 2)]


async def test_a_purge_leaves_nothing_but_unread_messages(member: Member, engine: Engine) -> None:
    """One of them may be a parent's call, which is answered by the next instance of that id."""
    row = instance(1, "o1", execution=3)
    sent = [message("o1", "read"), message("o1", "unread")]
    await member.written(member.create(row, outbox=sent, reminders_set=[("r", 1)]))
    purge = member.delete(row)
    purge.consumed.append("read")
    await member.written(purge)
    assert await engine.rows() == {"workflows": 0, "history": 0, "inbox": 1, "reminders": 0}
    assert await member.loaded("o1") is None


async def test_a_purge_of_a_changed_instance_is_a_conflict(member: Member, engine: Engine) -> None:
    row = instance(1, "o1")
    await member.written(member.create(row, reminders_set=[("r", 1)]))
    (outcome,) = await member.commit(member.delete(changed(row, next_seq=7)))
    assert isinstance(outcome, TurnConflict)
    assert await engine.rows() == {"workflows": 1, "history": 1, "inbox": 0, "reminders": 1}


async def test_a_purged_id_can_be_created_again(member: Member) -> None:
    row = instance(1, "o1")
    await member.written(member.create(row))
    await member.written(member.delete(row))
    await member.written(member.create(instance(2, "o1")))
    assert (await member.loaded("o1")).row.key == 2


async def test_a_message_sent_beside_a_purge_reaches_the_successor(member: Member) -> None:
    """Whichever order the two units have, and also if the batch is done unit by unit."""
    parent, child = instance(1, "p"), instance(2, "c")
    await member.written(member.create(parent), member.create(child))
    sends = member.update(parent, (1, 1), outbox=[message("c", "start")])
    bad = member.create(instance(3, "p"))
    assert (await member.commit(sends, member.delete(child), bad))[:2] == [None, None]
    assert await member.inbox("c") == [("start", b"body")]


async def test_a_message_goes_to_the_app_that_it_names(engine: Engine, member: Member) -> None:
    sent = [Outgoing(ref("o1"), "m", b"theirs", None, "bank"), message("o1", "m", b"ours")]
    await member.written(member.create(instance(1, "o1"), outbox=sent))
    inboxes = [await engine.store(app).load_inboxes([ref("o1")]) for app in ("bank", "shop")]
    assert [[row.body for row in inbox] for (inbox,) in inboxes] == [[b"theirs"], [b"ours"]]


async def test_apps_do_not_see_each_other(engine: Engine, member: Member) -> None:
    other = engine.store("bank")
    row = instance(1, "o1")
    await member.written(member.create(row, reminders_set=[("r", 1)], outbox=[message("o1", "m")]))
    (snapshot,) = await other.load([ref("o1")])
    assert (snapshot.state, snapshot.inbox) == (None, [])
    assert await other.scan_reminders(member.fence, 1 << 62, 10) == []
    assert await other.scan_inbox(member.fence, 0, 10) == ([], -1)
