"""Deaths of nodes, counted at the instances that were at work."""

from __future__ import annotations

from perdure.runtime.workflow.history import Status
from tests.contract.conftest import Engine
from tests.contract.given import SLOTS, Member, gone, identity, instance, message, second


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


async def test_a_death_counts_for_the_instances_of_the_dead_alone(
    engine: Engine, member: Member
) -> None:
    two = await second(engine, member)
    rows = [instance(n, f"o{n}", has_work=True) for n in range(1, 9)]
    await member.written(*[member.create(row) for row in rows])
    given = sorted({row.slot for row in rows})[:2]
    await member.store.hand_over(member.fence, two.given_by(member, *given))
    dead = (await two.store.read_cluster()).nodes[0]
    assert await two.store.take_over(two.fence, dead, now_us=50)
    attempts = {row.slot: (await two.loaded(row.instance_id)).row.attempts for row in rows}
    assert attempts == {slot: int(slot not in given) for slot in attempts}
    assert 1 in attempts.values()


async def test_a_node_that_left_counts_no_attempt(engine: Engine, member: Member) -> None:
    await member.written(member.create(instance(1, "busy", has_work=True)))
    await member.store.leave(member.fence)
    await engine.store().join(identity(incarnation="second"), SLOTS, gone)
    assert (await member.loaded("busy")).row.attempts == 0
