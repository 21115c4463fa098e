"""Where transactions run: the port between the store and its connections. A value module."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from typing import Protocol, TypeVar

T = TypeVar("T")


class Runner(Protocol):
    """Runs plain functions of a connection, each whole, on the thread that owns the connection.

    The function begins and ends its own transaction. The coroutine that waits decides nothing: if
    it is cancelled, the function runs all the same. Functions given to `write` run one at a time,
    in the order of the calls. The connection is in autocommit mode (`isolation_level=None`).
    """

    async def write(self, transaction: Callable[[sqlite3.Connection], T]) -> T: ...

    async def read(self, transaction: Callable[[sqlite3.Connection], T]) -> T:
        """Like `write`, for a function that only reads; sees everything committed before."""
        ...
