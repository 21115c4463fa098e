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
import time
from collections.abc import Callable
from dataclasses import dataclass
from types import FrameType, TracebackType

from perdure.runtime.workflow.loop import EndlessTurn
from perdure.runtime.workflow.source import is_engine_code


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchdogConfig:
    warn_seconds: float = 2.0
    interrupt_seconds: float = 10.0
    """A workflow's turn that has blocked the loop for this long is ended."""


class Watchdog:
    """Watches the loop that it is entered on, from enter to exit."""

    def __init__(
        self, current_turn: Callable[[], str], log: logging.Logger, config: WatchdogConfig
    ) -> None:
        self._current_turn = current_turn
        self._log = log
        self._config = config
        self._seen = time.monotonic()
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
        self._seen = time.monotonic()

    def _watch(self) -> None:
        interval = min(self._config.warn_seconds / 4, 0.5)
        warned = interrupted = 0.0
        while not self._stop.wait(interval):
            try:
                self._loop.call_soon_threadsafe(self._tick)
            except RuntimeError:
                return  # The loop has been closed.
            seen = self._seen
            blocked = time.monotonic() - seen - interval
            if blocked > self._config.warn_seconds and warned != seen:
                warned = seen
                self._warn(blocked)
            if blocked > self._config.interrupt_seconds and interrupted != seen:
                interrupted = seen
                self._interrupt(blocked)

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
        if not self._current_turn():
            return  # Not a turn: ending other code would leave the node in an unknown state.
        self._log.error(
            "a workflow's turn is ended because it does not end by itself",
            extra={"event": "turn_interrupted", "seconds": round(blocked, 1)},
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
