"""A progress display: one line that moves on a terminal, plain lines anywhere else."""

from __future__ import annotations

import sys
import time

_WIDTH = 40
_PLAIN_SECONDS = 1.0


class Progress:
    """Shows how many of how many are done; `tell` adds what happens meanwhile."""

    def __init__(self) -> None:
        self._terminal = sys.stdout.isatty()
        self._blocks = "█░" if "utf" in sys.stdout.encoding.lower() else "#."
        self._began = time.monotonic()
        self._shown_at = 0.0
        self._line = ""

    def show(self, done: int, of: int) -> None:
        now = time.monotonic()
        seconds = now - self._began
        if self._terminal:
            filled = _WIDTH * done // of
            bar = self._blocks[0] * filled + self._blocks[1] * (_WIDTH - filled)
            self._line = f"  {bar} {done:>4} of {of} orders  {seconds:5.1f} s"
            end = "\n" if done == of else ""
            print(f"\r{self._line}", end=end, flush=True)
        elif done == of or now - self._shown_at >= _PLAIN_SECONDS:
            self._shown_at = now
            print(f"  {seconds:5.1f} s  {done:>4} of {of} orders have ended", flush=True)

    def tell(self, text: str) -> None:
        seconds = time.monotonic() - self._began
        clear = "\r" + " " * len(self._line) + "\r" if self._terminal else ""
        print(f"{clear}  {seconds:5.1f} s  {text}", flush=True)
