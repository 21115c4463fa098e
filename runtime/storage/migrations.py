"""Brings a database to the schema of this release. Plain functions of a connection; an edge."""

from __future__ import annotations

import sqlite3
import zlib
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

from perdure.actors.errors import StoreDamaged
from perdure.runtime.storage.errors import ForeignDatabase
from perdure.runtime.storage.transaction import read_transaction, write_transaction

MIGRATIONS: tuple[str, ...] = ("schema.sql", "schema_2.sql")
"""Script number n brings schema version n - 1 to version n. The list only ever grows."""

_SCHEMA = "SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL ORDER BY name"
_SET = "INSERT INTO meta VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value"


def migrate(connection: sqlite3.Connection, scripts: Sequence[str] | None = None) -> int:
    """Run the scripts that the database has not had, each in its own transaction.

    Returns the version that the database has then. Raises `StoreDamaged` if it is of a newer
    release, `ForeignDatabase` if it is no database of this package.
    """
    if scripts is None:
        scripts = [Path(__file__).with_name(name).read_text("utf-8") for name in MIGRATIONS]
    version = read_transaction(connection, schema_version)
    if version > len(scripts):
        raise StoreDamaged(
            f"the database has schema version {version}, this release of perdure reads up to "
            f"{len(scripts)}; install the release that wrote it, or restore a backup from before"
        )
    for number in range(version + 1, len(scripts) + 1):
        write_transaction(connection, partial(_run, scripts=scripts[:number]))
    read_transaction(connection, partial(_check_schema, scripts=scripts))
    return len(scripts)


def schema_version(connection: sqlite3.Connection) -> int:
    """The version of the schema, 0 for an empty database."""
    tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master")}
    if "meta" in tables:
        found = connection.execute("SELECT value FROM meta WHERE key = 'schema_version'").fetchone()
        if found is not None and isinstance(found[0], int):
            return found[0]
        raise StoreDamaged(
            "the database has a table meta without a schema version: it is damaged, or no database "
            "of perdure's; restore a backup, or name another file"
        )
    if tables:
        raise ForeignDatabase(
            "the file is a SQLite database, but not one of perdure's; name another file"
        )
    return 0


def _run(connection: sqlite3.Connection, *, scripts: Sequence[str]) -> None:
    """Run the last script, after all the others."""
    # Another process may have run it between the look and the lock.
    if schema_version(connection) >= len(scripts):
        return
    for statement in _statements(scripts[-1]):
        connection.execute(statement)
    connection.execute(_SET, ("schema_version", len(scripts)))
    connection.execute(_SET, ("schema_checksum", _schema_checksum(connection, scripts)))


def _check_schema(connection: sqlite3.Connection, *, scripts: Sequence[str]) -> None:
    """The schema is text in the file, in which no check of SQLite's notices a flipped bit."""
    found = connection.execute("SELECT value FROM meta WHERE key = 'schema_checksum'").fetchone()
    if found is None or found[0] != _schema_checksum(connection, scripts):
        raise StoreDamaged(
            "the schema of the database is damaged, or was changed by hand; stop all nodes, keep a "
            "copy of the file and restore a backup"
        )


def _schema_checksum(connection: sqlite3.Connection, scripts: Sequence[str]) -> int:
    """Of the tables and indexes that the scripts make, as this database has them.

    Its text is compared with itself, not with the scripts: releases of SQLite word the outcome of
    an ALTER TABLE differently. What others have added does not count.
    """
    model = sqlite3.connect(":memory:", isolation_level=None)
    for script in scripts:
        model.executescript(script)
    names = {name for name, _ in model.execute(_SCHEMA)}
    model.close()
    ours = [row for row in connection.execute(_SCHEMA) if row[0] in names]
    return zlib.crc32(repr(ours).encode())


def _statements(script: str) -> Iterator[str]:
    """The statements of a script, one by one: `executescript` would commit on its own."""
    statement = ""
    for line in script.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""
