"""How many of something may be under way at a time, in all and by name. An owner module.

Used for turns and for activities (spec 2.17). Without limits it costs one look.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Limits:
    """None and a missing name stand for no limit."""

    total: int | None = None
    by_name: Mapping[str, int] = field(default_factory=dict)

    def share(self, rank: int, nodes: int, *, at_least: int = 0) -> Limits:
        """What one of several nodes may do, so that all together keep the limits.

        The shares differ by at most one, and the names begin with different nodes, so that limits
        of one do not all fall to the same node. With `at_least` 1 nobody gets nothing: for what
        cannot go elsewhere, as in Dapr.
        """
        if nodes <= 1:
            return self
        by_name = {
            name: max(part_of(limit, (rank + offset) % nodes, nodes), at_least)
            for offset, (name, limit) in enumerate(sorted(self.by_name.items()))
        }
        total = None if self.total is None else max(part_of(self.total, rank, nodes), at_least)
        return Limits(total, by_name)

    def within(self, total: int | None) -> Limits:
        """These, and no more than `total` in all."""
        if total is None or (self.total is not None and self.total <= total):
            return self
        return Limits(total, self.by_name)


def part_of(limit: int, rank: int, nodes: int) -> int:
    """What one of several nodes gets of a limit, so that the parts differ by at most one."""
    return limit // nodes + (rank < limit % nodes)


class Gate:
    """Counts who is inside. `enter` and `leave` come in pairs, with the same name."""

    __slots__ = ("_by_name", "_inside", "_total", "count", "is_open")

    def __init__(self, limits: Limits | None = None) -> None:
        self._inside: dict[str, int] = {}
        self.count = 0
        self.set(limits or Limits())

    def set(self, limits: Limits) -> None:
        """Who is inside stays, even if they are more now than may enter."""
        self._total = limits.total
        self._by_name = limits.by_name
        self.is_open = limits.total is None and not limits.by_name
        """Nobody is ever kept out: then nobody need be counted."""

    def admits(self, name: str) -> bool:
        """Whether one more of that name may enter now."""
        if self._total is not None and self.count >= self._total:
            return False
        limit = self._by_name.get(name)
        return limit is None or self._inside.get(name, 0) < limit

    def room(self) -> int | None:
        """How many more may enter, names aside; None without a limit."""
        return None if self._total is None else max(self._total - self.count, 0)

    def enter(self, name: str) -> bool:
        """Count one in; False, and nothing is counted, if it may not enter."""
        if not self.admits(name):
            return False
        self.count += 1
        if name:
            self._inside[name] = self._inside.get(name, 0) + 1
        return True

    def leave(self, name: str) -> None:
        self.count -= 1
        if name:
            self._inside[name] -= 1
            if not self._inside[name]:
                del self._inside[name]

    def __repr__(self) -> str:
        return f"<Gate {self.count} inside, at most {self._total}, by name {self._by_name}>"
