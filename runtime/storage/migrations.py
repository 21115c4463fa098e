"""Brings a database to the schema of this release. Plain functions of a connection; an edge."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

from perdure.actors.errors import StoreDamaged
from perdure.runtime.storage.errors import ForeignDatabase
from perdure.runtime.storage.transaction import read_transaction, write_transaction

MIGRATIONS: tuple[str, ...] = ("schema.sql",)
"""Script number n brings schema version n - 1 to version n. The list only ever grows."""


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
    for number, script in enumerate(scripts[version:], version + 1):
        write_transaction(connection, partial(_run, number=number, script=script))
    return max(version, len(scripts))


def schema_version(connection: sqlite3.Connection) -> int:
    """The version of the schema, 0 for an empty database."""
    tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master")}
    if "meta" in tables:
        found = connection.execute("SELECT value FROM meta WHERE key = 'schema_version'").fetchone()
        if found is not None and isinstance(found[0], int):
            return found[0]
    if tables:
        raise ForeignDatabase(
            "the file is a SQLite database, but not one of perdure's; name another file"
        )
    return 0


def _run(connection: sqlite3.Connection, *, number: int, script: str) -> None:
    # Another process may have run it between the look and the lock.
    if schema_version(connection) >= number:
        return
    for statement in _statements(script):
        connection.execute(statement)
    connection.execute(
        "INSERT INTO meta VALUES ('schema_version', ?) "
        "ON CONFLICT (key) DO UPDATE SET value = excluded.value",
        (number,),
    )


def _statements(script: str) -> Iterator[str]:
    """The statements of a script, one by one: `executescript` would commit on its own."""
    statement = ""
    for line in script.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""
