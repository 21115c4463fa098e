"""Units of work as prepared rows, sorted by statement. A value module.

Everything that needs Python is done here, before the transaction begins: what is left for it is one
`executemany` per kind of statement. This is the hottest path of the store.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator

from perdure.actors.identity import slot_of
from perdure.actors.unit_of_work import UnitOfWork
from perdure.runtime.storage.rows import (
    RUN_OPTIONAL,
    RUN_REQUIRED,
    TURN_OPTIONAL,
    TURN_REQUIRED,
    Row,
    Shape,
    body_checksum,
    run_columns,
    turn_columns,
)
from perdure.runtime.workflow.records import ChangeKind, WorkflowChange

_DELETE = "DELETE FROM workflows WHERE key = ? AND execution = ? AND next_seq = ?"
_DELETE_HISTORY = "DELETE FROM history WHERE key = ?"
_DELETE_REMINDERS = "DELETE FROM reminders WHERE key = ?"
_DROP_HISTORY = "DELETE FROM history WHERE key = ? AND execution < ?"
_APPEND = "INSERT INTO history (key, execution, seq, turn) VALUES (?, ?, ?, ?)"
_CONSUME = "DELETE FROM inbox WHERE app_id = ? AND type = ? AND id = ? AND message_id = ?"
_SEND = (
    "INSERT INTO inbox (app_id, type, id, slot, message_id, body, checksum) "
    "VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (app_id, type, id, message_id) DO NOTHING"
)
_CLEAR_REMINDER = "DELETE FROM reminders WHERE key = ? AND name = ?"
_SET_REMINDER = (
    "INSERT INTO reminders (key, name, due_us, slot) VALUES (?, ?, ?, ?) "
    "ON CONFLICT (key, name) DO UPDATE SET due_us = excluded.due_us"
)

_FIXED = RUN_REQUIRED.index("slot")
"""The columns before this one, key and id, are never updated."""

Work = tuple[str, list[Row], bool]
"""A statement, its rows, and whether each row must hit exactly one row of the database."""


class Batch:
    """The rows of some units. Filled by `add`, then only read."""

    __slots__ = (
        "_app_id",
        "_cleared",
        "_consumed",
        "_creates",
        "_deletes",
        "_drops",
        "_history",
        "_outbox",
        "_reminders",
        "_slots",
        "_updates",
        "claims",
    )

    def __init__(self, app_id: str, slots: int) -> None:
        self._app_id = app_id
        self._slots = slots
        self.claims: set[tuple[int, int]] = set()
        """The (slot, epoch) pairs under which the units were decided."""
        self._creates: dict[Shape, list[Row]] = {}
        self._updates: dict[tuple[bool, Shape], list[Row]] = {}
        self._deletes: list[Row] = []
        self._drops: list[Row] = []
        self._history: list[Row] = []
        self._consumed: list[Row] = []
        self._outbox: list[Row] = []
        self._cleared: list[Row] = []
        self._reminders: list[Row] = []

    def like(self) -> Batch:
        """An empty batch of the same app."""
        return Batch(self._app_id, self._slots)

    def add(self, unit: UnitOfWork) -> None:
        """Raises `ValueError` or `OverflowError` for a value that no database can hold."""
        self.claims.add((unit.slot, unit.epoch))
        key = unit.key
        change = unit.change
        if change is not None:
            assert isinstance(change, WorkflowChange), change
            self._change(unit, change)
        app_id, ref = self._app_id, unit.ref
        if unit.consumed:
            self._consumed += [(app_id, *ref, message_id) for message_id in unit.consumed]
        for out in unit.outbox:
            type_, id_ = out.target
            slot, body = slot_of(id_, self._slots), out.body
            # Every app of a database has the same number of slots.
            app, checksum = out.app_id or app_id, body_checksum(body)
            self._outbox.append((app, type_, id_, slot, out.message_id, body, checksum))
        if unit.reminders_cleared:
            self._cleared += [(key, name) for name in unit.reminders_cleared]
        if unit.reminders_set:
            self._reminders += [(key, name, due, unit.slot) for name, due in unit.reminders_set]

    def _change(self, unit: UnitOfWork, change: WorkflowChange) -> None:
        row, kind = change.row, change.kind
        expected = (row.key, change.expected_execution, change.expected_seq)
        if kind is ChangeKind.DELETE:
            self._deletes.append(expected)
            return
        turn, shape, optional = turn_columns(row)
        if kind is ChangeKind.UPDATE and row.execution == change.expected_execution:
            self._updates.setdefault((False, shape), []).append((*turn, *optional, *expected))
        else:
            run, run_shape, run_optional = run_columns(row)
            shape = run_shape + shape
            values = (*run, *turn, *run_optional, *optional)
            if kind is ChangeKind.CREATE:
                self._creates.setdefault(shape, []).append((self._app_id, *values))
            else:
                written = values[_FIXED:]
                self._updates.setdefault((True, shape), []).append((*written, *expected))
        if change.drop_history:
            self._drops.append((row.key, row.execution))
        for seq, past in enumerate(change.past):
            self._history.append((row.key, row.execution, seq, past))
        if change.turn is not None:
            # sqlite3 binds a bytearray directly and takes a slow path for bytes.
            blob = bytearray(change.turn)
            self._history.append((row.key, row.execution, change.turn_seq, blob))

    def work(self) -> Iterator[Work]:
        """What to execute, in order."""
        if self._deletes:
            keys: list[Row] = [(row[0],) for row in self._deletes]
            yield _DELETE, self._deletes, True
            yield _DELETE_HISTORY, keys, False
            yield _DELETE_REMINDERS, keys, False
        for shape, rows in self._creates.items():
            yield _insert(shape), rows, True
        for (is_run, shape), rows in self._updates.items():
            yield _update(shape, run=is_run), rows, True
        if self._drops:
            yield _DROP_HISTORY, self._drops, False
            yield _DELETE_REMINDERS, [(key,) for key, _ in self._drops], False
        if self._history:
            yield _APPEND, self._history, True
        if self._consumed:
            yield _CONSUME, self._consumed, False
        if self._outbox:
            yield _SEND, self._outbox, False
        if self._cleared:
            yield _CLEAR_REMINDER, self._cleared, False
        if self._reminders:
            yield _SET_REMINDER, self._reminders, False


@functools.cache
def _insert(shape: Shape) -> str:
    given = [column for column, is_null in _optional(shape, run=True) if not is_null]
    columns = ("app_id", *RUN_REQUIRED, *TURN_REQUIRED, *given)
    return (
        f"INSERT INTO workflows ({', '.join(columns)}) VALUES ({', '.join('?' for _ in columns)})"
    )


@functools.cache
def _update(shape: Shape, *, run: bool) -> str:
    """`run` writes what is fixed for a run too."""
    optional = _optional(shape, run=run)
    given = [column for column, is_null in optional if not is_null]
    columns = (*(RUN_REQUIRED[_FIXED:] if run else ()), *TURN_REQUIRED, *given)
    settings = [f"{column} = ?" for column in columns]
    settings += [f"{column} = NULL" for column, is_null in optional if is_null]
    return (
        f"UPDATE workflows SET {', '.join(settings)} "
        "WHERE key = ? AND execution = ? AND next_seq = ?"
    )


def _optional(shape: Shape, *, run: bool) -> list[tuple[str, bool]]:
    columns = RUN_OPTIONAL + TURN_OPTIONAL if run else TURN_OPTIONAL
    return list(zip(columns, shape, strict=True))
