"""Nodes of a cluster, as rows that everybody can read. A value module.

Nobody edits a `ClusterView`; whoever changes the rows raises the placement version, and every node
reads a new one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple

from perdure.placement.table import PlacementTable


class NodeState(StrEnum):
    JOINING = "joining"
    UP = "up"
    DRAINING = "draining"
    LEFT = "left"
    DEAD = "dead"


PRESENT = frozenset({NodeState.JOINING, NodeState.UP, NodeState.DRAINING})
"""The states of a node that may own slots and write."""


class Membership(NamedTuple):
    """One stay of a node in the cluster: a later stay of the same node is another one."""

    node_id: str
    generation: int


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeIdentity:
    """Who a node says it is when it joins.

    `incarnation` is random for every start of a process, so that two processes with one `node_id`
    are told apart. `pid`, `started` (the kernel's start time of the process, in ticks) and
    `boot_id` let a neighbour on the same machine see at once that a former node's process is gone.
    `address` is where its clients reach it, `peer_address` where other nodes do.
    """

    node_id: str
    incarnation: str
    app_id: str
    address: str
    pid: int
    started: int
    boot_id: str
    hosted_types: tuple[str, ...] = ()
    """What its code offers: `workflow:<name>` and `activity:<name>`."""
    peer_address: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeRecord:
    """One row of `nodes`."""

    identity: NodeIdentity
    generation: int
    heartbeat: int
    state: NodeState

    @property
    def node_id(self) -> str:
        return self.identity.node_id

    @property
    def app_id(self) -> str:
        return self.identity.app_id

    @property
    def membership(self) -> Membership:
        return Membership(self.identity.node_id, self.generation)

    @property
    def is_present(self) -> bool:
        return self.state in PRESENT


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterView:
    """Nodes and slots as they were in one read transaction."""

    version: int = 0
    nodes: tuple[NodeRecord, ...] = ()
    """In the order of their ids, those that have left or died included while their rows stand."""
    tables: Mapping[str, PlacementTable] = field(default_factory=dict)
    """By app id."""

    def present(self, app_id: str | None = None) -> list[NodeRecord]:
        """The nodes that are members now, of one app or of all."""
        return [n for n in self.nodes if n.is_present and app_id in (None, n.app_id)]

    def up(self, app_id: str) -> list[NodeRecord]:
        """The members of an app that take on slots and work."""
        return [n for n in self.nodes if n.state is NodeState.UP and n.app_id == app_id]

    def node(self, membership: Membership) -> NodeRecord | None:
        """The row of a present member, None if that stay of that node is over."""
        for record in self.nodes:
            if record.membership == membership and record.is_present:
                return record
        return None

    def table(self, app_id: str) -> PlacementTable | None:
        return self.tables.get(app_id)

    def missing_on(self, node: NodeRecord) -> list[str]:
        """What other nodes of a node's app host and it does not, in order, as `kind:name`."""
        there = {
            hosted
            for other in self.present(node.app_id)
            for hosted in other.identity.hosted_types
            if ":" in hosted
        }
        return sorted(there.difference(node.identity.hosted_types))
