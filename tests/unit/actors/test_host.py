"""The host: one turn at a time, nothing before its commit, and who stays in memory."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from perdure.actors.errors import (
    ActorTypeUnknown,
    MailboxFull,
    NodeStopping,
    NotOwner,
)
from perdure.actors.identity import ActorRef
from perdure.actors.messages import Delivery, Quarantine
from perdure.actors.ports import InboxRow
from perdure.actors.unit_of_work import Outgoing
from tests.support.virtual_time import VirtualLoop, virtually
from tests.unit.actors.given import FakeEnv, ScriptedStore, ToyType, hosting, ref, settled


@virtually
async def test_a_call_is_answered_after_its_commit(store: ScriptedStore, env: FakeEnv) -> None:
    async with hosting(store, env) as hosted:
        store.hold = asyncio.Event()
        reply = hosted.host.call(ref("a"), "hello")
        await settled()
        assert hosted.toys.turns == [("a", ["hello"])]
        assert not reply.done()
        store.hold.set()
        assert await reply == "hello"


@virtually
async def test_an_actor_takes_one_turn_at_a_time_with_all_that_waits(
    store: ScriptedStore, env: FakeEnv
) -> None:
    async with hosting(store, env) as hosted:
        store.hold = asyncio.Event()
        first = hosted.host.call(ref("a"), 1)
        await settled()
        others = [hosted.host.call(ref("a"), n) for n in (2, 3, 4)]
        await settled()
        assert hosted.toys.turns == [("a", [1])]
        store.hold.set()
        assert await asyncio.gather(first, *others) == [1, 2, 3, 4]
        assert hosted.toys.turns == [("a", [1]), ("a", [2, 3, 4])]


@virtually
async def test_a_turn_takes_no_more_messages_than_is_allowed(
    store: ScriptedStore, env: FakeEnv
) -> None:
    async with hosting(store, env, turn_messages_max=2) as hosted:
        calls = [hosted.host.call(ref("a"), n) for n in range(5)]
        await asyncio.gather(*calls)
        assert [bodies for _, bodies in hosted.toys.turns] == [[0, 1], [2, 3], [4]]


@virtually
async def test_actors_do_not_wait_for_each_other(store: ScriptedStore, env: FakeEnv) -> None:
    async with hosting(store, env) as hosted:
        store.hold = asyncio.Event()
        calls = [hosted.host.call(ref(f"a{n}"), n) for n in range(10)]
        await settled()
        assert len(hosted.toys.turns) == 10
        store.hold.set()
        await asyncio.gather(*calls)
        assert [len(batch) for batch in store.batches if batch] == [10]


@virtually
async def test_nothing_leaves_before_the_commit_and_everything_after_it(
    store: ScriptedStore, env: FakeEnv
) -> None:
    outgoing = Outgoing(ref("b"), "m1", b"body", "body")

    def behave(actor: Any, delivery: Delivery, decision: Any, change: Any) -> None:
        decision.sends.append((ref("c"), "volatile"))
        decision.announcement = "news"
        change.outbox.append(outgoing)

    async with hosting(store, env, ToyType(behave)) as hosted:
        store.hold = asyncio.Event()
        reply = hosted.host.call(ref("a"), "hello")
        await settled()
        assert (hosted.sink.told, hosted.sink.hinted, hosted.announced) == ([], [], [])
        store.hold.set()
        await reply
        assert hosted.sink.told == [(ref("c"), "volatile")]
        assert hosted.sink.hinted == [outgoing]
        assert hosted.announced == [(ref("a"), "news")]


@virtually
async def test_a_turn_that_writes_nothing_is_answered_without_a_commit(
    store: ScriptedStore, env: FakeEnv
) -> None:
    async with hosting(store, env) as hosted:
        store.hold = asyncio.Event()
        assert isinstance(await hosted.call("a", Quarantine("look")), Quarantine)


@virtually
async def test_the_inbox_is_read_once_and_before_what_is_volatile(
    store: ScriptedStore, env: FakeEnv
) -> None:
    store.inboxes[ref("a")] = [InboxRow("m1", b"first"), InboxRow("m2", b"second")]
    async with hosting(store, env) as hosted:
        hosted.tell("a", "second", "m2")
        assert await hosted.call("a", "call") == "call"
        assert hosted.toys.turns == [("a", ["first", "second", "call"])]
        assert [each.consumed for batch in store.batches for each in batch] == [["m1", "m2"]]
        assert store.inboxes[ref("a")] == []


@virtually
async def test_what_a_turn_returns_stands_first_in_the_next_one(
    store: ScriptedStore, env: FakeEnv
) -> None:
    taken: list[object] = []

    def behave(actor: Any, delivery: Delivery, decision: Any, change: Any) -> None:
        if decision.returned or taken.count(delivery.body):
            return
        taken.append(delivery.body)
        rest = [d for d in batch if d is not delivery]
        if delivery.body == 1:
            decision.returned = rest
            decision.replies = [(delivery.reply, delivery.body)]

    async with hosting(store, env, ToyType(behave)) as hosted:
        batch = [Delivery(n, asyncio.get_running_loop().create_future()) for n in (1, 2, 3)]
        for delivery in batch:
            hosted.host.deliver(ref("a"), delivery)
        replies = [delivery.reply for delivery in batch if delivery.reply is not None]
        assert await asyncio.gather(*replies) == [1, 2, 3]
        assert hosted.toys.turns[1] == ("a", [2, 3])


@virtually
async def test_a_reload_has_the_rest_taken_by_a_fresh_activation(
    store: ScriptedStore, env: FakeEnv
) -> None:
    def behave(actor: Any, delivery: Delivery, decision: Any, change: Any) -> None:
        decision.reload = delivery.body == "look again"

    async with hosting(store, env, ToyType(behave), turn_messages_max=1) as hosted:
        calls = [hosted.host.call(ref("a"), body) for body in ("look again", "then")]
        assert await asyncio.gather(*calls) == ["look again", "then"]
        assert hosted.toys.activated == ["a", "a"]


@virtually
async def test_a_full_mailbox_refuses_new_messages(store: ScriptedStore, env: FakeEnv) -> None:
    async with hosting(store, env, mailbox_limit=2) as hosted:
        store.hold = asyncio.Event()
        hosted.tell("a", 0)
        await settled()
        waiting = [hosted.host.call(ref("a"), n) for n in (1, 2)]
        with pytest.raises(MailboxFull):
            hosted.host.call(ref("a"), 3)
        assert await _free(hosted, store, waiting) == [1, 2]


async def _free(hosted: Any, store: ScriptedStore, waiting: Any) -> Any:
    assert store.hold is not None
    store.hold.set()
    return await asyncio.gather(*waiting)


@virtually
async def test_what_is_durable_is_taken_though_the_mailbox_is_full(
    store: ScriptedStore, env: FakeEnv
) -> None:
    async with hosting(store, env, mailbox_limit=2) as hosted:
        store.hold = asyncio.Event()
        hosted.tell("a", 0)
        await settled()
        for n in range(1, 6):
            hosted.tell("a", n, f"m{n}")
        await _free(hosted, store, [])
        await settled()
        assert hosted.toys.bodies("a") == [0, 1, 2, 3, 4, 5]


@virtually
async def test_long_turns_let_others_have_their_time_in_between(
    store: ScriptedStore, env: FakeEnv
) -> None:
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualLoop)
    seen: list[object] = []

    def behave(actor: Any, delivery: Delivery, decision: Any, change: Any) -> None:
        loop.pass_time(1.0)
        seen.append(delivery.body)
        loop.call_soon(seen.append, "others")

    async with hosting(store, env, ToyType(behave)) as hosted:
        for number in range(3):
            hosted.host.deliver(ref(f"a{number}"), Delivery(number), is_new=True)
        await settled()
        assert seen == [0, "others", 1, "others", 2, "others"]


@virtually
async def test_a_node_takes_no_more_calls_than_is_allowed_over_all_actors(
    store: ScriptedStore, env: FakeEnv
) -> None:
    async with hosting(store, env, calls_max=2) as hosted:
        store.hold = asyncio.Event()
        waiting = [hosted.host.call(ref(f"a{n}"), n) for n in range(2)]
        with pytest.raises(MailboxFull, match="2 calls are waiting on this node"):
            hosted.host.call(ref("b"), 3)
        assert not hosted.host.is_live(ref("b"))
        hosted.tell("b", "a tell is no call")
        await _free(hosted, store, waiting)
        assert await hosted.call("b", 4) == 4


@virtually
async def test_the_least_recently_used_idle_actors_make_room(
    store: ScriptedStore, env: FakeEnv
) -> None:
    async with hosting(store, env, live_actors_max=3) as hosted:
        for name in ("a", "b", "c"):
            await hosted.call(name, 1)
        await hosted.call("a", 2)
        await hosted.call("d", 1)
        assert hosted.toys.closed == ["b"]
        assert hosted.host.live == 3
        await hosted.call("b", 2)
        assert hosted.toys.closed == ["b", "c"]


@virtually
async def test_a_busy_actor_is_not_dropped_to_make_room(store: ScriptedStore, env: FakeEnv) -> None:
    async with hosting(store, env, live_actors_max=1) as hosted:
        store.hold = asyncio.Event()
        busy = hosted.host.call(ref("busy"), 1)
        await settled()
        other = hosted.host.call(ref("other"), 2)
        await settled()
        assert hosted.toys.closed == []
        assert not hosted.host.release(ref("busy"))
        await _free(hosted, store, [busy, other])


@virtually
async def test_an_actor_that_nobody_talks_to_is_dropped_after_a_while(
    store: ScriptedStore, env: FakeEnv
) -> None:
    async with hosting(store, env, idle_seconds=10.0) as hosted:
        await hosted.call("a", 1)
        await asyncio.sleep(8)
        assert hosted.host.is_live(ref("a"))
        await hosted.call("b", 1)
        await asyncio.sleep(8)
        assert not hosted.host.is_live(ref("a"))
        assert hosted.host.is_live(ref("b"))


@virtually
async def test_a_passivated_actor_leaves_unless_something_waits_for_it(
    store: ScriptedStore, env: FakeEnv
) -> None:
    def behave(actor: Any, delivery: Delivery, decision: Any, change: Any) -> None:
        decision.passivate = True

    async with hosting(store, env, ToyType(behave)) as hosted:
        store.hold = asyncio.Event()
        first = hosted.host.call(ref("a"), 1)
        await settled()
        second = hosted.host.call(ref("a"), 2)
        await _free(hosted, store, [first, second])
        assert hosted.toys.activated == ["a"]
        await settled()
        assert hosted.host.live == 0


@virtually
async def test_a_new_actor_is_not_looked_for_in_the_store(
    store: ScriptedStore, env: FakeEnv
) -> None:
    async with hosting(store, env) as hosted:
        assert await hosted.host.call(ref("a"), 1, is_new=True) == 1
        assert store.loads == []


@virtually
async def test_what_is_not_hosted_or_not_owned_here_is_refused(
    store: ScriptedStore, env: FakeEnv
) -> None:
    async with hosting(store, env) as hosted:
        with pytest.raises(ActorTypeUnknown, match="no actor of type 'other' is hosted here"):
            hosted.host.call(ActorRef("other", "a"), 1)
        hosted.owned = {"mine"}
        with pytest.raises(NotOwner, match="toy/theirs lives on another node"):
            hosted.host.call(ref("theirs"), 1)
        assert await hosted.call("mine", 1) == 1


@virtually
async def test_a_host_that_stops_refuses_what_is_new_and_ends_what_is_there(
    store: ScriptedStore, env: FakeEnv
) -> None:
    async with hosting(store, env) as hosted:
        await hosted.call("a", 1)
        hosted.host.stop_taking()
        assert await hosted.call("a", 2) == 2
        with pytest.raises(NodeStopping):
            hosted.host.call(ref("b"), 1)
        store.hold = asyncio.Event()
        waiting = [hosted.host.call(ref("a"), n) for n in (3, 4)]
        await settled()
        hosted.host.close()
        for reply in waiting:
            with pytest.raises(NodeStopping):
                await reply
        assert hosted.host.live == 0
        store.hold.set()
        await settled()


@virtually
async def test_calm_waits_until_nothing_is_at_work(store: ScriptedStore, env: FakeEnv) -> None:
    async with hosting(store, env) as hosted:
        store.hold = asyncio.Event()
        reply = hosted.host.call(ref("a"), 1)
        calm = asyncio.ensure_future(hosted.host.calm())
        await settled()
        assert not calm.done()
        store.hold.set()
        await calm
        assert reply.done()
