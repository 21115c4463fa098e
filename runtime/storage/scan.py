"""Finds what recovery has to look at. Plain functions of a connection; an edge module.

Each page is one read transaction, so that no scan holds a snapshot for long: an old snapshot keeps
the write-ahead log from being reused.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass

from perdure.actors.identity import ActorRef
from perdure.actors.ports import DueReminder, Fence
from perdure.runtime.workflow.history import TERMINAL, Status
from perdure.runtime.workflow.messages import WORKFLOW

_STALLED_STATUS = int(Status.STALLED)
_FINISHED = ", ".join(str(int(status)) for status in sorted(TERMINAL))
# The slots of one membership of one node of an app.
_OWNED = "(SELECT slot FROM slots WHERE app_id = ? AND owner = ? AND owner_generation = ?)"
# A partial index is used only where its condition is spelled out, hence no parameters here.
_WORK = (
    "SELECT key, instance_id FROM workflows WHERE app_id = ? AND key > ? "
    f"AND has_work = 1 AND status <> {_STALLED_STATUS} AND slot IN {_OWNED} ORDER BY key LIMIT ?"
)
_STALLED = (
    "SELECT key, instance_id FROM workflows WHERE app_id = ? AND key > ? "
    f"AND status = {_STALLED_STATUS} AND slot IN {_OWNED} ORDER BY key LIMIT ?"
)
# The unary plus and the cross join keep SQLite from an index that has the wrong order.
_INBOX = (
    "SELECT n, type, id FROM inbox WHERE +app_id = ? AND n > ? "
    f"AND slot IN {_OWNED} AND NOT EXISTS ("
    "SELECT 1 FROM workflows AS w WHERE w.app_id = inbox.app_id AND w.instance_id = inbox.id "
    f"AND inbox.type = '{WORKFLOW}' AND (+w.status = {_STALLED_STATUS} "
    f"OR (w.has_work = 1 AND +w.status IN ({_FINISHED})))) ORDER BY n LIMIT ?"
)
_REMINDERS = (
    "SELECT w.instance_id, r.name, r.due_us "
    "FROM reminders AS r CROSS JOIN workflows AS w ON w.key = r.key "
    f"WHERE r.due_us < ? AND r.slot IN {_OWNED} AND w.app_id = ? "
    "ORDER BY r.due_us, r.slot, r.key, r.name LIMIT ?"
)

Found = tuple[Sequence[ActorRef], int]


@dataclass(frozen=True, slots=True)
class Owner:
    """Whose slots of which app are scanned."""

    app_id: str
    fence: Fence

    @property
    def arguments(self) -> tuple[str, str, int]:
        return self.app_id, self.fence.node_id, self.fence.generation


def work(connection: sqlite3.Connection, owner: Owner, after: int, limit: int) -> Found:
    """Instances with unfinished work, by key. Stalled ones are not polled: see `stalled`."""
    rows = connection.execute(_WORK, (owner.app_id, after, *owner.arguments, limit)).fetchall()
    return _workflows(rows, limit)


def stalled(connection: sqlite3.Connection, owner: Owner, after: int, limit: int) -> Found:
    """Instances that wait for other code, by key."""
    rows = connection.execute(_STALLED, (owner.app_id, after, *owner.arguments, limit)).fetchall()
    return _workflows(rows, limit)


def inbox(connection: sqlite3.Connection, owner: Owner, after: int, limit: int) -> Found:
    """Actors with unread messages, by the number of the message; each once to a page.

    What waits for a stalled instance waits for the end of the stall: each look at it would cost a
    replay of its history.
    """
    rows = connection.execute(_INBOX, (owner.app_id, after, *owner.arguments, limit)).fetchall()
    refs = dict.fromkeys([ActorRef(type_, id_) for _, type_, id_ in rows])
    return list(refs), _next([n for n, _, _ in rows], limit)


def reminders(
    connection: sqlite3.Connection, owner: Owner, before_us: int, limit: int
) -> list[DueReminder]:
    """Wake-ups that fall due before `before_us`, earliest first."""
    rows = connection.execute(_REMINDERS, (before_us, *owner.arguments, owner.app_id, limit))
    return [DueReminder(ActorRef(WORKFLOW, id_), name, due_us) for id_, name, due_us in rows]


def _workflows(rows: Sequence[tuple[int, str]], limit: int) -> Found:
    refs = [ActorRef(WORKFLOW, instance_id) for _, instance_id in rows]
    return refs, _next([key for key, _ in rows], limit)


def _next(keys: Sequence[int], limit: int) -> int:
    return keys[-1] if len(keys) == limit else -1
