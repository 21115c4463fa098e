"""The host when something goes wrong: what is taken again, what is refused, who is set aside."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from perdure.actors.errors import (
    CommitUnknown,
    StoreUnavailable,
    TurnConflict,
)
from perdure.actors.messages import Delivery, Quarantine, ReminderDue
from perdure.actors.ports import InboxRow
from tests.support.virtual_time import virtually
from tests.unit.actors.given import FakeEnv, ScriptedStore, ToyType, hosting, ref, settled


@pytest.mark.parametrize("error", [TurnConflict("meanwhile"), CommitUnknown("who knows")], ids=str)
@virtually
async def test_after_a_failed_commit_a_fresh_activation_takes_the_messages_again(
    store: ScriptedStore, env: FakeEnv, error: Exception
) -> None:
    async with hosting(store, env) as hosted:
        await settled()
        store.commits.append({"a": error} if isinstance(error, TurnConflict) else error)
        calls = [hosted.host.call(ref("a"), n) for n in (1, 2)]
        assert await asyncio.gather(*calls) == [1, 2]
        assert hosted.toys.activated == ["a", "a"]
        assert hosted.toys.closed == ["a"]
        assert hosted.toys.turns == [("a", [1, 2]), ("a", [1, 2])]
        assert len(store.loads) == 2


@virtually
async def test_messages_that_come_between_are_taken_after_those_that_failed(
    store: ScriptedStore, env: FakeEnv
) -> None:
    async with hosting(store, env) as hosted:
        store.hold = asyncio.Event()
        first = hosted.host.call(ref("a"), 1)
        await settled()
        store.commits.append({"a": TurnConflict("meanwhile")})
        second = hosted.host.call(ref("a"), 2)
        store.hold.set()
        assert await asyncio.gather(*[first, second]) == [1, 2]
        assert hosted.toys.turns[-1] == ("a", [1, 2])


@virtually
async def test_calls_are_refused_at_once_while_the_store_cannot_write(
    store: ScriptedStore, env: FakeEnv
) -> None:
    full = StoreUnavailable("disk full")
    async with hosting(store, env) as hosted:
        await settled()
        store.commits.append(full)
        hosted.tell("a", "kept")
        with pytest.raises(StoreUnavailable, match="disk full"):
            await hosted.call("a", "refused")
        await asyncio.sleep(30)
        assert hosted.toys.turns[-1] == ("a", ["kept"])  # A tell is not lost with it.


@virtually
async def test_a_call_that_keeps_failing_gets_the_error_in_the_end(
    store: ScriptedStore, env: FakeEnv
) -> None:
    async with hosting(store, env, turn_attempts_max=2) as hosted:
        await settled()
        store.commits += [{"a": TurnConflict("again")}] * 3
        with pytest.raises(TurnConflict):
            await hosted.call("a", 1)
        assert len(hosted.toys.turns) == 3
        assert await hosted.call("a", 2) == 2


@virtually
async def test_an_actor_whose_turns_keep_failing_is_told_to_stop_and_disturbs_nobody(
    store: ScriptedStore, env: FakeEnv
) -> None:
    def behave(actor: Any, delivery: Delivery, decision: Any, change: Any) -> None:
        if delivery.body == "poison":
            raise ZeroDivisionError("of ours")

    toys = ToyType(behave)
    async with hosting(store, env, toys, turn_attempts_max=2) as hosted:
        with pytest.raises(ZeroDivisionError):
            await hosted.call("a", "poison")
        assert await hosted.call("b", "fine") == "fine"
        await asyncio.sleep(60)
        (told,) = [body for body in toys.bodies("a") if isinstance(body, Quarantine)]
        assert told.reason == ("its turn failed 3 times, at last with ZeroDivisionError: of ours")
        assert toys.bodies("a").count("poison") == 3
        assert await hosted.call("a", "fine again") == "fine again"


@virtually
async def test_what_sets_an_actor_aside_comes_before_the_row_that_made_its_turns_fail(
    store: ScriptedStore, env: FakeEnv
) -> None:
    def behave(actor: object, delivery: Delivery, decision: object, change: object) -> None:
        if isinstance(delivery.body, Quarantine):
            aside.append(delivery.body.reason)
        if delivery.body == "poison" and not aside:
            raise ZeroDivisionError("of ours")

    aside: list[str] = []
    store.inboxes[ref("a")] = [InboxRow("m1", b"poison")]
    async with hosting(store, env, ToyType(behave), turn_attempts_max=2) as hosted:
        hosted.tell("a", "poison", "m1")
        await asyncio.sleep(60)
        assert aside == ["its turn failed 3 times, at last with ZeroDivisionError: of ours"]


@virtually
async def test_a_failed_load_is_tried_again(store: ScriptedStore, env: FakeEnv) -> None:
    async with hosting(store, env) as hosted:
        store.load_errors += [StoreUnavailable("away"), CommitUnknown("odd")]
        hosted.tell("a", "kept")
        await asyncio.sleep(30)
        assert hosted.toys.turns == [("a", ["kept"])]


@virtually
async def test_a_caller_that_has_gone_away_harms_nobody(store: ScriptedStore, env: FakeEnv) -> None:
    async with hosting(store, env) as hosted:
        gone = hosted.host.call(ref("a"), 1)
        gone.cancel()
        assert await hosted.call("a", 2) == 2


@virtually
async def test_a_row_that_cannot_be_read_is_told_and_stays(
    store: ScriptedStore, env: FakeEnv
) -> None:
    store.inboxes[ref("a")] = [InboxRow("m1", b"damaged"), InboxRow("m2", b"fine")]
    async with hosting(store, env) as hosted:
        await hosted.call("a", "call")
        told, *rest = hosted.toys.bodies("a")
        assert isinstance(told, Quarantine)
        assert told.reason == "inbox row 'm1': undecodable"
        assert rest == ["fine", "call"]
        assert [row.message_id for row in store.inboxes[ref("a")]] == ["m1"]


@virtually
async def test_a_reminder_whose_turn_failed_is_left_to_its_row(
    store: ScriptedStore, env: FakeEnv
) -> None:
    async with hosting(store, env) as hosted:
        await settled()
        store.commits.append({"a": TurnConflict("meanwhile")})
        hosted.tell("a", ReminderDue("r"))
        await asyncio.sleep(30)
        assert len(hosted.toys.turns) == 1
