"""Looks into every transaction before it stands and after. An owner module.

Triggers note what a transaction does to each table; a commit without its fence is seen here even if
the engine's own compare-and-set would hide it. What was noted is then held against the `Shadow`.
"""

from __future__ import annotations

import sqlite3
from typing import Any

from tests.simulation.shadow import Shadow
from tests.simulation.sim_store import Process
from tests.simulation.world import World

_ROW = "{0}.key, {0}.instance_id, {0}.execution, {0}.next_seq, {0}.status, {0}.has_work, {0}.slot"
_NOTES: tuple[tuple[str, str, str, str], ...] = (
    ("H+", "INSERT", "history", "NEW.key, NEW.execution, NEW.seq, NEW.turn, 0, 0, 0, 0"),
    ("H-", "DELETE", "history", "OLD.key, OLD.execution, OLD.seq, 0, 0, 0, 0, 0"),
    ("H!", "UPDATE", "history", "OLD.key, OLD.execution, OLD.seq, 0, 0, 0, 0, 0"),
    ("I+", "INSERT", "inbox", "NEW.id, NEW.message_id, NEW.body, NEW.slot, 0, 0, 0, 0"),
    ("I-", "DELETE", "inbox", "OLD.id, OLD.message_id, OLD.body, OLD.slot, 0, 0, 0, 0"),
    ("W+", "INSERT", "workflows", _ROW.format("NEW") + ", NEW.start_requests"),
    ("W~", "UPDATE OF next_seq", "workflows", _ROW.format("NEW") + ", NEW.start_requests"),
    ("W-", "DELETE", "workflows", _ROW.format("OLD") + ", OLD.start_requests"),
    ("R+", "INSERT", "reminders", "NEW.key, NEW.name, NEW.due_us, NEW.slot, 0, 0, 0, 0"),
    ("R-", "DELETE", "reminders", "OLD.key, OLD.name, OLD.due_us, OLD.slot, 0, 0, 0, 0"),
    ("S~", "UPDATE", "slots", "NEW.slot, OLD.epoch, NEW.epoch, 0, 0, 0, 0, 0"),
    ("N+", "INSERT", "nodes", "NEW.node_id, NEW.generation, NEW.incarnation, 0, 0, 0, 0, 0"),
    (
        "N~",
        "UPDATE OF state",
        "nodes",
        "NEW.node_id, NEW.generation, NEW.incarnation, NEW.state, 0, 0, 0, 0",
    ),
)
_SLOT_AT = {"I-": 4, "W+": 7, "W~": 7, "W-": 7, "R+": 4, "R-": 4}


class Oracle:
    """Implements `CommitOracle`."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.shadow = Shadow(world)
        self._pending: list[tuple[Any, ...]] = []

    def attach(self, connection: sqlite3.Connection) -> None:
        """Have the connection note what its transactions do."""
        connection.execute(
            "CREATE TEMP TABLE seen (n INTEGER PRIMARY KEY, what, a, b, c, d, e, f, g, h)"
        )
        for what, event, table, values in _NOTES:
            name = f"note_{event.split()[0]}_{table}"
            connection.execute(
                f"CREATE TEMP TRIGGER {name} AFTER {event} ON {table} BEGIN "
                f"INSERT INTO seen (what, a, b, c, d, e, f, g, h) VALUES ('{what}', {values}); END"
            )

    def before_commit(self, connection: sqlite3.Connection, process: Process) -> None:
        """Within the transaction: is this its author's to write?"""
        self._pending = connection.execute(
            "SELECT what, a, b, c, d, e, f, g, h FROM seen ORDER BY n"
        ).fetchall()
        slots = {note[_SLOT_AT[note[0]]] for note in self._pending if note[0] in _SLOT_AT}
        if not slots:
            return
        found = connection.execute(
            "SELECT generation FROM nodes WHERE node_id = ? AND incarnation = ? "
            "AND state IN ('up', 'draining')",
            (process.name, process.incarnation),
        ).fetchone()
        if found is None:
            raise self.world.violated(f"I3: {process.name} commits, but is no member any more")
        mine = {
            slot
            for (slot,) in connection.execute(
                "SELECT slot FROM slots WHERE owner = ? AND owner_generation = ?",
                (process.name, found[0]),
            )
        }
        if not slots <= mine:
            foreign = sorted(slots - mine)
            raise self.world.violated(f"I3: {process.name} writes to slots {foreign} of others")

    def after_commit(self, connection: sqlite3.Connection, process: Process) -> None:
        """It stands: does it make sense?"""
        if not self._pending:
            return
        notes, self._pending = self._pending, []
        connection.execute("DELETE FROM seen")
        self.shadow.take(notes, process)
