"""The host when slots come and go, and when inboxes of the living are looked into."""

from __future__ import annotations

import asyncio

import pytest

from perdure.actors.errors import (
    ActorTypeUnknown,
    CommitUnknown,
    NodeFenced,
    NodeStopping,
    NotOwner,
    StoreUnavailable,
    TurnConflict,
)
from perdure.actors.identity import ActorRef, slot_of
from perdure.actors.ports import InboxRow
from tests.support.virtual_time import virtually
from tests.unit.actors.given import (
    SLOTS,
    FakeEnv,
    Hosted,
    ScriptedStore,
    hosting,
    ref,
    settled,
)


def slot(name: str) -> int:
    return slot_of(name, SLOTS)


assert slot("a") != slot("b")


# ---- giving slots away


@virtually
async def test_a_slot_is_vacated_once_its_turns_are_committed(
    store: ScriptedStore, env: FakeEnv
) -> None:
    async with hosting(store, env) as hosted:
        await hosted.call("b", 0)
        store.hold = asyncio.Event()
        committing = hosted.host.call(ref("a"), 1)
        await settled()
        waiting = hosted.host.call(ref("a"), 2)
        hosted.owned = {"b"}
        leaving = asyncio.ensure_future(hosted.host.vacate([slot("a")]))
        await settled()
        assert not leaving.done()
        with pytest.raises(NotOwner, match="toy/a is on its way to another node"):
            hosted.host.call(ref("a"), 3)
        store.hold.set()
        await leaving
        assert await committing == 1
        with pytest.raises(NotOwner, match="toy/a lives on another node"):
            await waiting
        assert not hosted.host.is_live(ref("a"))
        assert hosted.host.is_live(ref("b"))
        assert hosted.toys.bodies("a") == [1]


@virtually
async def test_what_loads_rests_or_waits_for_its_turn_leaves_at_once(
    store: ScriptedStore, env: FakeEnv
) -> None:
    async with hosting(store, env) as hosted:
        await hosted.call("a", 1)
        loading = hosted.host.call(ref("b"), 2)
        hosted.owned = set()
        await hosted.host.vacate(range(SLOTS))
        assert hosted.host.live == 0
        with pytest.raises(NotOwner):
            await loading
        await settled()
        assert hosted.toys.bodies("b") == []
        assert hosted.toys.closed == ["a"]
        await hosted.host.calm()


@pytest.mark.parametrize(
    "outcome", [{"a": TurnConflict("meanwhile")}, CommitUnknown("who knows")], ids=str
)
@virtually
async def test_a_last_turn_that_fails_is_for_the_next_owner_to_take(
    store: ScriptedStore, env: FakeEnv, outcome: dict[str, Exception] | Exception
) -> None:
    async with hosting(store, env) as hosted:
        await settled()
        store.hold = asyncio.Event()
        store.commits.append(outcome)
        call = hosted.host.call(ref("a"), 1)
        await settled()
        hosted.owned = set()
        leaving = asyncio.ensure_future(hosted.host.vacate([slot("a")]))
        await settled()
        store.hold.set()
        await leaving
        with pytest.raises(NotOwner):
            await call
        await asyncio.sleep(30)
        assert hosted.toys.bodies("a") == [1]


@virtually
async def test_a_host_that_closes_ends_the_wait_for_slots(
    store: ScriptedStore, env: FakeEnv
) -> None:
    async with hosting(store, env) as hosted:
        store.hold = asyncio.Event()
        call = hosted.host.call(ref("a"), 1)
        await settled()
        leaving = asyncio.ensure_future(hosted.host.vacate([slot("a")]))
        await settled()
        hosted.host.close(NodeFenced("declared dead"))
        await leaving
        with pytest.raises(NodeFenced):
            await call
        with pytest.raises(NodeStopping):
            hosted.host.call(ref("a"), 2)
        store.hold.set()


@virtually
async def test_strangers_are_dropped_and_those_of_an_earlier_epoch(
    store: ScriptedStore, env: FakeEnv
) -> None:
    async with hosting(store, env) as hosted:
        await hosted.call("a", 1)
        await hosted.call("b", 1)
        hosted.host.drop_strangers()
        assert hosted.host.live == 2
        hosted.owned = {"b"}
        hosted.host.drop_strangers()
        assert (hosted.host.is_live(ref("a")), hosted.host.is_live(ref("b"))) == (False, True)
        hosted.epoch = 2
        hosted.host.drop_strangers()
        assert hosted.host.live == 0
        assert await hosted.call("b", 2) == 2
        assert hosted.toys.activated == ["a", "b", "b"]


@virtually
async def test_a_stranger_in_the_midst_of_a_commit_ends_with_it(
    store: ScriptedStore, env: FakeEnv
) -> None:
    async with hosting(store, env) as hosted:
        store.hold = asyncio.Event()
        call = hosted.host.call(ref("a"), 1)
        await settled()
        hosted.owned = set()
        hosted.host.drop_strangers()
        assert hosted.host.is_live(ref("a"))
        store.hold.set()
        assert await call == 1
        await settled()
        assert not hosted.host.is_live(ref("a"))


@virtually
async def test_a_turn_in_a_slot_that_is_gone_goes_to_the_caller_and_is_not_repeated(
    store: ScriptedStore, env: FakeEnv
) -> None:
    async with hosting(store, env) as hosted:
        await settled()
        store.commits.append({"a": NotOwner("slot 1 is no longer this node's")})
        hosted.tell("a", "durable", "m1")
        with pytest.raises(NotOwner, match="no longer this node's"):
            await hosted.call("a", 1)
        await asyncio.sleep(60)
        assert hosted.toys.turns == [("a", ["durable", 1])] or len(hosted.toys.turns) == 1


# ---- looking into inboxes


async def _live(hosted: Hosted, store: ScriptedStore, *rows: str) -> None:
    """An actor `a` that rests, and then rows of its inbox that nobody has told it of."""
    await hosted.call("a", "call")
    store.inboxes[ref("a")] = [InboxRow(row, row.encode()) for row in rows]


@virtually
async def test_a_look_takes_what_is_unread_and_evicts_nobody(
    store: ScriptedStore, env: FakeEnv
) -> None:
    async with hosting(store, env) as hosted:
        await _live(hosted, store, "m1", "m2")
        hosted.host.look(ref("a"))
        await settled()
        assert hosted.toys.turns[1:] == [("a", ["m1", "m2"])]
        assert hosted.toys.activated == ["a"]
        assert store.inboxes[ref("a")] == []
        hosted.host.look(ref("a"))
        await settled()
        assert len(hosted.toys.turns) == 2


@virtually
async def test_a_look_at_one_that_is_not_live_loads_it(store: ScriptedStore, env: FakeEnv) -> None:
    store.inboxes[ref("a")] = [InboxRow("m1", b"row")]
    async with hosting(store, env) as hosted:
        hosted.host.look(ref("a"))
        hosted.host.look(ref("a"))  # It might have come after the load has read.
        await settled()
        assert hosted.toys.turns == [("a", ["row"])]
        assert (len(store.loads), len(store.looks)) == (1, 1)


@virtually
async def test_a_row_that_a_turn_takes_while_the_inbox_is_read_is_not_taken_twice(
    store: ScriptedStore, env: FakeEnv
) -> None:
    async with hosting(store, env) as hosted:
        await _live(hosted, store, "m1", "m2")
        store.hold_looks = asyncio.Event()
        hosted.host.look(ref("a"))
        await settled()
        hosted.tell("a", "m1", "m1")
        await settled()
        assert hosted.toys.turns[1:] == [("a", ["m1"])]
        store.hold_looks.set()
        await settled()
        assert hosted.toys.turns[2:] == [("a", ["m2"])]


@virtually
async def test_nor_is_one_whose_turn_is_being_committed_by_then(
    store: ScriptedStore, env: FakeEnv
) -> None:
    async with hosting(store, env) as hosted:
        await _live(hosted, store, "m1")
        store.hold = asyncio.Event()
        hosted.tell("a", "m1", "m1")
        await settled()
        hosted.host.look(ref("a"))
        await settled()
        store.hold.set()
        await settled()
        assert hosted.toys.turns[1:] == [("a", ["m1"])]


@virtually
async def test_a_look_during_a_look_is_made_after_it(store: ScriptedStore, env: FakeEnv) -> None:
    async with hosting(store, env) as hosted:
        await _live(hosted, store, "m1")
        store.hold_looks = asyncio.Event()
        hosted.host.look(ref("a"))
        await settled()
        store.inboxes[ref("a")].append(InboxRow("m2", b"m2"))
        for _ in range(3):
            hosted.host.look(ref("a"))
        store.hold_looks.set()
        await settled()
        assert [body for body in hosted.toys.bodies("a")] == ["call", "m1", "m2"]
        assert len(store.looks) == 2


@virtually
async def test_a_look_that_fails_or_comes_too_late_does_no_harm(
    store: ScriptedStore, env: FakeEnv
) -> None:
    async with hosting(store, env) as hosted:
        await _live(hosted, store, "m1")
        store.load_errors.append(StoreUnavailable("away"))
        hosted.host.look(ref("a"))
        await settled()
        assert hosted.toys.bodies("a") == ["call"]
        store.hold_looks = asyncio.Event()
        hosted.host.look(ref("a"))
        await settled()
        assert hosted.host.release(ref("a"))
        store.hold_looks.set()
        await settled()
        assert hosted.toys.bodies("a") == ["call"]
        hosted.host.look(ref("a"))
        await settled()
        assert hosted.toys.bodies("a") == ["call", "m1"]


@virtually
async def test_a_look_is_refused_as_a_message_is(store: ScriptedStore, env: FakeEnv) -> None:
    async with hosting(store, env) as hosted:
        with pytest.raises(ActorTypeUnknown):
            hosted.host.look(ActorRef("other", "a"))
        hosted.owned = set()
        with pytest.raises(NotOwner):
            hosted.host.look(ref("a"))
        hosted.owned = None
        hosted.host.stop_taking()
        with pytest.raises(NodeStopping):
            hosted.host.look(ref("a"))
