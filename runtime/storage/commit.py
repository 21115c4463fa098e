"""Writes the units of many turns in one transaction, as a plain function. An edge module.

First all at once, counting rows. If that does not add up, everything is rolled back and done again
with a savepoint per unit, so that one bad unit never fails its neighbours.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

from perdure.actors.errors import NotOwner, StoreUnavailable, TurnConflict
from perdure.actors.ports import Fence
from perdure.actors.unit_of_work import UnitOfWork
from perdure.runtime.storage.batch import Batch
from perdure.runtime.storage.failures import meaning
from perdure.runtime.storage.membership import check
from perdure.runtime.storage.transaction import write_transaction

_VERSION = "SELECT value FROM meta WHERE key = 'placement_version'"
_OWNED = "SELECT slot, epoch FROM slots WHERE app_id = ? AND owner = ? AND owner_generation = ?"

Outcomes = list[Exception | None]


class OwnedSlots:
    """The (slot, epoch) pairs of a node, read again only when the placement version has changed.

    Owned by one store; used inside its write transactions, which run one at a time.
    """

    def __init__(self, app_id: str) -> None:
        self._app_id = app_id
        self._read_at: tuple[Fence, int] | None = None
        self._pairs: frozenset[tuple[int, int]] = frozenset()

    def read(self, connection: sqlite3.Connection, fence: Fence) -> frozenset[tuple[int, int]]:
        found = connection.execute(_VERSION).fetchone()
        read_at = (fence, 0 if found is None else found[0])
        if read_at != self._read_at:
            arguments = (self._app_id, fence.node_id, fence.generation)
            self._pairs = frozenset(connection.execute(_OWNED, arguments))
            self._read_at = read_at
        return self._pairs


class Commit:
    """One group commit. Built on the event loop, executed once, whole, by `run`."""

    def __init__(
        self, fence: Fence, units: Sequence[UnitOfWork], owned: OwnedSlots, empty: Batch
    ) -> None:
        self._fence = fence
        self._units = units
        self._owned = owned
        self._empty = empty
        self._batch: Batch | None = empty.like()
        try:
            for unit in units:
                self._batch.add(unit)
        except (ValueError, OverflowError):
            self._batch = None  # Which one it is comes out when each is tried alone.

    def run(self, connection: sqlite3.Connection) -> Outcomes:
        """Raises `NodeFenced`, `StoreUnavailable`, `CommitUnknown` or `StoreDamaged`."""
        batch = self._batch
        if batch is not None:
            try:
                write_transaction(connection, lambda c: self._together(c, batch))
            except (TurnConflict, sqlite3.Error, ValueError, OverflowError):
                pass
            else:
                return [None] * len(self._units)
        return write_transaction(connection, self._one_by_one)

    def _together(self, connection: sqlite3.Connection, batch: Batch) -> None:
        check(connection, self._fence)
        if not batch.claims <= self._owned.read(connection, self._fence):
            raise TurnConflict("some slot has changed its owner")
        _apply(connection, batch)

    def _one_by_one(self, connection: sqlite3.Connection) -> Outcomes:
        check(connection, self._fence)
        owned = self._owned.read(connection, self._fence)
        return [self._alone(connection, unit, owned) for unit in self._units]

    def _alone(
        self,
        connection: sqlite3.Connection,
        unit: UnitOfWork,
        owned: frozenset[tuple[int, int]],
    ) -> Exception | None:
        if (unit.slot, unit.epoch) not in owned:
            return NotOwner(
                f"{unit.ref}: slot {unit.slot} is no longer this node's at epoch {unit.epoch}"
            )
        connection.execute("SAVEPOINT unit")
        try:
            batch = self._empty.like()
            batch.add(unit)
            _apply(connection, batch)
        except (TurnConflict, sqlite3.IntegrityError) as error:
            outcome: Exception = TurnConflict(f"{unit.ref}: {error}")
        except (sqlite3.Error, ValueError, OverflowError) as error:
            if isinstance(error, sqlite3.Error) and meaning(error, connection) is not None:
                raise
            outcome = error
        else:
            connection.execute("RELEASE unit")
            return None
        if not connection.in_transaction:
            # SQLite has rolled back the whole batch by itself. Going on would commit what follows
            # statement by statement, outside the fence.
            raise StoreUnavailable(f"the transaction was rolled back at {unit.ref}: {outcome}")
        connection.execute("ROLLBACK TO unit")
        connection.execute("RELEASE unit")
        return outcome


def _apply(connection: sqlite3.Connection, batch: Batch) -> None:
    for statement, rows, each_hits in batch.work():
        changed = connection.executemany(statement, rows).rowcount
        if each_hits and changed != len(rows):
            raise TurnConflict("another turn has changed the instance meanwhile, or it is gone")
