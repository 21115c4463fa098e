"""Recovery: whatever was left behind is found again, in bounded steps and for ever."""

from __future__ import annotations

import asyncio

from perdure.actors.errors import StoreUnavailable
from perdure.actors.identity import ActorRef
from perdure.actors.messages import WAKE
from perdure.actors.ports import InboxRow
from perdure.actors.recovery import Recovery, RecoveryConfig, RecoveryParts
from tests.support.virtual_time import virtually
from tests.unit.actors.given import (
    FENCE,
    FakeEnv,
    Hosted,
    ScriptedStore,
    hosting,
    ref,
    running,
    settled,
)


def _recovery(store: ScriptedStore, hosted: Hosted, env: FakeEnv, **settings: float) -> Recovery:
    parts = RecoveryParts(store, FENCE, hosted.host, env)
    return Recovery(parts, RecoveryConfig(**settings))  # type: ignore[arg-type]


@virtually
async def test_unfinished_work_stalled_actors_and_unread_inboxes_are_woken_at_the_start(
    store: ScriptedStore, env: FakeEnv
) -> None:
    store.pages = {
        "stalled": [([ref("stalled")], -1)],
        "work": [([ref("work1"), ref("work2")], 7), ([ref("work3")], -1)],
        "inbox": [([ref("inbox")], -1)],
    }
    async with hosting(store, env) as hosted:
        recovery = _recovery(store, hosted, env)
        async with running(recovery.run()):
            await settled()
            woken = {name for name, bodies in hosted.toys.turns if bodies == [WAKE]}
            assert woken == {"stalled", "work1", "work2", "work3", "inbox"}
            assert recovery.woken == 5
            assert store.scanned == [("stalled", 0), ("work", 0), ("work", 7), ("inbox", 0)]


@virtually
async def test_it_looks_again_and_again_but_at_the_stalled_only_once(
    store: ScriptedStore, env: FakeEnv
) -> None:
    async with hosting(store, env) as hosted:
        async with running(_recovery(store, hosted, env, scan_seconds=10.0).run()):
            await asyncio.sleep(36)
        assert store.scanned.count(("stalled", 0)) == 1
        # After 0, 1, 3, 7 and 15 seconds, and then every 10.
        assert store.scanned.count(("work", 0)) == 7


@virtually
async def test_an_actor_that_is_live_is_at_its_work_already(
    store: ScriptedStore, env: FakeEnv
) -> None:
    store.pages = {"work": [([ref("a")], -1)]}
    async with hosting(store, env) as hosted:
        await hosted.call("a", 1)
        async with running(_recovery(store, hosted, env).run()):
            await settled()
        assert hosted.toys.bodies("a") == [1]


@virtually
async def test_an_actor_whose_work_is_at_hand_is_left_in_peace_but_for_its_inbox(
    store: ScriptedStore, env: FakeEnv
) -> None:
    store.pages = {"work": [([ref("a"), ref("b")], -1)], "inbox": [([ref("b")], -1)]}
    async with hosting(store, env) as hosted:
        parts = RecoveryParts(store, FENCE, hosted.host, env)
        recovery = Recovery(parts, RecoveryConfig(), lambda found: True)
        async with running(recovery.run()):
            await settled()
        assert hosted.toys.bodies("a") == []
        assert hosted.toys.bodies("b") == [WAKE]


@virtually
async def test_now_and_then_nobody_s_word_is_taken_that_work_is_at_hand(
    store: ScriptedStore, env: FakeEnv
) -> None:
    store.pages = {"work": [([ref("a")], -1) for _ in range(4)]}
    config = RecoveryConfig(scan_seconds=10.0, soon_seconds=10.0, thorough_every=3)
    async with hosting(store, env) as hosted:
        parts = RecoveryParts(store, FENCE, hosted.host, env)
        recovery = Recovery(parts, config, lambda found: True)
        async with running(recovery.run()):
            await asyncio.sleep(15)
            assert hosted.toys.bodies("a") == []
            await asyncio.sleep(20)
            assert hosted.toys.bodies("a") == [WAKE]


@virtually
async def test_of_a_live_actor_with_an_unread_inbox_only_the_inbox_is_read(
    store: ScriptedStore, env: FakeEnv
) -> None:
    async with hosting(store, env) as hosted:
        await hosted.call("a", 1)
        store.inboxes[ref("a")] = [InboxRow("m1", b"unread")]
        store.pages = {"inbox": [([ref("a")], -1)]}
        async with running(_recovery(store, hosted, env).run()):
            await settled()
        assert hosted.toys.bodies("a") == [1, "unread"]
        assert hosted.toys.activated == ["a"]


@virtually
async def test_a_scan_that_fails_is_tried_again_later(store: ScriptedStore, env: FakeEnv) -> None:
    store.pages = {"work": [StoreUnavailable("away"), ([ref("a")], -1)]}
    async with hosting(store, env) as hosted:
        async with running(_recovery(store, hosted, env, scan_seconds=10.0).run()):
            await asyncio.sleep(11)
        assert hosted.toys.bodies("a") == [WAKE]


@virtually
async def test_no_further_page_is_woken_while_too_much_is_at_work(
    store: ScriptedStore, env: FakeEnv
) -> None:
    store.pages = {"work": [([ref("a"), ref("b")], 2), ([ref("c")], -1)]}
    async with hosting(store, env) as hosted:
        store.hold = asyncio.Event()
        async with running(_recovery(store, hosted, env, busy_max=1).run()):
            await settled()
            assert ("work", 2) not in store.scanned
            store.hold.set()
            await settled()
            assert ("work", 2) in store.scanned
        assert hosted.toys.bodies("c") == [WAKE]


@virtually
async def test_the_stalled_are_looked_at_once_it_can_be_done(
    store: ScriptedStore, env: FakeEnv
) -> None:
    store.pages = {"stalled": [StoreUnavailable("away"), ([ref("a")], -1)]}
    async with hosting(store, env) as hosted:
        async with running(_recovery(store, hosted, env, scan_seconds=10.0).run()):
            await asyncio.sleep(35)
        assert hosted.toys.bodies("a") == [WAKE]
        assert store.scanned.count(("stalled", 0)) == 2


@virtually
async def test_an_actor_that_cannot_be_woken_here_keeps_nobody_from_it(
    store: ScriptedStore, env: FakeEnv
) -> None:
    elsewhere = [ref("elsewhere"), ActorRef("damaged", "x"), ref("a")]
    store.pages = {"work": [(elsewhere, -1)], "inbox": [(elsewhere[:2], 2), ([ref("b")], -1)]}
    async with hosting(store, env) as hosted:
        hosted.owned = {"a", "b", "x"}
        async with running(_recovery(store, hosted, env).run()):
            await settled()
        assert hosted.toys.bodies("a") == [WAKE]
        assert hosted.toys.bodies("b") == [WAKE]


@virtually
async def test_a_load_that_never_ends_does_not_keep_recovery_waiting(
    store: ScriptedStore, env: FakeEnv
) -> None:
    store.pages = {"work": [([ref("a"), ref("b")], 2), ([ref("c")], -1)]}
    async with hosting(store, env) as hosted:
        busy = asyncio.ensure_future(_always_busy(hosted, 600))
        await settled()
        async with running(_recovery(store, hosted, env, busy_max=10).run()):
            await settled()
        busy.cancel()
        assert hosted.toys.bodies("c") == [WAKE]


async def _always_busy(hosted: Hosted, actors: int) -> None:
    """So many clients that call again as soon as they are answered."""

    async def client(name: str) -> None:
        while True:
            await hosted.call(name, "again")

    async with asyncio.TaskGroup() as group:
        for number in range(actors):
            group.create_task(client(f"client{number}"))


@virtually
async def test_slots_that_are_gained_are_looked_at_at_once_and_the_stalled_too(
    store: ScriptedStore, env: FakeEnv
) -> None:
    async with hosting(store, env) as hosted:
        recovery = _recovery(store, hosted, env, scan_seconds=100.0)
        async with running(recovery.run()):
            await settled()
            store.scanned.clear()
            store.pages = {"stalled": [([ref("a")], -1)], "work": [([ref("b")], -1)]}
            recovery.gained()
            await settled()
            assert [kind for kind, _ in store.scanned] == ["stalled", "work", "inbox"]
            assert hosted.toys.bodies("a") == hosted.toys.bodies("b") == [WAKE]


@virtually
async def test_slots_that_are_gained_during_a_scan_are_looked_at_after_it(
    store: ScriptedStore, env: FakeEnv
) -> None:
    async with hosting(store, env) as hosted:
        recovery = _recovery(store, hosted, env, scan_seconds=100.0)
        async with running(recovery.run()):
            while len(store.scanned) < 2:  # noqa: ASYNC110 (step by step, without time)
                await asyncio.sleep(0)
            assert [kind for kind, _ in store.scanned] == ["stalled", "work"]
            recovery.gained()
            await settled()
            assert [kind for kind, _ in store.scanned] == ["stalled", "work", "inbox"] * 2


@virtually
async def test_news_of_other_nodes_have_only_the_stalled_looked_at(
    store: ScriptedStore, env: FakeEnv
) -> None:
    async with hosting(store, env) as hosted:
        recovery = _recovery(store, hosted, env, scan_seconds=10.0, soon_seconds=10.0)
        async with running(recovery.run()):
            await settled()
            store.scanned.clear()
            store.pages = {"stalled": [([ref("a")], -1)], "work": [([ref("b")], -1)]}
            recovery.look_at_stalled()
            await settled()
            assert store.scanned == [("stalled", 0)]
            assert hosted.toys.bodies("a") == [WAKE]
            await asyncio.sleep(11)  # The next scan comes in its time.
            assert hosted.toys.bodies("b") == [WAKE]
