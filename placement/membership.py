"""Nodes of a cluster, as rows that everybody can read. A value module."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class NodeState(StrEnum):
    JOINING = "joining"
    UP = "up"
    DRAINING = "draining"
    LEFT = "left"
    DEAD = "dead"


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeIdentity:
    """Who a node says it is when it joins.

    `incarnation` is random for every start of a process, so that two processes with one `node_id`
    are told apart. `pid`, `started` (the kernel's start time of the process, in ticks) and
    `boot_id` let a neighbour on the same machine see at once that a former node's process is gone.
    """

    node_id: str
    incarnation: str
    app_id: str
    address: str
    pid: int
    started: int
    boot_id: str
    hosted_types: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeRecord:
    """One row of `nodes`."""

    identity: NodeIdentity
    generation: int
    heartbeat: int
    state: NodeState
