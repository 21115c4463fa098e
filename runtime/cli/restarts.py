"""What becomes of a worker process that has ended. A value module."""

from __future__ import annotations

import signal
from enum import Enum

from perdure.runtime.cli.exits import ExitCode

FIRST_DELAY_SECONDS = 0.1
LONGEST_DELAY_SECONDS = 10.0
CALM_SECONDS = 30.0
"""A worker that has lived for so long had no trouble in starting."""

_HOPELESS = frozenset({ExitCode.USAGE, ExitCode.REFUSED, ExitCode.STORE_DAMAGED})


class Fate(Enum):
    RESTART = "it is started again"
    DRAINED = "it was to end, and is not started again"
    HOPELESS = "it would end the same way again, and so would the others"


def fate_of(code: int, *, anyone_was_ready: bool, is_replacement: bool) -> Fate:
    """What is to follow the end of a worker that nobody here has asked to end.

    `code` is its exit code, or a signal's number below zero. `is_replacement`: it should have taken
    the place of one that was working, and never came so far. Its app may be broken, but the other
    workers have their code in memory and go on: it must not take them along.
    """
    if code == ExitCode.OK:
        return Fate.DRAINED
    if is_replacement and code != ExitCode.STORE_DAMAGED:
        return Fate.RESTART
    if code in _HOPELESS or (code == ExitCode.FAILED and not anyone_was_ready):
        return Fate.HOPELESS
    return Fate.RESTART


def how_it_ended(code: int) -> str:
    """`ended with exit code 1`, `was killed by SIGKILL`."""
    if code >= 0:
        return f"ended with exit code {code}"
    try:
        return f"was killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"was killed by signal {-code}"


class Backoff:
    """How long to wait before a worker is started again: longer each time it ends soon after."""

    def __init__(self) -> None:
        self._next = FIRST_DELAY_SECONDS

    def after(self, lived_seconds: float) -> float:
        """The seconds to wait after a worker that has lived for so long."""
        if lived_seconds >= CALM_SECONDS:
            self._next = FIRST_DELAY_SECONDS
        delay = self._next
        self._next = min(delay * 2, LONGEST_DELAY_SECONDS)
        return delay
