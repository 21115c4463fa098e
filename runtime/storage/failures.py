"""What an error of SQLite means for the caller. A value module."""

from __future__ import annotations

import contextlib
import sqlite3

from perdure.actors.errors import CommitUnknown, PerdureError, StoreDamaged, StoreUnavailable

_BUSY = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_PROTOCOL})
_FSYNC = frozenset({sqlite3.SQLITE_IOERR_FSYNC, sqlite3.SQLITE_IOERR_DIR_FSYNC})
_DAMAGED = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_FORMAT})
_UNAVAILABLE = {
    sqlite3.SQLITE_FULL: "its disk or quota is full; free some space and writing resumes by itself",
    sqlite3.SQLITE_READONLY: "it is read-only; make the file and its directory writable again",
    sqlite3.SQLITE_CANTOPEN: "a file of it cannot be opened; check its directory and permissions",
    sqlite3.SQLITE_PERM: "access is denied; check the permissions of the file and its directory",
    sqlite3.SQLITE_NOLFS: "the file has reached the largest size that its file system allows",
}
_IOERR_DATA = (sqlite3.SQLITE_IOERR | (32 << 8), sqlite3.SQLITE_IOERR | (33 << 8))
"""SQLITE_IOERR_DATA and SQLITE_IOERR_CORRUPTFS, which `sqlite3` names only in later Pythons."""


def is_busy(error: sqlite3.Error) -> bool:
    """Whether another connection was in the way: nothing is wrong, and a repeat may succeed."""
    return _primary(error) in _BUSY


def is_undecodable(error: sqlite3.Error) -> bool:
    """Whether a text column did not hold UTF-8; the row is damaged, SQLite itself saw no error."""
    return getattr(error, "sqlite_errorcode", None) is None and "decode to UTF-8" in str(error)


def meaning(error: sqlite3.Error, connection: sqlite3.Connection) -> PerdureError | None:
    """The error to raise instead, or None if it is about one statement and not the database."""
    primary, name = _primary(error), _name(connection)
    code = f"{getattr(error, 'sqlite_errorname', 'no code')}: {error}"
    if primary in _BUSY:
        return StoreUnavailable(
            f"cannot write {name}: another process has it locked ({code}); end that process, for "
            "example a database shell with an open transaction"
        )
    if primary in _DAMAGED or is_undecodable(error):
        return StoreDamaged(
            f"{name} is damaged ({code}); stop all nodes, keep a copy of the file and restore a "
            "backup"
        )
    if primary == sqlite3.SQLITE_IOERR:
        return _io_error(error, name, code)
    if primary in _UNAVAILABLE:
        return StoreUnavailable(f"cannot write {name}: {_UNAVAILABLE[primary]} ({code})")
    return None


def meaning_of_commit(error: sqlite3.Error, connection: sqlite3.Connection) -> PerdureError:
    """The same for an error of COMMIT itself, after which the transaction may or may not stand."""
    found = meaning(error, connection)
    certain = (sqlite3.SQLITE_FULL, sqlite3.SQLITE_READONLY, *_BUSY)
    if isinstance(found, StoreDamaged):
        return found
    if found is not None and (
        _primary(error) in certain or error.sqlite_errorcode == sqlite3.SQLITE_IOERR_WRITE
    ):
        return found
    return CommitUnknown(f"COMMIT on {_name(connection)} failed, its effect is not known: {error}")


def _io_error(error: sqlite3.Error, name: str, code: str) -> PerdureError:
    if error.sqlite_errorcode in _FSYNC:
        # After a failed fsync the kernel may have dropped the pages and call the next one a
        # success.
        return StoreDamaged(
            f"the system could not make {name} durable ({code}); check the disk, then start again"
        )
    if error.sqlite_errorcode in _IOERR_DATA:
        return StoreDamaged(f"the file system of {name} is damaged ({code}); check the disk")
    return StoreUnavailable(
        f"cannot access {name}: input/output error ({code}); check the disk, its free space, quota "
        "and the limit of file sizes; writing resumes by itself"
    )


def _primary(error: sqlite3.Error) -> int:
    code: int = getattr(error, "sqlite_errorcode", None) or 0
    return code & 0xFF


def _name(connection: sqlite3.Connection) -> str:
    with contextlib.suppress(sqlite3.Error):
        for _, schema, path in connection.execute("PRAGMA database_list"):
            if schema == "main" and path:
                return f"the database {path}"
    return "the database"
