"""How many turns the workers of other nodes could begin, as far as is known here. An owner module.

They tell it now and then; in between it is reckoned from what they are given.
"""

from __future__ import annotations

from collections.abc import Container

from perdure.placement.membership import Membership


class TurnRooms:
    """Owned by the dispatcher of turns."""

    def __init__(self) -> None:
        self._of: dict[Membership, tuple[int, int]] = {}
        """Turns that could begin there, and how many workers they have."""
        self._full: dict[Membership, set[str]] = {}
        """Workflows that they took no more of, whatever room they have for others."""

    @property
    def workers(self) -> int:
        """How many workers all of them have."""
        return sum(count for _, count in self._of.values())

    def told(self, node: Membership, room: int, workers: int) -> bool:
        """A node has said how much it has. Whether it has more workers than before."""
        _, before = self._of.get(node, (0, 0))
        self._of[node] = (room, workers)
        self._full.pop(node, None)
        return workers > before

    def took(self, node: Membership) -> None:
        """A turn was given to a node."""
        room, workers = self._of[node]
        self._of[node] = (room - 1, workers)

    def unasked(self, node: Membership) -> None:
        """A turn was not given to it after all: it has as much room as before."""
        room, workers = self._of.get(node, (0, 0))
        self._of[node] = (room + 1, workers)

    def refused(self, node: Membership, workflow: str) -> None:
        """A node has not taken a turn: no more of that workflow until it tells of room again."""
        self._full.setdefault(node, set()).add(workflow)

    def silent(self, node: Membership) -> None:
        """A node did not answer: nothing more until it tells of room again."""
        _, workers = self._of.get(node, (0, 0))
        self._of[node] = (0, workers)

    def with_room(self, workflow: str) -> list[Membership]:
        """Who could take a turn of a workflow, whoever has most room first."""
        roomy = [
            node
            for node, (room, _) in self._of.items()
            if room > 0 and workflow not in self._full.get(node, ())
        ]
        return sorted(roomy, key=lambda node: -self._of[node][0])

    def keep(self, present: Container[Membership]) -> None:
        """Forget all others."""
        self._of = {node: told for node, told in self._of.items() if node in present}
        self._full = {node: names for node, names in self._full.items() if node in present}
