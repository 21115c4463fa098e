"""What the API reads of workflows. Plain functions of a connection; an edge module."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Any

from perdure.runtime.storage.load import find, history_of
from perdure.runtime.storage.rows import COLUMNS, instance_of
from perdure.runtime.workflow.history import Status
from perdure.runtime.workflow.records import Child, Instance, ListQuery, Page

_FIRST = (
    "SELECT CAST(turn AS BLOB) FROM history WHERE key = ? AND execution = ? ORDER BY seq LIMIT 1"
)
_CHILDREN = f"SELECT w.app_id, {COLUMNS} FROM workflows AS w WHERE w.parent_key = ? ORDER BY w.key"
_HIGHEST = "\U0010ffff"


def get(
    connection: sqlite3.Connection, app_id: str, instance_id: str
) -> tuple[Instance, bytes | None] | None:
    row = find(connection, app_id, instance_id)
    if row is None:
        return None
    first = connection.execute(_FIRST, (row.key, row.execution)).fetchone()
    return row, None if first is None else first[0]


def history(
    connection: sqlite3.Connection, app_id: str, instance_id: str
) -> tuple[Instance, Sequence[bytes]] | None:
    row = find(connection, app_id, instance_id)
    return None if row is None else (row, [turn for _, turn in history_of(connection, row)])


def page(connection: sqlite3.Connection, app_id: str, query: ListQuery) -> Page:
    # One row more than asked for tells whether there is a next page.
    found = connection.execute(*page_statement(app_id, query, query.limit + 1)).fetchall()
    rows = [instance_of(row) for row in found[: query.limit]]
    return Page(rows, rows[-1].key if rows and len(found) > query.limit else None)


def page_statement(app_id: str, query: ListQuery, limit: int) -> tuple[str, list[Any]]:
    where, arguments = _filters(app_id, query)
    if query.after_key is not None:
        where += " AND w.key < ?" if query.newest_first else " AND w.key > ?"
        arguments.append(query.after_key)
    order = "DESC" if query.newest_first else "ASC"
    sql = f"SELECT {COLUMNS} FROM workflows AS w WHERE {where} ORDER BY w.key {order} LIMIT ?"
    return sql, [*arguments, limit]


def counts(connection: sqlite3.Connection, app_id: str, query: ListQuery) -> dict[Status, int]:
    where, arguments = _filters(app_id, query)
    found = connection.execute(
        f"SELECT w.status, count(*) FROM workflows AS w WHERE {where} "
        "GROUP BY w.status ORDER BY w.status",
        arguments,
    )
    known = {int(status): status for status in Status}
    tally: dict[Status, int] = {}
    for number, count in found:
        status = known.get(number, Status.STALLED)  # A damaged row, as `instance_of` shows it.
        tally[status] = tally.get(status, 0) + count
    return tally


def children(connection: sqlite3.Connection, key: int) -> list[Child]:
    return [Child(row[0], instance_of(row[1:])) for row in connection.execute(_CHILDREN, (key,))]


def _filters(app_id: str, query: ListQuery) -> tuple[str, list[Any]]:
    # Without a prefix the index of the ids would only bring them in the wrong order; the unary
    # plus keeps SQLite from using it, so that a page costs what it holds.
    where = ["w.app_id = ?" if query.id_prefix else "+w.app_id = ?"]
    values: list[Any] = [app_id]
    if query.statuses:
        where.append(f"w.status IN ({', '.join('?' for _ in query.statuses)})")
        values += [int(status) for status in query.statuses]
    if query.name is not None:
        where.append("w.name = ?")
        values.append(query.name)
    if query.created_from_us is not None:
        where.append("w.created_us >= ?")
        values.append(query.created_from_us)
    if query.created_before_us is not None:
        where.append("w.created_us < ?")
        values.append(query.created_before_us)
    if query.id_prefix:
        # A range and not LIKE: exact for every character, and served by the index of the ids.
        where.append("w.instance_id >= ? AND w.instance_id < ?")
        values += [query.id_prefix, query.id_prefix + _HIGHEST]
    return " AND ".join(where), values
