"""What can go wrong with a node's place in the cluster. A value module."""

from __future__ import annotations

from perdure.actors.errors import Refused


class ClusterOccupied(Refused):
    """Another living node holds the database, and this release runs one node to a database."""


class NodeIdTaken(Refused):
    """A living process already runs under this node id."""
