"""Reminders: never early, never lost, few of them in memory."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from perdure.actors.errors import StoreUnavailable
from perdure.actors.identity import ActorRef
from perdure.actors.messages import ReminderDue
from perdure.actors.ports import DueReminder
from perdure.actors.reminders import Reminders, RemindersConfig
from perdure.actors.unit_of_work import UnitOfWork
from tests.support.virtual_time import virtually
from tests.unit.actors.given import FENCE, FakeEnv, ScriptedStore, ref, running, settled


class Fired:
    """What fired, and when by the wall clock."""

    def __init__(self, env: FakeEnv) -> None:
        self._env = env
        self.at: list[tuple[str, str, int]] = []

    def __call__(self, target: ActorRef, message: object) -> None:
        assert isinstance(message, ReminderDue)
        self.at.append((target.id, message.name, self._env.now_us()))

    @property
    def names(self) -> list[str]:
        return [name for _, name, _ in self.at]


class Armed:
    def __init__(self, reminders: Reminders, fired: Fired, store: ScriptedStore) -> None:
        self.reminders = reminders
        self.fired = fired
        self._store = store

    def set(self, name: str, due_us: int, actor_id: str = "a") -> None:
        """A turn has set a reminder and is committed."""
        self._store.reminders.append(DueReminder(ref(actor_id), name, due_us))
        unit = UnitOfWork(ref(actor_id), 0, 1, 1, reminders_set=[(name, due_us)])
        self.reminders.committed(unit)

    def clear(self, *names: str, actor_id: str = "a") -> None:
        """A turn has cleared reminders and is committed."""
        kept = [
            r
            for r in self._store.reminders
            if (r.ref.id, r.name) not in {(actor_id, name) for name in names}
        ]
        self._store.reminders[:] = kept
        unit = UnitOfWork(ref(actor_id), 0, 1, 1, reminders_cleared=list(names))
        self.reminders.committed(unit)


@asynccontextmanager
async def _reminding(store: ScriptedStore, env: FakeEnv, **settings: Any) -> AsyncIterator[Armed]:
    fired = Fired(env)
    reminders = Reminders(store, FENCE, env, fired, RemindersConfig(**settings))
    async with running(reminders.run()):
        await settled()
        yield Armed(reminders, fired, store)


@virtually
async def test_a_reminder_fires_at_its_time_and_not_before(
    store: ScriptedStore, env: FakeEnv
) -> None:
    async with _reminding(store, env) as armed:
        due_us = env.now_us() + 2_500_000
        armed.set("r", due_us)
        await asyncio.sleep(2.4)
        assert armed.fired.at == []
        await asyncio.sleep(0.2)
        ((_, _, at_us),) = armed.fired.at
        assert 0 <= at_us - due_us < 1000


@virtually
async def test_what_stands_in_the_table_is_found_at_the_start(
    store: ScriptedStore, env: FakeEnv
) -> None:
    now_us = env.now_us()
    store.reminders = [
        DueReminder(ref("a"), "missed", now_us - 5_000_000),
        DueReminder(ref("a"), "soon", now_us + 1_000_000),
    ]
    async with _reminding(store, env) as armed:
        assert armed.fired.names == ["missed"]
        await asyncio.sleep(1.1)
        assert armed.fired.names == ["missed", "soon"]


@virtually
async def test_reminders_fire_in_the_order_of_their_times(
    store: ScriptedStore, env: FakeEnv
) -> None:
    async with _reminding(store, env) as armed:
        now_us = env.now_us()
        for second in (3, 1, 2):
            armed.set(str(second), now_us + second * 1_000_000)
        await asyncio.sleep(4)
        assert armed.fired.names == ["1", "2", "3"]


@virtually
async def test_what_is_due_beyond_the_horizon_stays_in_the_table_until_it_is_near(
    store: ScriptedStore, env: FakeEnv
) -> None:
    async with _reminding(store, env, horizon_seconds=10.0, scan_seconds=5.0) as armed:
        due_us = env.now_us() + 33_000_000
        armed.set("far", due_us)
        assert "armed=0" in repr(armed.reminders)
        await asyncio.sleep(30)
        assert "armed=1" in repr(armed.reminders)
        await asyncio.sleep(3.1)
        assert armed.fired.names == ["far"]


@virtually
async def test_a_cleared_reminder_does_not_fire(store: ScriptedStore, env: FakeEnv) -> None:
    async with _reminding(store, env) as armed:
        armed.set("r", env.now_us() + 1_000_000)
        armed.clear("r")
        await asyncio.sleep(20)
        assert armed.fired.at == []


@virtually
async def test_a_reminder_that_is_set_again_fires_at_its_new_time_only(
    store: ScriptedStore, env: FakeEnv
) -> None:
    async with _reminding(store, env) as armed:
        now_us = env.now_us()
        armed.set("r", now_us + 1_000_000)
        armed.clear("r")
        armed.set("r", now_us + 3_000_000)
        await asyncio.sleep(2.9)
        assert armed.fired.at == []
        await asyncio.sleep(0.2)
        assert armed.fired.names == ["r"]


@virtually
async def test_a_fired_reminder_that_came_to_nothing_fires_again_with_the_next_scan(
    store: ScriptedStore, env: FakeEnv
) -> None:
    async with _reminding(store, env, scan_seconds=5.0) as armed:
        armed.set("r", env.now_us())
        await settled()
        assert armed.fired.names == ["r"]
        await asyncio.sleep(4)
        assert armed.fired.names == ["r"]
        await asyncio.sleep(2)
        assert armed.fired.names == ["r", "r"]
        armed.clear("r")
        await asyncio.sleep(20)
        assert armed.fired.names == ["r", "r"]


@virtually
async def test_a_reminder_that_is_set_while_the_table_is_read_is_not_lost(
    store: ScriptedStore, env: FakeEnv
) -> None:
    fired = Fired(env)
    reminders = Reminders(store, FENCE, env, fired, RemindersConfig())
    async with running(reminders.run()):
        await store.scanning.wait()
        due_us = env.now_us() + 1_000_000
        # Committed after the scan has read: the table as it was read does not have it.
        reminders.committed(UnitOfWork(ref("a"), 0, 1, 1, reminders_set=[("r", due_us)]))
        await asyncio.sleep(1.1)
        assert fired.names == ["r"]


@virtually
async def test_a_table_with_more_than_one_scan_takes_is_worked_off_completely(
    store: ScriptedStore, env: FakeEnv
) -> None:
    now_us = env.now_us()
    store.reminders = [DueReminder(ref(f"a{n}"), "r", now_us - 100 + n) for n in range(35)]
    async with _reminding(store, env, scan_limit=10, outstanding_max=8) as armed:
        seen: list[str] = []
        while len(seen) < 35:
            await asyncio.sleep(0.02)
            new = [actor_id for actor_id, _, _ in armed.fired.at if actor_id not in seen]
            assert len(new) <= 8
            for actor_id in new:
                seen.append(actor_id)
                armed.clear("r", actor_id=actor_id)
        assert seen == [f"a{n}" for n in range(35)]
        assert len(armed.fired.at) == 35


@virtually
async def test_no_more_fire_at_once_than_may_be_outstanding(
    store: ScriptedStore, env: FakeEnv
) -> None:
    now_us = env.now_us()
    store.reminders = [DueReminder(ref(f"a{n}"), "r", now_us - 1) for n in range(20)]
    async with _reminding(store, env, outstanding_max=5) as armed:
        await asyncio.sleep(1)
        assert len(armed.fired.at) == 5
        armed.clear("r", actor_id=armed.fired.at[0][0])
        await asyncio.sleep(1)
        assert len(armed.fired.at) == 6


@virtually
async def test_a_clock_that_is_set_forward_wakes_what_has_fallen_due(
    store: ScriptedStore, env: FakeEnv
) -> None:
    async with _reminding(store, env, horizon_seconds=10.0, scan_seconds=5.0) as armed:
        armed.set("r", env.now_us() + 3_600_000_000)
        await asyncio.sleep(1)
        env.skew_us += 3_600_000_000
        await asyncio.sleep(5)
        assert armed.fired.names == ["r"]


@virtually
async def test_a_clock_that_is_set_back_makes_nothing_early(
    store: ScriptedStore, env: FakeEnv
) -> None:
    async with _reminding(store, env) as armed:
        due_us = env.now_us() + 2_000_000
        armed.set("r", due_us)
        await asyncio.sleep(1)
        env.skew_us -= 60_000_000
        await asyncio.sleep(30)
        assert armed.fired.at == []
        await asyncio.sleep(40)
        assert armed.fired.names
        assert min(at_us for _, _, at_us in armed.fired.at) >= due_us


@virtually
async def test_a_clock_that_is_set_is_told_once_with_how_far(
    store: ScriptedStore, env: FakeEnv, caplog: pytest.LogCaptureFixture
) -> None:
    async with _reminding(store, env):
        await asyncio.sleep(20)
        env.skew_us -= 90_000_000
        await asyncio.sleep(20)
        (record,) = caplog.records
        assert (record.event, record.seconds) == ("clock_set", -90.0)  # type: ignore[attr-defined]


@virtually
async def test_a_scan_that_fails_is_made_up_for_by_the_next_one(
    store: ScriptedStore, env: FakeEnv
) -> None:
    store.pages["reminders"] = [StoreUnavailable("away")]
    store.reminders = [DueReminder(ref("a"), "r", env.now_us() - 1)]
    async with _reminding(store, env, scan_seconds=5.0) as armed:
        assert armed.fired.at == []
        await asyncio.sleep(6)
        assert armed.fired.names == ["r"]


@virtually
async def test_reminders_of_slots_that_are_gained_fire_without_waiting_for_a_scan(
    store: ScriptedStore, env: FakeEnv
) -> None:
    async with _reminding(store, env, scan_seconds=100.0) as armed:
        store.reminders = [DueReminder(ref("a"), "r", env.now_us() - 1)]
        armed.reminders.gained()
        await settled()
        assert armed.fired.names == ["r"]


@virtually
async def test_nor_do_those_of_slots_that_are_gained_during_a_scan(
    store: ScriptedStore, env: FakeEnv
) -> None:
    fired = Fired(env)
    reminders = Reminders(store, FENCE, env, fired, RemindersConfig(scan_seconds=100.0))
    async with running(reminders.run()):
        await store.scanning.wait()
        await asyncio.sleep(0)  # It has read.
        store.reminders = [DueReminder(ref("a"), "r", env.now_us() - 1)]
        reminders.gained()
        await asyncio.sleep(1)
        assert fired.names == ["r"]
