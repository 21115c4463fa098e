"""The store of one app on SQLite. An owner module.

Builds transactions and hands them to its runner; knows no thread, no clock and no file. The same
class runs on a file, in memory, and in the simulation.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from typing import TypeVar

from perdure.actors.identity import ActorRef
from perdure.actors.ports import DueReminder, Fence, InboxRow, Snapshot
from perdure.actors.unit_of_work import UnitOfWork
from perdure.placement.membership import ClusterView, NodeIdentity, NodeRecord
from perdure.placement.ports import NO_SECRET, HandOver, IsAlive, Joined, Secret
from perdure.runtime.storage import load, membership, reads, scan
from perdure.runtime.storage.batch import Batch
from perdure.runtime.storage.commit import Commit, OwnedSlots
from perdure.runtime.storage.runner import Runner
from perdure.runtime.storage.transaction import read_transaction, write_transaction
from perdure.runtime.workflow.history import Status
from perdure.runtime.workflow.records import Child, Instance, ListQuery, Page

T = TypeVar("T")


class SqliteStore:
    """Implements `actors.ports.Store`, `placement.ports.MembershipStore` and `WorkflowReads`."""

    def __init__(self, runner: Runner, app_id: str) -> None:
        self._runner = runner
        self._app_id = app_id
        self._owned = OwnedSlots(app_id)
        self._empty: Batch | None = None
        self._view: ClusterView | None = None

    async def load(self, refs: Sequence[ActorRef]) -> Sequence[Snapshot]:
        return await self._read(lambda c: load.load(c, self._app_id, refs))

    async def load_inboxes(self, refs: Sequence[ActorRef]) -> Sequence[Sequence[InboxRow]]:
        return await self._read(lambda c: load.inboxes(c, self._app_id, refs))

    async def commit(self, fence: Fence, units: Sequence[UnitOfWork]) -> Sequence[Exception | None]:
        commit = Commit(fence, units, self._owned, self._empty or await self._slots_counted())
        return await self._runner.write(commit.run)

    async def scan_reminders(
        self, fence: Fence, before_us: int, limit: int
    ) -> Sequence[DueReminder]:
        return await self._read(lambda c: scan.reminders(c, self._owner(fence), before_us, limit))

    async def scan_work(
        self, fence: Fence, after: int, limit: int
    ) -> tuple[Sequence[ActorRef], int]:
        return await self._read(lambda c: scan.work(c, self._owner(fence), after, limit))

    async def scan_stalled(
        self, fence: Fence, after: int, limit: int
    ) -> tuple[Sequence[ActorRef], int]:
        return await self._read(lambda c: scan.stalled(c, self._owner(fence), after, limit))

    async def scan_inbox(
        self, fence: Fence, after: int, limit: int
    ) -> tuple[Sequence[ActorRef], int]:
        return await self._read(lambda c: scan.inbox(c, self._owner(fence), after, limit))

    def _owner(self, fence: Fence) -> scan.Owner:
        return scan.Owner(self._app_id, fence)

    async def reserve_keys(self, count: int) -> range:
        return await self._write(lambda c: membership.reserve_keys(c, count))

    async def join(
        self,
        identity: NodeIdentity,
        slots: int,
        is_alive: IsAlive,
        now_us: int = 0,
        *,
        presumed_dead: NodeRecord | None = None,
        secret: Secret = NO_SECRET,
    ) -> Joined:
        joined = await self._write(
            lambda c: membership.join(
                c, identity, slots, is_alive, now_us, presumed_dead=presumed_dead, secret=secret
            )
        )
        self._empty = Batch(self._app_id, joined.table.slots)
        return joined

    async def read_cluster(self) -> ClusterView:
        known = self._view
        self._view = await self._read(lambda c: membership.cluster(c, known))
        return self._view

    async def take_over(self, fence: Fence, dead: NodeRecord | None, now_us: int = 0) -> bool:
        return await self._write(lambda c: membership.take_over(c, fence, dead, now_us))

    async def hand_over(self, fence: Fence, given: Sequence[HandOver]) -> int:
        return await self._write(lambda c: membership.hand_over(c, fence, given))

    async def begin_drain(self, fence: Fence) -> None:
        await self._write(lambda c: membership.begin_drain(c, fence))

    async def leave(self, fence: Fence) -> None:
        await self._write(lambda c: membership.leave(c, fence))

    async def get(self, instance_id: str) -> tuple[Instance, bytes | None] | None:
        return await self._read(lambda c: reads.get(c, self._app_id, instance_id))

    async def history(self, instance_id: str) -> tuple[Instance, Sequence[bytes]] | None:
        return await self._read(lambda c: reads.history(c, self._app_id, instance_id))

    async def page(self, query: ListQuery) -> Page:
        return await self._read(lambda c: reads.page(c, self._app_id, query))

    async def counts(self, query: ListQuery) -> dict[Status, int]:
        return await self._read(lambda c: reads.counts(c, self._app_id, query))

    async def children(self, key: int) -> list[Child]:
        return await self._read(lambda c: reads.children(c, key))

    async def unborn(self, key: int) -> str | None:
        return await self._read(lambda c: load.unborn(c, key))

    async def of_app(self, app_id: str) -> SqliteStore | None:
        other = SqliteStore(self._runner, app_id)
        return other if await self._read(lambda c: membership.slot_count(c, app_id)) else None

    async def _slots_counted(self) -> Batch:
        """For a fence won through another store object; the number of slots never changes."""
        slots = await self._read(lambda c: membership.slot_count(c, self._app_id))
        if slots:
            self._empty = Batch(self._app_id, slots)
        return self._empty or Batch(self._app_id, 1)

    async def _write(self, body: Callable[[sqlite3.Connection], T]) -> T:
        return await self._runner.write(lambda c: write_transaction(c, body))

    async def _read(self, body: Callable[[sqlite3.Connection], T]) -> T:
        return await self._runner.read(lambda c: read_transaction(c, body))

    def __repr__(self) -> str:
        return f"<SqliteStore {self._app_id!r} on {self._runner!r}>"
