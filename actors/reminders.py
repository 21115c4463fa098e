"""Wakes actors when their reminders fall due. An owner module.

The store holds every reminder; in memory are only those that fall due within a short horizon. A
reminder in memory is a hint to look: the actor's turn decides on its own data whether it is due,
and only that turn deletes the row. So one that is lost here is found again by the next scan.
"""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Callable
from dataclasses import dataclass

from perdure.actors.errors import Retryable
from perdure.actors.identity import ActorRef
from perdure.actors.messages import ReminderDue
from perdure.actors.ports import Env, Fence, Store
from perdure.actors.unit_of_work import UnitOfWork

Fire = Callable[[ActorRef, object], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class RemindersConfig:
    horizon_seconds: float = 60.0
    scan_seconds: float = 5.0
    """How often the table is read again; also how long a lost wake-up may go unnoticed."""
    scan_limit: int = 2000
    outstanding_max: int = 1000
    """Fired reminders whose turn has not been committed yet: beyond it, firing waits."""


class Reminders:
    """Owned by the node; `committed` is called by the host, the rest happens inside `run`."""

    def __init__(
        self, store: Store, fence: Fence, env: Env, fire: Fire, config: RemindersConfig
    ) -> None:
        self._store = store
        self._fence = fence
        self._env = env
        self._fire = fire
        self._config = config
        self._heap: list[tuple[int, ActorRef, str]] = []
        self._armed: dict[tuple[ActorRef, str], int] = {}
        self._outstanding: set[tuple[ActorRef, str]] = set()
        self._set_meanwhile: list[tuple[ActorRef, str, int]] = []
        self._horizon_us = 0
        self._partial = False
        self._scanning = False
        self._has_gained = False
        self._changed = asyncio.Event()

    def committed(self, unit: UnitOfWork) -> None:
        """Take note of the reminders that a committed turn cleared and set."""
        ref = unit.ref
        for name in unit.reminders_cleared:
            self._armed.pop((ref, name), None)
            self._outstanding.discard((ref, name))
        for name, due_us in unit.reminders_set:
            if self._scanning:
                self._set_meanwhile.append((ref, name, due_us))
            if due_us <= self._horizon_us:
                self._arm(ref, name, due_us)
                self._changed.set()
        if self._partial and self._wants_more():
            self._changed.set()

    def gained(self) -> None:
        """This node owns slots that it did not own before: their reminders are its own now."""
        self._has_gained = True
        self._changed.set()

    def _arm(self, ref: ActorRef, name: str, due_us: int) -> None:
        if self._armed.get((ref, name)) != due_us:
            self._armed[ref, name] = due_us
            heapq.heappush(self._heap, (due_us, ref, name))

    def _wants_more(self) -> bool:
        return not self._heap and len(self._outstanding) * 2 < self._config.outstanding_max

    async def run(self) -> None:
        """Scan and fire until cancelled."""
        loop = asyncio.get_running_loop()
        next_scan = loop.time()
        drift = self._drift_us()
        while True:
            self._changed.clear()  # Before the scan: what changes during it is looked at after it.
            moved_us = self._drift_us() - drift
            clock_was_set = abs(moved_us) > 1_000_000
            if clock_was_set:
                self._env.log.warning(
                    "the clock of this machine was set; timers are due by its new time",
                    extra={"event": "clock_set", "seconds": round(moved_us / 1e6, 1)},
                )
            if loop.time() >= next_scan or clock_was_set or self._has_gained:
                self._has_gained = False
                drift += moved_us
                next_scan = loop.time() + self._config.scan_seconds
                # A wake-up that was told and came to nothing is told again.
                self._outstanding.clear()
                await self._scan()
            elif self._partial and self._wants_more():
                await self._scan()
            delay = self._fire_due()
            timeout = max(min(delay, next_scan - loop.time()), 0.0)
            try:
                async with asyncio.timeout(timeout):
                    await self._changed.wait()
            except TimeoutError:
                pass

    def _drift_us(self) -> int:
        """Wall clock less monotonic clock: it moves when somebody sets the clock."""
        return self._env.now_us() - int(asyncio.get_running_loop().time() * 1e6)

    async def _scan(self) -> None:
        """Read what falls due within the horizon, as much as one scan takes."""
        before = self._env.now_us() + int(self._config.horizon_seconds * 1e6)
        self._scanning = True
        try:
            found = await self._store.scan_reminders(self._fence, before, self._config.scan_limit)
        except Retryable:
            self._set_meanwhile.clear()
            return
        finally:
            self._scanning = False
        self._partial = len(found) >= self._config.scan_limit
        self._horizon_us = found[-1].due_us if self._partial else before
        self._armed.clear()
        self._heap.clear()
        for reminder in found:
            if (reminder.ref, reminder.name) not in self._outstanding:
                self._arm(reminder.ref, reminder.name, reminder.due_us)
        for ref, name, due_us in self._set_meanwhile:
            if due_us <= self._horizon_us:
                self._arm(ref, name, due_us)
        self._set_meanwhile.clear()

    def _fire_due(self) -> float:
        """Tell the actors whose time has come; returns the seconds until the next one."""
        now_us = self._env.now_us()
        while self._heap:
            due_us, ref, name = self._heap[0]
            if self._armed.get((ref, name)) != due_us:
                heapq.heappop(self._heap)
                continue
            if due_us > now_us:
                return (due_us - now_us) / 1e6
            if len(self._outstanding) >= self._config.outstanding_max:
                return 0.01
            heapq.heappop(self._heap)
            del self._armed[ref, name]
            self._outstanding.add((ref, name))
            self._fire(ref, ReminderDue(name))
        return self._config.scan_seconds

    def __repr__(self) -> str:
        return f"<Reminders armed={len(self._armed)} outstanding={len(self._outstanding)}>"
