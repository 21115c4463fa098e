"""Reads actors whole. Plain functions of a connection; an edge module."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

from perdure.actors.errors import Fault
from perdure.actors.identity import ActorRef
from perdure.actors.ports import InboxRow, Snapshot
from perdure.runtime.storage.rows import COLUMNS, body_checksum, instance_of, read_row
from perdure.runtime.workflow.history import TERMINAL
from perdure.runtime.workflow.messages import WORKFLOW, StartWorkflow, decode
from perdure.runtime.workflow.records import Instance, StoredWorkflow

_ROW = f"SELECT {COLUMNS} FROM workflows AS w WHERE w.app_id = ? AND w.instance_id = ?"
# The casts are for damaged rows: a flipped bit may have made a text of a blob.
_HISTORY = (
    "SELECT seq, CAST(turn AS BLOB) FROM history WHERE key = ? AND execution = ? ORDER BY seq"
)
_INBOX = (
    "SELECT message_id, CAST(body AS BLOB), checksum FROM inbox "
    "WHERE app_id = ? AND type = ? AND id = ? ORDER BY n"
)
_TERMINAL = ", ".join(str(int(status)) for status in sorted(TERMINAL))
_OPEN_CHILD = f"""
WITH RECURSIVE family (key) AS (
    SELECT :key
    UNION
    SELECT w.key FROM family JOIN workflows AS w ON w.parent_key = family.key
)
SELECT w.instance_id FROM family JOIN workflows AS w ON w.key = family.key
WHERE w.key <> :key AND w.status NOT IN ({_TERMINAL}) LIMIT 1
"""
_STARTS = (
    "SELECT id, CAST(body AS BLOB) FROM inbox WHERE type = 'workflow' "
    "AND message_id >= ? AND message_id < ? ORDER BY n"
)


def load(connection: sqlite3.Connection, app_id: str, refs: Sequence[ActorRef]) -> list[Snapshot]:
    """The actors in the order of `refs`."""
    return [
        Snapshot(ref, _state(connection, app_id, ref), _inbox(connection, app_id, ref))
        for ref in refs
    ]


def find(connection: sqlite3.Connection, app_id: str, instance_id: str) -> Instance | None:
    """The row of one instance."""
    found = connection.execute(_ROW, (app_id, instance_id)).fetchone()
    return None if found is None else instance_of(found)


def history_of(connection: sqlite3.Connection, row: Instance) -> list[tuple[int, bytes]]:
    """The history rows of an instance's current run, with their numbers."""
    return connection.execute(_HISTORY, (row.key, row.execution)).fetchall()


def _state(connection: sqlite3.Connection, app_id: str, ref: ActorRef) -> StoredWorkflow | None:
    if ref.type != WORKFLOW:
        return None
    found = connection.execute(_ROW, (app_id, ref.id)).fetchone()
    if found is None:
        return None
    row, damage = read_row(found)
    stored = StoredWorkflow(row, damage=damage)
    if row.has_work or row.status not in TERMINAL:
        stored.history = history_of(connection, row)
    if row.status in TERMINAL:
        child = connection.execute(_OPEN_CHILD, {"key": row.key}).fetchone()
        # One whose start is still on its way counts too: it would be in the way of a new one.
        stored.open_child = unborn(connection, row.key) if child is None else child[0]
    return stored


def unborn(connection: sqlite3.Connection, key: int) -> str | None:
    """A child of this instance whose start is still on its way, if there is one."""
    # The ids of these messages are `start:<key>:…`, and ';' is the character after ':'. Keys are
    # unique over all apps; the inbox is short but for what waits for an app that is not there.
    for child_id, body in connection.execute(_STARTS, (f"start:{key}:", f"start:{key};")):
        if _is_child(body):
            return str(child_id)
    return None


def _is_child(body: bytes) -> bool:
    """Does this message start a child, and not one that is on its own?"""
    try:
        message = decode(body)
    except Fault:
        return True
    return isinstance(message, StartWorkflow) and message.tell_parent


def inboxes(
    connection: sqlite3.Connection, app_id: str, refs: Sequence[ActorRef]
) -> list[list[InboxRow]]:
    """What each of the actors has not consumed yet."""
    return [_inbox(connection, app_id, ref) for ref in refs]


def _inbox(connection: sqlite3.Connection, app_id: str, ref: ActorRef) -> list[InboxRow]:
    return [
        # A damaged body is given as an empty one, which no actor type can decode: it is then dealt
        # with as every undecodable message is.
        InboxRow(message_id, body if body_checksum(body) == checksum else b"")
        for message_id, body, checksum in connection.execute(_INBOX, (app_id, *ref))
    ]
