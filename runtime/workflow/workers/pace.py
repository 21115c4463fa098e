"""How soon workers answer, and how long a commit may wait for that. An owner module.

Answers of workers come one by one, and a transaction for each costs more than all else that the
node does for it. Where many are out, the next one is near: a commit waits for it, though only a
small part of the time that every answer takes anyway. One chain alone waits for nothing.
"""

from __future__ import annotations

_SHARE = 0.1
"""Of the time that workers take for an item: so much later at most is what they have answered."""
_SECONDS_MAX = 0.005
_SECONDS_MIN = 0.001
"""Timers are not finer."""
_WEIGHT = 1 / 32
"""Of the latest answer in the mean."""


class Pace:
    """Owned by the pool."""

    def __init__(self) -> None:
        self._seconds = 0.0
        """The mean of the time that an item is out."""

    def answered(self, seconds: float) -> None:
        """An item was out for so long."""
        self._seconds += (seconds - self._seconds) * _WEIGHT

    def patience(self, out: int) -> float:
        """How many seconds to wait for one more answer, if `out` are to come; 0 for not at all."""
        seconds = min(_SHARE * self._seconds, _SECONDS_MAX)
        # So many come within that time: what is out, by the time that each of it takes.
        is_near = out * seconds >= self._seconds
        return seconds if is_near and seconds >= _SECONDS_MIN else 0.0
