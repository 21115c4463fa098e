"""Runs transactions on the threads of two aiosqlite connections, a writer and a reader. An edge.

The only place that knows how a function gets onto such a thread, and the only one that threads
meet in.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

import aiosqlite

from perdure.actors.errors import StoreUnavailable
from perdure.runtime.storage.checkpoint import Checkpoints
from perdure.runtime.storage.filesystem import Presence
from perdure.runtime.storage.lock import WriteLock

T = TypeVar("T")


async def on_thread(connection: aiosqlite.Connection, function: Callable[..., T], *args: Any) -> T:
    """Run `function(*args)` whole on the thread of `connection`, in the order of the calls.

    aiosqlite's public methods run one statement at a time, and a cancelled task would leave its
    transaction open between two of them. Its own way of running a function is private; a contract
    test pins what is relied on here. Cancelling the await stops nothing: it only stops listening.
    """
    execute: Callable[..., Awaitable[Any]] = connection._execute
    result: T = await execute(function, *args)
    return result


class MemoryRunner:
    """Implements `Runner` on one connection, for a database that no other process can see."""

    def __init__(self, connection: aiosqlite.Connection) -> None:
        self._connection = connection
        self._closed = False

    async def write(self, transaction: Callable[[sqlite3.Connection], T]) -> T:
        if self._closed:
            raise StoreUnavailable("the database in memory is closed: this node has stopped")
        return await on_thread(self._connection, transaction, self._connection._conn)

    read = write

    async def close(self) -> None:
        """Finish what was begun, and forget the database."""
        self._closed = True
        await self._connection.close()

    def __repr__(self) -> str:
        return "<MemoryRunner>"


class FileRunner:
    """Implements `Runner` on a file. Every write holds the write lock of the file.

    Checkpoints run before a write and not after it, so that nobody waits for one to be
    acknowledged; a node's heartbeat is the write that comes when there is no other.
    """

    def __init__(
        self,
        path: Path,
        writer: aiosqlite.Connection,
        reader: aiosqlite.Connection,
        lock: WriteLock,
    ) -> None:
        self._path = path
        self._writer = writer
        self._reader = reader
        self._lock = lock
        self.checkpoints = Checkpoints(path)
        self._presence = Presence(path, path.with_name(path.name + "-wal"))
        self._closed = False

    async def write(self, transaction: Callable[[sqlite3.Connection], T]) -> T:
        self._check_open()
        return await on_thread(self._writer, self._write, self._writer._conn, transaction)

    async def read(self, transaction: Callable[[sqlite3.Connection], T]) -> T:
        self._check_open()
        return await on_thread(self._reader, transaction, self._reader._conn)

    async def close(self) -> None:
        """Finish what was begun, checkpoint, and close both connections."""
        if self._closed:
            return
        self._closed = True
        try:
            await self._reader.close()
        finally:
            try:
                await on_thread(self._writer, self._close, self._writer._conn)
            finally:
                await self._writer.close()

    def _write(
        self, connection: sqlite3.Connection, transaction: Callable[[sqlite3.Connection], T]
    ) -> T:
        self._lock.acquire()
        try:
            self._presence.check()
            self.checkpoints.run_if_due(connection)
            result = transaction(connection)
            self._presence.learn()
            return result
        finally:
            self._lock.release()

    def _close(self, connection: sqlite3.Connection) -> None:
        """Under the lock too: the last connection to close checkpoints by itself."""
        try:
            self._lock.acquire()
        except StoreUnavailable:
            # Whoever holds the lock has the database open: this close is not the last.
            connection.close()
        else:
            self.checkpoints.finish(connection)
            connection.close()
        finally:
            self._lock.close()

    def _check_open(self) -> None:
        if self._closed:
            raise StoreUnavailable(f"the database {self._path} is closed: this node has stopped")

    def __repr__(self) -> str:
        state = "closed" if self._closed else "open"
        return f"<FileRunner {self._path} {state}>"
