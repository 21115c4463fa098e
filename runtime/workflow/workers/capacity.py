"""What a worker takes at a time, and of what. A value module."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple


class Code(NamedTuple):
    """What a worker has, or has not."""

    is_turn: bool
    """A workflow's; else an activity's."""
    name: str

    def __str__(self) -> str:
        return f"{'workflow' if self.is_turn else 'activity'}:{self.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Capacity:
    """As far as the worker says, or is known to say nothing about."""

    turns: int = 100
    activities: int = 1000
    together: int = 1000
    turn_names: frozenset[str] | None = None
    """The only ones that it has; None if it does not say."""
    activity_names: frozenset[str] | None = None
    keeps_history: bool = False
    """It remembers what it was sent of an instance: what follows is enough."""
    receives: Callable[[int], bool] = lambda size: True
    """Whether it can be sent an item of so many bytes, as far as is known."""

    def most(self, is_turn: bool) -> int:
        """How many of one kind at a time: none if it has no name of that kind."""
        names, count = (
            (self.turn_names, self.turns) if is_turn else (self.activity_names, self.activities)
        )
        return count if names is None or names else 0

    def names(self, code: Code) -> bool:
        """Whether a name is among its own; so is every name for all who do not say."""
        names = self.turn_names if code.is_turn else self.activity_names
        return names is None or code.name in names
