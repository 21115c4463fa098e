"""The nodes of a cluster as a client sees them. A value module."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterNode:
    """One node that is present. What it did not answer in time about itself is None."""

    node_id: str
    pid: int
    address: str
    """Where its clients reach it."""
    peer_address: str
    """Where other nodes reach it."""
    app_id: str
    state: str
    """`joining`, `up` or `draining`."""
    generation: int
    slots: int
    """Slots that it owns, of the fixed number that instances are spread over."""
    activations: int | None = None
    """Instances that are live on it."""
    activities_running: int | None = None
    activities_waiting: int | None = None
    lease_age_seconds: float | None = None
    """How long ago it renewed its lease."""
    workflows: tuple[str, ...] = ()
    activities: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    """Names that other nodes of its app have and it lacks."""
    is_self: bool = False
    """Whether it is the node that has answered."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterStatus:
    """A cluster as the node that was asked sees it."""

    cluster_id: str | None = None
    version: int
    """Of the placement table."""
    lease_seconds: float
    nodes: tuple[ClusterNode, ...]
    missing_workers: tuple[str, ...] = ()
    """Code, as `workflow:ship`, that something waits for and no worker of the app runs."""


def cluster_of(fields: Mapping[str, Any]) -> ClusterStatus:
    """The cluster in the JSON of the answer."""
    return ClusterStatus(
        cluster_id=fields.get("clusterId"),
        version=int(fields["version"]),
        lease_seconds=float(fields["leaseSeconds"]),
        nodes=tuple(_node_of(node) for node in fields["nodes"]),
        missing_workers=tuple(fields.get("missingWorkers", ())),
    )


def _node_of(fields: Mapping[str, Any]) -> ClusterNode:
    return ClusterNode(
        node_id=str(fields["nodeId"]),
        pid=int(fields["pid"]),
        address=str(fields["address"]),
        peer_address=str(fields["peerAddress"]),
        app_id=str(fields["appId"]),
        state=str(fields["state"]),
        generation=int(fields["generation"]),
        slots=int(fields["slots"]),
        activations=fields.get("activations"),
        activities_running=fields.get("activitiesRunning"),
        activities_waiting=fields.get("activitiesWaiting"),
        lease_age_seconds=fields.get("leaseAgeSeconds"),
        workflows=tuple(fields.get("workflows", ())),
        activities=tuple(fields.get("activities", ())),
        missing=tuple(fields.get("missing", ())),
        is_self=bool(fields.get("self", False)),
    )
