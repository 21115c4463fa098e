"""How much room other nodes have for activities, as far as is known here. An owner module.

They tell it now and then; in between it is reckoned from what they are given, and answer.
"""

from __future__ import annotations

from collections.abc import Container
from typing import NamedTuple

from perdure.placement.membership import Membership


class Room(NamedTuple):
    """How many activities could begin at once."""

    total: int
    """Of functions of the node itself."""
    in_threads: int
    """So many of them may be plain functions, which want a thread."""
    at_workers: int = 0
    """Besides, of functions of the workers that are connected to it."""


_NONE = Room(0, 0)


def least(count: int, most: int | None) -> int:
    """No more than `most`, if that is a limit."""
    return count if most is None else min(count, most)


class Rooms:
    """Owned by the dispatcher."""

    def __init__(self) -> None:
        self._of: dict[Membership, Room] = {}
        self._full: dict[Membership, set[str]] = {}
        """Names that their workers took no more of, whatever room they have for others."""

    def of(self, node: Membership) -> Room:
        return self._of.get(node, _NONE)

    def told(self, node: Membership, room: Room) -> None:
        """A node has said how much it has."""
        self._of[node] = room
        self._full.pop(node, None)

    def took(self, node: Membership, given: Room) -> None:
        """So many activities were given to a node."""
        room = self.of(node)
        self._of[node] = Room(*[had - gone for had, gone in zip(room, given, strict=True)])

    def ended(self, node: Membership, one: Room) -> None:
        """Whoever has ended one can begin another."""
        if node in self._of:
            self.took(node, Room(*[-count for count in one]))

    def refused(self, node: Membership) -> None:
        """A node has taken something not: others come first, also if nobody tells of room."""
        least = min(0, *(room.total for room in self._of.values()))
        self._of[node] = Room(least - 1, 0, -1)

    def full(self, node: Membership, name: str) -> None:
        """A node has taken nothing of one name, which its workers have."""
        self._full.setdefault(node, set()).add(name)

    def at_workers(self, node: Membership, name: str) -> int:
        """How many more of a name to give it, for its workers."""
        return 0 if self.is_full(node, name) else self.of(node).at_workers

    def is_full(self, node: Membership, name: str) -> bool:
        return bool(self._full) and name in self._full.get(node, ())

    def keep(self, present: Container[Membership]) -> None:
        """Forget all others."""
        self._of = {node: room for node, room in self._of.items() if node in present}
        self._full = {node: names for node, names in self._full.items() if node in present}
