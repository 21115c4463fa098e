"""Sees from another thread when the event loop stands still, and says whose code is to blame.

An owner module: one daemon thread. A turn that goes on for longer than the limit is interrupted by
an exception in the workflow's code, because nothing else on the node moves while it runs.
"""

from __future__ import annotations

import asyncio
import ctypes
import logging
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto
from types import FrameType, TracebackType

from perdure.runtime.workflow.loop import EndlessTurn
from perdure.runtime.workflow.source import is_engine_code


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchdogConfig:
    warn_seconds: float = 2.0
    interrupt_seconds: float = 10.0
    """A workflow's turn that has blocked the loop for this long is ended."""


class Verdict(Enum):
    WELL = auto()
    WARN = auto()
    INTERRUPT = auto()


class Standstill:
    """How long the loop has not moved, counted in looks and not read from a clock.

    A process that was stopped as a whole, or starved of the processor, has not looked meanwhile:
    its turns took long for no reason of their own.
    """

    def __init__(self, config: WatchdogConfig) -> None:
        self._config = config
        self._begin()

    def _begin(self) -> None:
        self.seconds = 0.0
        self._has_warned = False
        self._interrupt_at = self._config.interrupt_seconds

    def looked(self, interval: float, has_ticked: bool) -> Verdict:
        """What to do after a look, `interval` seconds after the one before."""
        if has_ticked:
            self._begin()
            return Verdict.WELL
        self.seconds += interval
        if self.seconds >= self._interrupt_at:
            self._interrupt_at += self._config.interrupt_seconds  # Code may swallow the first.
            return Verdict.INTERRUPT
        if self.seconds >= self._config.warn_seconds and not self._has_warned:
            self._has_warned = True
            return Verdict.WARN
        return Verdict.WELL


class Watchdog:
    """Watches the loop that it is entered on, from enter to exit."""

    def __init__(
        self, current_turn: Callable[[], str], log: logging.Logger, config: WatchdogConfig
    ) -> None:
        self._current_turn = current_turn
        self._log = log
        self._config = config
        self._has_ticked = False
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="perdure-watchdog", daemon=True)

    async def __aenter__(self) -> Watchdog:
        self._loop = asyncio.get_running_loop()
        self._loop_thread = threading.get_ident()
        self._thread.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop.set()

    def _tick(self) -> None:
        self._has_ticked = True

    def _watch(self) -> None:
        interval = min(self._config.warn_seconds / 4, 0.5)
        standstill = Standstill(self._config)
        self._has_ticked = True
        while not self._stop.wait(interval):
            has_ticked = self._has_ticked
            if has_ticked:
                self._has_ticked = False  # No tick is under way that this could undo.
                try:
                    self._loop.call_soon_threadsafe(self._tick)
                except RuntimeError:
                    return  # The loop has been closed.
            match standstill.looked(interval, has_ticked):
                case Verdict.WARN:
                    self._warn(standstill.seconds)
                case Verdict.INTERRUPT:
                    self._interrupt(standstill.seconds)

    def _warn(self, blocked: float) -> None:
        turn = self._current_turn()
        self._log.warning(
            "the event loop is blocked; nothing else on this node moves meanwhile",
            extra={
                "event": "loop_blocked",
                "seconds": round(blocked, 1),
                "code": self._culprit(),
                "turn": turn or "none: an async activity, or other code on the node's loop",
            },
        )

    def _interrupt(self, blocked: float) -> None:
        turn = self._current_turn()
        if not turn:
            return  # Not a turn: ending other code would leave the node in an unknown state.
        self._log.error(
            "a workflow's turn is ended because it does not end by itself",
            extra={
                "event": "turn_interrupted",
                "seconds": round(blocked, 1),
                "code": self._culprit(),
                "turn": turn,
            },
        )
        thread = ctypes.c_ulong(self._loop_thread)
        ctypes.pythonapi.PyThreadState_SetAsyncExc(thread, ctypes.py_object(EndlessTurn))

    def _culprit(self) -> str:
        """`function (file:line)` of the innermost frame that is the user's."""
        frame: FrameType | None = sys._current_frames().get(self._loop_thread)
        innermost = frame
        while frame is not None and is_engine_code(frame.f_code.co_filename):
            frame = frame.f_back
        shown = frame or innermost
        if shown is None:
            return "unknown"
        return f"{shown.f_code.co_qualname} ({shown.f_code.co_filename}:{shown.f_lineno})"
