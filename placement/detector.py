"""Which nodes are dead, as one observer sees it. A value module.

A node lives as long as its heartbeat moves. How long it has stood still is counted on the
observer's own monotonic clock, between its own successful reads; wall clocks decide nothing. An
observer that was itself asleep, or could not read or write, has seen nothing in that time and
declares nobody dead for it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from perdure.placement.membership import Membership, NodeRecord


@dataclass(slots=True)
class _Seen:
    incarnation: str
    heartbeat: int
    since: float


class Detector:
    """Owned by the agent, which tells it of every read of the rows."""

    def __init__(self, lease_seconds: float) -> None:
        self._lease = lease_seconds
        self._gap = lease_seconds / 3
        self._seen: dict[Membership, _Seen] = {}
        self._looked_at: float | None = None

    def look(self, now: float, wrote_at: float, nodes: Iterable[NodeRecord]) -> list[NodeRecord]:
        """Take note of the rows that were read at `now`; returns those of the dead.

        `wrote_at` is when the observer's own last heartbeat was written. While it cannot write,
        others cannot either, and their silence means nothing.
        """
        was_away = self._looked_at is None or now - self._looked_at > self._gap
        is_mute = now - wrote_at > self._gap
        self._looked_at = now
        before, self._seen = self._seen, {}
        dead = []
        for node in nodes:
            if not node.is_present:
                continue
            known = before.get(node.membership)
            moved = known is None or (known.incarnation, known.heartbeat) != (
                node.identity.incarnation,
                node.heartbeat,
            )
            if known is None or moved or was_away or is_mute:
                known = _Seen(node.identity.incarnation, node.heartbeat, now)
            self._seen[node.membership] = known
            if now - known.since >= self._lease:
                dead.append(node)
        return dead

    def silence_of(self, node: NodeRecord, now: float) -> float:
        """Seconds for which a node's heartbeat has not moved, as far as was seen."""
        known = self._seen.get(node.membership)
        return 0.0 if known is None else now - known.since
