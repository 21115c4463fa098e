"""Calls to another node that wait for their answers. An owner module.

One timer serves all calls: deadlines are rounded up to ticks, and the calls of one tick end
together. A timer for each call cost six times as much.
"""

from __future__ import annotations

import asyncio
import heapq

from perdure.placement.errors import NodeUnreachable

TICK_SECONDS = 0.05
TIMEOUT_SECONDS_MAX = 86_400.0


class PendingCalls:
    """Owned by a link. Whoever opens a call forgets it in the end, whatever becomes of it."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._loop = asyncio.get_running_loop()
        self._last = 0
        self._open: dict[int, tuple[asyncio.Future[bytes], int]] = {}
        self._due: dict[int, set[int]] = {}
        """Open calls by the tick at which they end."""
        self._ticks: list[int] = []
        """The keys of `_due` as a heap."""
        self._timer: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        return len(self._open)

    def open(self, timeout: float) -> tuple[int, asyncio.Future[bytes]]:
        """A new call's number, and what becomes its answer, or `NodeUnreachable`."""
        self._last = call = self._last + 1
        end = self._loop.time() + min(timeout, TIMEOUT_SECONDS_MAX)
        tick = int(end / TICK_SECONDS) + 1
        due = self._due.get(tick)
        if due is None:
            due = self._due[tick] = set()
            heapq.heappush(self._ticks, tick)
            if self._ticks[0] == tick:
                self._arm()
        due.add(call)
        answer: asyncio.Future[bytes] = self._loop.create_future()
        self._open[call] = (answer, tick)
        return call, answer

    def forget(self, call: int) -> None:
        found = self._open.pop(call, None)
        if found is not None and found[1] in self._due:
            self._due[found[1]].discard(call)

    def answered(self, call: int, body: bytes) -> None:
        """An answer to a call that is not, or no longer, open is nobody's."""
        found = self._open.get(call)
        if found is not None and not found[0].done():
            found[0].set_result(body)

    def failed(self, call: int, error: Exception) -> None:
        found = self._open.get(call)
        if found is not None and not found[0].done():
            found[0].set_exception(error)

    def fail_all(self, reason: str) -> None:
        """Every open call ends with `NodeUnreachable`."""
        for call in list(self._open):
            self.failed(call, NodeUnreachable(f"{self._name}: {reason}"))
        self._due.clear()
        self._ticks.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _arm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._ticks:
            self._timer = self._loop.call_at(self._ticks[0] * TICK_SECONDS, self._end_due)

    def _end_due(self) -> None:
        # Counted by the ticks, not by the clock: a timer may fire a little early.
        now = max(self._ticks[0], int(self._loop.time() / TICK_SECONDS))
        while self._ticks and self._ticks[0] <= now:
            for call in self._due.pop(heapq.heappop(self._ticks)):
                self.failed(call, NodeUnreachable(f"{self._name} did not answer in time"))
        self._arm()

    def __repr__(self) -> str:
        return f"<PendingCalls to {self._name} open={len(self._open)}>"
