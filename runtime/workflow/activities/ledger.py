"""Activities of this node's workflows that are not in the hands of its own runner. An owner module.

Which they are, how far each has come, and with whom. Owned by the dispatcher.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, auto

from perdure.placement.membership import Membership
from perdure.runtime.workflow.activities.queue import Key
from perdure.runtime.workflow.messages import RunActivity


class Phase(Enum):
    SOUGHT = auto()
    """Others are being asked whether they are at it."""
    SENT = auto()
    TAKEN = auto()
    """Its node has said that it has it."""
    HOMELESS = auto()
    """No node of its app lives; or none that has its code, but one had it a moment ago."""


@dataclass(slots=True)
class Held:
    """One activity, and which node it was given to."""

    message: RunActivity
    phase: Phase
    node: Membership | None
    until: float
    """How long it waits for a home."""


class ActivityLedger:
    """Each call of an activity stands here at most once."""

    def __init__(self) -> None:
        self._held: dict[Key, Held] = {}
        self._busy: Counter[str] = Counter()
        """How many activities of an instance stand here."""

    def hold(
        self,
        message: RunActivity,
        phase: Phase,
        node: Membership | None = None,
        *,
        until: float = math.inf,
    ) -> None:
        self._held[message.key_of_call] = Held(message, phase, node, until)
        self._busy[message.instance_id] += 1

    def release(self, held: Held) -> None:
        """It is in other hands, or has come to its end."""
        del self._held[held.message.key_of_call]
        instance_id = held.message.instance_id
        self._busy[instance_id] -= 1
        if not self._busy[instance_id]:
            del self._busy[instance_id]

    def get(self, key: Key) -> Held | None:
        return self._held.get(key)

    def find(self, message: RunActivity, phase: Phase, node: Membership | None) -> Held | None:
        """What stands here of a message, if it is still so far and still there."""
        held = self._held.get(message.key_of_call)
        is_so = held is not None and held.phase is phase and held.node == node
        return held if is_so else None

    def all(self) -> list[Held]:
        return list(self._held.values())

    def waits_too_long(self, now: float) -> list[Held]:
        """What finds no home."""
        return [held for held in self._held.values() if held.until <= now]

    def spare(self, node: Membership, limits: Mapping[str, int]) -> dict[str, int]:
        """How many more of each limited name a node had better get."""
        spare = Counter(limits)
        if spare:
            given = (held.message.name for held in self._held.values() if held.node == node)
            spare.subtract(name for name in given if name in spare)
        return spare

    def taken_by(self, node: Membership) -> dict[str, list[Key]]:
        """What a node has said that it has, by instance."""
        taken: dict[str, list[Key]] = {}
        for key, held in self._held.items():
            if held.node == node and held.phase is Phase.TAKEN:
                taken.setdefault(held.message.instance_id, []).append(key)
        return taken

    def works_for(self, instance_id: str) -> bool:
        return instance_id in self._busy

    def __contains__(self, key: Key) -> bool:
        return key in self._held

    def __len__(self) -> int:
        return len(self._held)
