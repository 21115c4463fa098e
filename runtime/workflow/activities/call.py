"""One call of an activity's function: its time limit, and its thread. An edge module."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import Any


class TimeLimit:
    """How long an activity may run. The wait for a free thread does not count."""

    def __init__(self, seconds: float) -> None:
        self.timeout = asyncio.timeout(None)
        self._seconds = seconds
        self._loop = asyncio.get_running_loop()

    def begin(self) -> None:
        self.timeout.reschedule(self._loop.time() + self._seconds)

    def begin_from_thread(self) -> None:
        self._loop.call_soon_threadsafe(self._begin_late)

    def _begin_late(self) -> None:
        with contextlib.suppress(RuntimeError):  # It has ended, or was cancelled, meanwhile.
            self.begin()


def run_in_thread(
    limit: TimeLimit | None, fn: Callable[..., Any], arguments: tuple[Any, ...]
) -> Any:
    if limit is not None:
        limit.begin_from_thread()
    try:
        return fn(*arguments)
    except StopIteration as error:
        raise RuntimeError("the activity raised StopIteration") from error  # No future takes it.
    except SystemExit as error:
        raise RuntimeError(f"the activity called sys.exit({error.code!r})") from error
