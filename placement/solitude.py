"""The peers of a node that can have none. An edge module."""

from __future__ import annotations

from collections.abc import Sequence

from perdure.placement.errors import NodeUnreachable
from perdure.placement.membership import NodeRecord


class NoPeers:
    """Implements `Peers` where the database is this process's own."""

    async def call(self, node: NodeRecord, request: bytes, seconds: float) -> bytes:
        raise NodeUnreachable(f"this node has no line to others, and none to {node.node_id!r}")

    def tell(self, node: NodeRecord, message: bytes) -> None:
        pass

    def admit(self, node_id: str, incarnation: str, secret: str) -> None:
        pass

    def adopt(self, nodes: Sequence[NodeRecord]) -> None:
        pass
