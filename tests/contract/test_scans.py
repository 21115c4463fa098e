"""What recovery finds."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from perdure.actors.identity import ActorRef, slot_of
from perdure.actors.ports import Fence
from perdure.runtime.workflow.history import Status
from tests.contract.conftest import Engine
from tests.contract.given import (
    SLOTS,
    Member,
    alive,
    identity,
    instance,
    message,
    ref,
    second,
)

Scan = Callable[[Fence, int, int], Awaitable[tuple[Sequence[ActorRef], int]]]


async def pages(member: Member, scan: Scan, limit: int) -> list[list[str]]:
    """All pages of a scan, as ids."""
    found, after = [], 0
    while after >= 0:
        refs, after = await scan(member.fence, after, limit)
        found.append([ref.id for ref in refs])
    return found


async def test_a_scan_pages_through_the_instances_with_work(member: Member) -> None:
    rows = [instance(n, f"o{n}", has_work=n % 2 == 0) for n in range(1, 11)]
    await member.written(*[member.create(row) for row in reversed(rows)])
    expected = ["o2", "o4", "o6", "o8", "o10"]
    assert await pages(member, member.store.scan_work, 2) == [
        expected[:2],
        expected[2:4],
        expected[4:],
    ]
    assert await pages(member, member.store.scan_work, 5) == [expected, []]
    assert await pages(member, member.store.scan_work, 6) == [expected]


async def test_an_instance_leaves_the_scan_when_its_work_is_done(member: Member) -> None:
    row = instance(1, "o1", has_work=True)
    await member.written(member.create(row))
    await member.written(member.update(instance(1, "o1", next_seq=2), (1, 1)))
    assert await pages(member, member.store.scan_work, 5) == [[]]


async def test_stalled_instances_are_found_by_their_own_scan_alone(member: Member) -> None:
    stalled = {"status": Status.STALLED, "stalled": "no code"}
    await member.written(
        member.create(instance(1, "idle", **stalled)),
        member.create(instance(2, "busy", has_work=True, **stalled)),
        member.create(instance(3, "running", has_work=True)),
    )
    assert await pages(member, member.store.scan_stalled, 1) == [["idle"], ["busy"], []]
    assert await pages(member, member.store.scan_work, 5) == [["running"]]


async def test_a_scan_of_the_inbox_names_each_actor_once_to_a_page(member: Member) -> None:
    outbox = [message("a", "1"), message("b", "1"), message("a", "2"), message("c", "1")]
    await member.written(member.create(instance(1, "o1"), outbox=outbox))
    assert await pages(member, member.store.scan_inbox, 3) == [["a", "b"], ["c"]]
    assert await pages(member, member.store.scan_inbox, 9) == [["a", "b", "c"]]


async def test_messages_for_a_stalled_instance_wait_for_its_end_unseen(member: Member) -> None:
    stalled = instance(1, "stalled", status=Status.STALLED, stalled="no code")
    outbox = [message("stalled", "1"), message("a", "1")]
    await member.written(member.create(stalled), member.create(instance(2, "o"), outbox=outbox))
    assert await pages(member, member.store.scan_inbox, 1) == [["a"], []]
    await member.written(member.update(instance(1, "stalled", next_seq=2), (1, 1)))
    assert await pages(member, member.store.scan_inbox, 9) == [["stalled", "a"]]


async def test_reminders_come_earliest_first_and_only_when_due(member: Member) -> None:
    await member.written(
        member.create(instance(1, "a"), reminders_set=[("late", 30), ("now", 10)]),
        member.create(instance(2, "b"), reminders_set=[("soon", 20), ("now", 10)]),
    )
    due = await member.store.scan_reminders(member.fence, 30, 10)
    found = [(reminder.ref, reminder.name, reminder.due_us) for reminder in due]
    assert sorted(found[:2]) == [(ref("a"), "now", 10), (ref("b"), "now", 10)]
    assert found[2:] == [(ref("b"), "soon", 20)]
    assert await member.store.scan_reminders(member.fence, 10, 10) == []
    assert len(await member.store.scan_reminders(member.fence, 99, 2)) == 2


async def test_blocks_of_keys_never_overlap(member: Member) -> None:
    blocks = [await member.store.reserve_keys(count) for count in (3, 1, 1000)]
    keys = [key for block in blocks for key in block]
    assert keys == sorted(set(keys))
    assert len(keys) == 1004
    assert keys[0] > 0


async def test_a_node_finds_what_is_in_its_own_slots_alone(engine: Engine, member: Member) -> None:
    two = await second(engine, member)
    names = [f"o{n}" for n in range(1, 9)]
    rows = [instance(n, name, has_work=True) for n, name in enumerate(names, 1)]
    stalled = [instance(n, f"s{n}", status=Status.STALLED, stalled="x") for n in range(11, 19)]
    await member.written(
        *[
            member.create(row, outbox=[message(f"m{row.key}", "1")], reminders_set=[("r", 1)])
            for row in rows
        ],
        *[member.create(row) for row in stalled],
    )
    given = two.given_by(member, *range(0, SLOTS, 2))
    await member.store.hand_over(member.fence, given)
    seen: list[set[str]] = []
    for node in (member, two):
        found: set[str] = set()
        for scan in (node.store.scan_work, node.store.scan_stalled, node.store.scan_inbox):
            found |= {name for page in await pages(node, scan, 3) for name in page}
        reminders = {f"r {name}" for name, _, _ in await node.reminders()}
        odd = node is member
        assert all(slot_of(name.split()[-1], SLOTS) % 2 == odd for name in found | reminders)
        seen.append(found | reminders)
    everything = {row.instance_id for row in (*rows, *stalled)}
    everything |= {f"m{row.key}" for row in rows} | {f"r {name}" for name in names}
    assert seen[0] | seen[1] == everything
    assert all(seen)


async def test_a_fence_of_before_finds_nothing_any_more(engine: Engine, member: Member) -> None:
    sent = [message("a", "1")]
    row = instance(1, "o1", has_work=True)
    await member.written(member.create(row, outbox=sent, reminders_set=[("r", 1)]))
    await engine.store().join(identity(), SLOTS, alive)
    for scan in (member.store.scan_work, member.store.scan_inbox):
        assert await pages(member, scan, 5) == [[]]
    assert await member.reminders() == []


async def test_late_answers_are_left_with_a_finished_instance_until_the_last_has_come(
    member: Member,
) -> None:
    ended = {"status": Status.COMPLETED}
    sent = [message(name, "task:1:1:1") for name in ("waits", "done", "runs")]
    await member.written(
        member.create(instance(1, "waits", has_work=True, **ended), outbox=sent),
        member.create(instance(2, "done", **ended)),
        member.create(instance(3, "runs", has_work=True)),
    )
    assert await pages(member, member.store.scan_inbox, 9) == [["done", "runs"]]
    assert await pages(member, member.store.scan_work, 9) == [["waits", "runs"]]
