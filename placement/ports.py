"""What placement needs from outside. A value module."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from perdure.actors.ports import Fence
from perdure.placement.membership import NodeIdentity, NodeRecord
from perdure.placement.table import PlacementTable

IsAlive = Callable[[NodeIdentity], bool]
"""Whether the process that joined as this identity still runs (False only if that is certain)."""


@dataclass(frozen=True, slots=True)
class Joined:
    """The outcome of a join: this node's fence, and the table with this node in it.

    `unclean` are the former members that had died without leaving.
    """

    fence: Fence
    table: PlacementTable
    unclean: tuple[NodeRecord, ...]


class MembershipStore(Protocol):
    """Membership and slots, each operation one transaction."""

    async def join(
        self, identity: NodeIdentity, slots: int, is_alive: IsAlive, now_us: int = 0
    ) -> Joined:
        """Become a member with a new generation and take over the slots of the dead.

        In one transaction: former nodes whose process is gone are marked dead; this node's row is
        inserted or replaced with state `up` and a generation above any used before; every slot that
        no living node owns gets this node as owner, epoch + 1; for each node found dead without
        having left, `attempts` of its instances that were at work is raised by one: those with
        activities in flight, unread inbox rows, or a reminder due by `now_us`. The slot table is
        created with `slots` rows at the first join and keeps that number afterwards.
        Raises `NodeIdTaken` or `ClusterOccupied` (a living node holds this database).
        """
        ...

    async def leave(self, fence: Fence) -> None:
        """Mark this node `left`. Does nothing if the fence is no longer valid."""
        ...

    async def read_table(self) -> PlacementTable:
        """The current table."""
        ...

    async def read_nodes(self) -> list[NodeRecord]:
        """All known nodes, in the order of their ids."""
        ...
