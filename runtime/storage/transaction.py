"""One transaction as one plain function: begin, body, commit or roll back. An edge module.

The only place that says BEGIN, COMMIT and ROLLBACK. INVARIANT: when a function of this module
returns or raises, the connection is outside any transaction, or the next BEGIN sees to it.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Callable
from functools import partial
from typing import TypeVar

from perdure.runtime.storage.failures import is_busy, is_undecodable, meaning, meaning_of_commit

T = TypeVar("T")

_BEGIN_ATTEMPTS = 4
"""Each waits for the connection's busy timeout. Our own processes queue on a file lock before."""

_COMMIT_ATTEMPTS = 3

_lenient = partial(str, encoding="utf-8", errors="replace")


def write_transaction(connection: sqlite3.Connection, body: Callable[[sqlite3.Connection], T]) -> T:
    """Run `body` in a transaction that holds the write lock from its beginning.

    Errors of the database come out as `StoreUnavailable`, `StoreDamaged` or `CommitUnknown`; errors
    about one statement (a constraint, a value that cannot be stored) come out as they are.
    """
    # Never a deferred transaction: upgrading one from read to write fails whatever the timeout.
    _begin(connection, "BEGIN IMMEDIATE")
    done = False
    try:
        result = body(connection)
        done = True
    except sqlite3.Error as error:
        _raise_if_meant(error, connection)
        raise
    finally:
        if not done:
            _roll_back(connection)
    _commit(connection)
    return result


def single_statements(connection: sqlite3.Connection, body: Callable[[sqlite3.Connection], T]) -> T:
    """Run `body` outside any transaction, for what SQLite does not do within one."""
    try:
        return body(connection)
    except sqlite3.Error as error:
        _raise_if_meant(error, connection)
        raise


def read_transaction(connection: sqlite3.Connection, body: Callable[[sqlite3.Connection], T]) -> T:
    """Run `body`, which only reads, on one snapshot of the database."""
    try:
        return _read(connection, body)
    except sqlite3.Error as error:
        if not is_undecodable(error):
            _raise_if_meant(error, connection)
            raise
    # Some text is not UTF-8: a damaged row must not hide its neighbours, and its checksum tells.
    connection.text_factory = _lenient
    try:
        return single_statements(connection, lambda c: _read(c, body))
    finally:
        connection.text_factory = str


def _read(connection: sqlite3.Connection, body: Callable[[sqlite3.Connection], T]) -> T:
    _begin(connection, "BEGIN")
    try:
        return body(connection)
    finally:
        _roll_back(connection)


def _begin(connection: sqlite3.Connection, statement: str) -> None:
    _roll_back(connection)
    for attempt in range(1, _BEGIN_ATTEMPTS + 1):
        try:
            connection.execute(statement)
            return
        except sqlite3.Error as error:
            if not is_busy(error) or attempt == _BEGIN_ATTEMPTS:
                _raise_if_meant(error, connection)
                raise


def _commit(connection: sqlite3.Connection) -> None:
    for attempt in range(1, _COMMIT_ATTEMPTS + 1):
        try:
            connection.execute("COMMIT")
            return
        except sqlite3.Error as error:
            if not is_busy(error) or attempt == _COMMIT_ATTEMPTS:
                _roll_back(connection)
                raise meaning_of_commit(error, connection) from error


def _roll_back(connection: sqlite3.Connection) -> None:
    """Leave the transaction, if SQLite has not done so by itself (full disk, I/O error)."""
    if connection.in_transaction:
        # The first error is the one to report; the next BEGIN tries this again.
        with contextlib.suppress(sqlite3.Error):
            connection.execute("ROLLBACK")


def _raise_if_meant(error: sqlite3.Error, connection: sqlite3.Connection) -> None:
    found = meaning(error, connection)
    if found is not None:
        raise found from error
