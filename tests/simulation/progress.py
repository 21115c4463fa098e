"""Once the faults have stopped, everything comes to its end, in good time. An edge module."""

from __future__ import annotations

import re
from collections.abc import Callable

from tests.simulation.lives import Life
from tests.simulation.shadow import Shadow
from tests.simulation.world import World

PATIENCE = 180.0
"""Simulated seconds after the last fault in which nearly everything comes to its end."""
STRETCH = 60.0
"""After that: in so many seconds, every instance that has not finished takes a turn."""
STRETCHES_MAX = 11
"""So much time has the longest program."""


def to_its_end(world: World, shadow: Shadow, calm: float, is_done: Callable[[], bool]) -> None:
    """Run a world in which faults happen until `calm`. Raises if something stands still then."""
    until = calm + PATIENCE
    world.run(until, is_done)
    for _ in range(STRETCHES_MAX):
        if is_done():
            return
        before = _unfinished(shadow)
        until += STRETCH
        world.run(until, is_done)
        if before & _unfinished(shadow):
            break
    if not is_done():
        left = [life for life in shadow.current.values() if not life.status.is_terminal]
        states = [f"{life.instance_id} {life.status.name}" for life in left]
        raise world.violated(f"I14: not done after {until - calm:.0f} s: {states}")


def _unfinished(shadow: Shadow) -> set[tuple[object, ...]]:
    """Every family of instances of which one has not finished, and how far all of it is."""
    families: dict[str, list[Life]] = {}
    for life in shadow.current.values():
        families.setdefault(re.split("[.:]", life.instance_id)[0], []).append(life)
    return {
        (root, *[(it.key, it.execution, len(it.run.turns)) for it in lives if it.runs])
        for root, lives in families.items()
        if not all(it.status.is_terminal for it in lives)
    }
