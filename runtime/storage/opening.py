"""Opens a database: checks its place, file and schema, and starts the connections. An edge."""

from __future__ import annotations

import logging
import sqlite3
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import aiosqlite

from perdure.actors.errors import StoreDamaged
from perdure.runtime.config import Durability
from perdure.runtime.storage.connection import FileRunner, MemoryRunner
from perdure.runtime.storage.errors import NetworkFileSystem, NotWritable
from perdure.runtime.storage.filesystem import prepare
from perdure.runtime.storage.lock import WriteLock
from perdure.runtime.storage.migrations import migrate, schema_version
from perdure.runtime.storage.runner import Runner
from perdure.runtime.storage.sqlite import SqliteStore
from perdure.runtime.storage.transaction import read_transaction, single_statements

MEMORY = ":memory:"
SQLITE_VERSION = sqlite3.sqlite_version

_log = logging.getLogger(__name__)

_WHOLE_CHECK_BYTES = 16 << 20
_QUICK_CHECK_BYTES = 256 << 20
_STATEMENTS = 256
_BUSY_MS = 250
_WRITER_CACHE_KIB = 16_000
_READER_CACHE_KIB = 8_000


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreOptions:
    durability: Durability = Durability.FULL
    node_id: str = ""
    """Who to name in the lock file."""
    lock_wait_seconds: float = 10.0
    """How long another process may hold the write lock before that is an error: two leases."""
    kill_stuck_writer: bool = False
    """End that process then, if it was started with this too."""


@asynccontextmanager
async def open_store(
    path: str | Path, app_id: str, options: StoreOptions | None = None
) -> AsyncIterator[SqliteStore]:
    """Open the store of an app, in the file `path` or in `:memory:`, and close it at the end.

    The file is created if need be. Raises a `StoreRefused` if the file cannot be used where or as
    it is, `StoreDamaged` if it is corrupt or of a newer release, `StoreUnavailable` if it cannot
    be written at present.
    """
    async with open_runner(path, options) as runner:
        yield SqliteStore(runner, app_id)


@asynccontextmanager
async def open_runner(
    path: str | Path, options: StoreOptions | None = None
) -> AsyncIterator[Runner]:
    """The same, for the database alone."""
    if str(path) == MEMORY:
        async with _connect(MEMORY) as connection:
            memory = MemoryRunner(connection)
            await memory.write(migrate)
            try:
                yield memory
            finally:
                await memory.close()
        return
    options = options or StoreOptions()
    path = prepare(Path(path))
    async with _connect(path) as writer, _connect(path) as reader:
        runner = FileRunner(path, writer, reader, _lock(path, options))
        try:
            await _start(runner, path, options.durability)
            yield runner
        finally:
            await runner.close()


async def _start(runner: FileRunner, path: Path, durability: Durability) -> None:
    try:
        await runner.write(lambda c: _set_up(c, runner, durability))
        await runner.read(lambda c: single_statements(c, _set_up_reader))
        await runner.read(lambda c: read_transaction(c, lambda c: _check(c, path)))
        await runner.write(migrate)
    except (sqlite3.Error, UnicodeDecodeError) as error:
        # A statement does not fit the schema; if what SQLite says about that is not UTF-8,
        # Python 3.11 raises the decoding error instead.
        raise StoreDamaged(f"the schema of the database {path} is damaged: {error}") from error


def _connect(path: Path | str) -> aiosqlite.Connection:
    return aiosqlite.connect(path, isolation_level=None, cached_statements=_STATEMENTS)


def _lock(database: Path, options: StoreOptions) -> WriteLock:
    path = database.with_name(database.name + ".lock")
    try:
        return WriteLock(
            path,
            options.node_id,
            options.lock_wait_seconds,
            options.kill_stuck_writer,
        )
    except OSError as error:
        raise NotWritable(
            f"cannot open the lock file {path}: {error.strerror}; it must be a plain file that "
            "this user may write"
        ) from error


def _set_up(connection: sqlite3.Connection, runner: FileRunner, durability: Durability) -> None:
    connection.execute(f"PRAGMA busy_timeout = {_BUSY_MS}")
    # Before anything is changed: it could be another program's database.
    read_transaction(connection, schema_version)
    single_statements(connection, lambda c: _set_up_writer(c, runner, durability))


def _set_up_writer(
    connection: sqlite3.Connection, runner: FileRunner, durability: Durability
) -> None:
    (mode,) = connection.execute("PRAGMA journal_mode = WAL").fetchone()
    if mode != "wal":
        raise NetworkFileSystem(
            f"{runner} cannot have a write-ahead log (SQLite chose {mode!r}): its file system has "
            "no shared memory; put it on a local disk"
        )
    connection.execute(f"PRAGMA synchronous = {durability.value}")
    connection.execute(f"PRAGMA cache_size = -{_WRITER_CACHE_KIB}")
    if sys.platform == "darwin":
        connection.execute("PRAGMA fullfsync = 1")
    _guard(connection)
    runner.checkpoints.configure(connection)


def _set_up_reader(connection: sqlite3.Connection) -> None:
    connection.execute(f"PRAGMA busy_timeout = {_BUSY_MS}")
    connection.execute(f"PRAGMA cache_size = -{_READER_CACHE_KIB}")
    connection.execute("PRAGMA query_only = 1")
    # Closing it must not checkpoint outside the write lock; nor does it ever write.
    connection.execute("PRAGMA wal_autocheckpoint = 0")
    _guard(connection)


def _guard(connection: sqlite3.Connection) -> None:
    # A memory map would turn an I/O error, or a truncated file, into a crash of the process.
    connection.execute("PRAGMA mmap_size = 0")
    connection.execute("PRAGMA cell_size_check = 1")
    connection.execute("PRAGMA trusted_schema = 0")
    connection.execute("PRAGMA temp_store = MEMORY")


def _check(connection: sqlite3.Connection, path: Path) -> None:
    """Refuse a damaged file. The larger it is, the less is looked at: a start must be quick."""
    (pages,) = connection.execute("PRAGMA page_count").fetchone()
    (page_size,) = connection.execute("PRAGMA page_size").fetchone()
    size = pages * page_size
    if size > _QUICK_CHECK_BYTES:
        _log.warning(
            "the database is too large to be checked at every start; its schema is readable",
            extra={"event": "check_skipped", "path": str(path), "bytes": size},
        )
        return
    check = "integrity_check" if size <= _WHOLE_CHECK_BYTES else "quick_check"
    found = [text for (text,) in connection.execute(f"PRAGMA {check}(5)")]
    if found != ["ok"]:
        raise StoreDamaged(
            f"the database {path} is damaged: {'; '.join(found)}; stop all nodes, keep a copy of "
            "the file and restore a backup"
        )
