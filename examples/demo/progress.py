"""A progress display: one line that moves on a terminal, plain lines anywhere else."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence

_WIDTH = 40
_PLAIN_SECONDS = 1.0


class Progress:
    """Shows how many of how many are done; `tell` adds what happens meanwhile."""

    def __init__(self) -> None:
        self._terminal = sys.stdout.isatty()
        is_utf = "utf" in sys.stdout.encoding.lower()
        self._blocks = "█░" if is_utf else "#."
        self._marks = "●○" if is_utf else "+-"
        self._began = time.monotonic()
        self._shown_at = 0.0
        self._line = ""

    def show(self, done: int, of: int, nodes: Sequence[tuple[str, bool]]) -> None:
        """`nodes`: the name of each, and whether it is up."""
        now = time.monotonic()
        seconds = now - self._began
        if self._terminal:
            filled = _WIDTH * done // of
            bar = self._blocks[0] * filled + self._blocks[1] * (_WIDTH - filled)
            marks = " ".join(f"{self._marks[not up]} {name}" for name, up in nodes)
            self._line = f"  {seconds:5.1f} s  {bar} {done:>4} of {of} orders  {marks}"
            end = "\n" if done == of else ""
            print(f"\r{self._line}", end=end, flush=True)
        elif done == of or now - self._shown_at >= _PLAIN_SECONDS:
            self._shown_at = now
            print(f"  {seconds:5.1f} s  {done:>4} of {of} orders have ended", flush=True)

    def tell(self, text: str) -> None:
        seconds = time.monotonic() - self._began
        if not self._terminal:
            print(f"  {seconds:5.1f} s  {text}", flush=True)
            return
        clear = " " * len(self._line)
        # The line that moves stays the last one.
        print(f"\r{clear}\r  {seconds:5.1f} s  {text}\n{self._line}", end="", flush=True)
