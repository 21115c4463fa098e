"""External events of one run that nobody has taken yet, and who waits for some. An owner module.

Names are compared ignoring case. An event goes to exactly one waiter, the one that has waited the
longest; a waiter gets the oldest event.
"""

from __future__ import annotations

from collections import deque
from operator import itemgetter
from typing import Any

from perdure.runtime.workflow.history import EventRaised
from perdure.runtime.workflow.task import Task, settle


class ExternalEvents:
    """Owned by one execution."""

    def __init__(self) -> None:
        self._arrived = 0
        self._buffered: dict[str, deque[tuple[int, EventRaised]]] = {}
        self._waiters: dict[str, deque[tuple[Task[Any], Any, int | None]]] = {}

    def take(self, name: str, task: Task[Any], hint: Any) -> bool:
        """Complete `task` with the oldest event of that name, if there is one."""
        buffered = self._buffered.get(name.casefold())
        if not buffered:
            return False
        _give(task, buffered.popleft()[1], hint)
        return True

    def wait(self, name: str, task: Task[Any], hint: Any, timer: int | None) -> None:
        """Have `task` completed by the next event of that name; `timer` ends the waiting."""
        self._waiters.setdefault(name.casefold(), deque()).append((task, hint, timer))

    def arrive(self, event: EventRaised) -> int | None:
        """Give an event to whoever waits for it, or keep it. Returns the timer that it saves."""
        key = event.name.casefold()
        waiters = self._waiters.get(key)
        while waiters:
            task, hint, timer = waiters.popleft()
            if not task.done():  # It is if it was cancelled, or if its time has run out.
                _give(task, event, hint)
                return timer
        self._arrived += 1
        self._buffered.setdefault(key, deque()).append((self._arrived, event))
        return None

    def unconsumed(self) -> tuple[EventRaised, ...]:
        """The events that nobody took, of all names, in the order of their arrival."""
        numbered = sorted(
            (pair for events in self._buffered.values() for pair in events), key=itemgetter(0)
        )
        return tuple([event for _, event in numbered])


def _give(task: Task[Any], event: EventRaised, hint: Any) -> None:
    settle(task, event.data, hint, f"data of event '{event.name}'")
