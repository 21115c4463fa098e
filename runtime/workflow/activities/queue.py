"""Activities that wait for their turn on a node. An owner module.

First come, first served, except that one whose name is at its limit, or that wants a thread while
none is free, does not hold up the others.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Mapping
from itertools import islice
from typing import NamedTuple, TypeAlias

from perdure.runtime.workflow.activities.rooms import Room
from perdure.runtime.workflow.messages import RunActivity

Key: TypeAlias = tuple[int, int, int]
"""(instance key, execution number, task id): one call of an activity."""


class Kind(NamedTuple):
    """What decides whether an activity may begin."""

    name: str
    """Its name, if that has a limit of its own, else empty."""
    in_thread: bool
    at_worker: bool = False
    """Its code is in a worker."""
    worker_name: str = ""
    """Then its name: a worker may take some names and not others."""


class ActivityQueue:
    """Owned by the runner. There are few kinds: one line for each is enough."""

    def __init__(self) -> None:
        self._lines: dict[Kind, deque[tuple[int, float, RunActivity]]] = {}
        self._put = 0
        self._put_back = 0
        self.size = 0
        """How many wait."""

    def put(self, message: RunActivity, kind: Kind, now: float) -> None:
        self._put += 1
        self.size += 1
        self._lines.setdefault(kind, deque()).append((self._put, now, message))

    def put_back(self, message: RunActivity, kind: Kind, now: float) -> None:
        """One that was begun already: before all others."""
        self._put_back -= 1
        self.size += 1
        self._lines.setdefault(kind, deque()).appendleft((self._put_back, now, message))

    def take(self, admits: Callable[[Kind], bool]) -> tuple[RunActivity, Kind] | None:
        """The oldest one whose kind is admitted."""
        best: Kind | None = None
        for kind, line in self._lines.items():
            if line and (best is None or line[0][0] < self._lines[best][0][0]) and admits(kind):
                best = kind
        if best is None:
            return None
        self.size -= 1
        message = self._lines[best].popleft()[2]
        if not self._lines[best]:
            del self._lines[best]  # Names of workers' code come without end.
        return message, best

    def take_some(
        self,
        room: Room,
        is_fit: Callable[[RunActivity], bool],
        by_name: Mapping[str, int] | None = None,
    ) -> list[RunActivity]:
        """The oldest ones that are fit and have room, and of some names at most so many."""
        found: list[tuple[int, float, RunActivity]] = []
        threaded: list[tuple[int, float, RunActivity]] = []
        at_workers: list[tuple[int, float, RunActivity]] = []
        for kind, line in self._lines.items():
            most, chosen = room.total, found
            if kind.at_worker:
                most, chosen = room.at_workers, at_workers
            elif kind.in_thread:
                most, chosen = room.in_threads, threaded
            if by_name is not None:
                most = min(most, by_name.get(kind.name, most))
            if most > 0:
                chosen.extend(islice((entry for entry in line if is_fit(entry[2])), most))
        found += _oldest(threaded, room.in_threads)
        taken = _oldest(found, room.total) + _oldest(at_workers, room.at_workers)
        taken.sort(key=_number)
        gone = {number for number, _, _ in taken}
        if gone:
            for kind, line in self._lines.items():
                self._lines[kind] = deque(entry for entry in line if entry[0] not in gone)
            self._lines = {kind: line for kind, line in self._lines.items() if line}
            self.size -= len(gone)
        return [message for _, _, message in taken]

    def count(self, admits: Callable[[Kind], bool]) -> int:
        """How many wait whose kind is admitted."""
        return sum(len(line) for kind, line in self._lines.items() if line and admits(kind))

    def kinds(self) -> Collection[Kind]:
        """Those of which at least one waits."""
        return self._lines.keys()

    def oldest_since(self) -> float | None:
        """Since when the oldest one waits, by the clock of `put`."""
        return min((line[0][1] for line in self._lines.values() if line), default=None)


def _oldest(
    entries: list[tuple[int, float, RunActivity]], count: int
) -> list[tuple[int, float, RunActivity]]:
    return sorted(entries, key=_number)[: max(count, 0)]


def _number(entry: tuple[int, float, RunActivity]) -> int:
    return entry[0]
