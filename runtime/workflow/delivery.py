"""Bringing an answer to its workflow until that has taken it. An edge module."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

_DELAY_SECONDS = 0.02
_DELAY_SECONDS_MAX = 5.0


async def until_taken(deliver: Callable[[], Awaitable[object]]) -> None:
    """Do it again and again, ever more rarely, until it raises nothing any more."""
    delay = _DELAY_SECONDS
    while True:
        try:
            await deliver()
            return
        except Exception:
            # The node is busy, or the turn that takes it fails: then the host says so, and sets the
            # instance aside. The answer must outlive both, and so must the node.
            await asyncio.sleep(delay)
            delay = min(delay * 2, _DELAY_SECONDS_MAX)
