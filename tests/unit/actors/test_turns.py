"""Turns: kept back by a gate, and by a node that others may take for dead."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from perdure.actors.errors import StoreUnavailable, TurnConflict
from perdure.actors.gate import Limits
from perdure.actors.messages import Delivery
from tests.support.virtual_time import virtually
from tests.unit.actors.given import FakeEnv, ScriptedStore, ToyType, hosting, ref, settled


@virtually
async def test_no_more_turns_are_under_way_than_the_gate_admits(
    store: ScriptedStore, env: FakeEnv
) -> None:
    async with hosting(store, env, limits=Limits(2)) as hosted:
        store.hold = asyncio.Event()
        calls = [hosted.host.call(ref(f"a{n}"), n) for n in range(5)]
        await settled()
        assert (len(hosted.toys.turns), hosted.gate.count) == (2, 2)
        assert "held=3" in repr(hosted.host.turns)
        store.hold.set()
        assert await asyncio.gather(*calls) == [0, 1, 2, 3, 4]
        assert hosted.gate.count == 0
        assert [name for name, _ in hosted.toys.turns] == [f"a{n}" for n in range(5)]


@virtually
async def test_a_limit_of_one_name_keeps_nobody_else_waiting(
    store: ScriptedStore, env: FakeEnv
) -> None:
    """The toys' names are what stands before the dash."""
    async with hosting(store, env, limits=Limits(None, {"slow": 1})) as hosted:
        store.hold = asyncio.Event()
        slow = [hosted.host.call(ref(f"slow-{n}"), n) for n in range(3)]
        fast = hosted.host.call(ref("fast-1"), "x")
        await settled()
        assert sorted(name for name, _ in hosted.toys.turns) == ["fast-1", "slow-0"]
        store.hold.set()
        assert await asyncio.gather(*slow, fast) == [0, 1, 2, "x"]
        assert hosted.gate.count == 0


@virtually
async def test_what_comes_for_one_that_is_kept_back_is_taken_with_the_rest(
    store: ScriptedStore, env: FakeEnv
) -> None:
    async with hosting(store, env, limits=Limits(1)) as hosted:
        store.hold = asyncio.Event()
        first = hosted.host.call(ref("a"), 1)
        await settled()
        waiting = [hosted.host.call(ref("b"), n) for n in (2, 3)]
        await settled()
        waiting.append(hosted.host.call(ref("b"), 4))
        store.hold.set()
        assert await asyncio.gather(first, *waiting) == [1, 2, 3, 4]
        assert hosted.toys.turns[1:] == [("b", [2, 3, 4])]


@virtually
async def test_wider_limits_let_in_who_was_kept_back(store: ScriptedStore, env: FakeEnv) -> None:
    async with hosting(store, env, limits=Limits(0)) as hosted:
        calls = [hosted.host.call(ref(f"a{n}"), n) for n in range(3)]
        await settled()
        assert hosted.toys.turns == []
        hosted.gate.set(Limits())
        hosted.host.turns.regate()
        assert await asyncio.gather(*calls) == [0, 1, 2]


@virtually
async def test_a_turn_that_comes_to_nothing_leaves_the_gate_too(
    store: ScriptedStore, env: FakeEnv
) -> None:
    def behave(actor: Any, delivery: Delivery, decision: Any, change: Any) -> None:
        if delivery.body == "poison":
            raise ZeroDivisionError("of ours")

    async with hosting(
        store, env, ToyType(behave), limits=Limits(1), turn_attempts_max=0
    ) as hosted:
        with pytest.raises(ZeroDivisionError):
            await hosted.call("a", "poison")
        await settled()
        store.commits.append({"b": TurnConflict("meanwhile")})
        with pytest.raises(TurnConflict):
            await hosted.call("b", 1)
        assert hosted.gate.count == 0
        store.hold = asyncio.Event()
        gone = hosted.host.call(ref("c"), 1)
        await settled()
        hosted.owned = set()
        leaving = asyncio.ensure_future(hosted.host.vacate(range(8)))
        await settled()
        store.hold.set()
        await leaving
        assert await gone == 1
        assert hosted.gate.count == 0


@virtually
async def test_one_that_is_moved_out_while_it_is_kept_back_takes_no_turn(
    store: ScriptedStore, env: FakeEnv
) -> None:
    async with hosting(store, env, limits=Limits(0)) as hosted:
        hosted.tell("a", 1)
        await settled()
        await hosted.host.vacate(range(8))
        hosted.gate.set(Limits())
        hosted.host.turns.regate()
        await settled()
        assert hosted.toys.turns == []


# ---- a node that others may take for dead


@virtually
async def test_a_node_without_a_heartbeat_takes_no_turns_until_it_has_one(
    store: ScriptedStore, env: FakeEnv
) -> None:
    async with hosting(store, env) as hosted:
        await settled()
        store.hold = asyncio.Event()
        held = hosted.host.call(ref("a"), 1)
        await asyncio.sleep(2.9)
        assert hosted.committer.is_current
        await asyncio.sleep(0.2)
        assert not hosted.committer.is_current
        late = hosted.host.call(ref("b"), 2)
        await asyncio.sleep(60)
        assert hosted.toys.bodies("b") == []
        store.hold.set()
        assert await asyncio.gather(held, late) == [1, 2]
        assert hosted.committer.is_current


@virtually
async def test_a_store_that_turns_out_to_be_away_lets_the_waiting_hear_of_it(
    store: ScriptedStore, env: FakeEnv
) -> None:
    async with hosting(store, env) as hosted:
        await settled()
        store.hold = asyncio.Event()
        store.commits += [StoreUnavailable("locked")] * 1000
        hosted.tell("a", 1)
        await asyncio.sleep(4)
        waiting = hosted.host.call(ref("b"), 2)
        await settled()
        assert not waiting.done()
        store.hold.set()
        async with asyncio.timeout(2):
            with pytest.raises(StoreUnavailable, match="locked"):
                await waiting
        store.commits.clear()
