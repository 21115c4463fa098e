"""Which node owns each slot, as an immutable, versioned snapshot. A value module."""

from __future__ import annotations

from dataclasses import dataclass

from perdure.actors.identity import slot_of


@dataclass(frozen=True, slots=True)
class SlotOwner:
    """The owner of one slot. `epoch` grows with every change of owner."""

    node_id: str
    generation: int
    epoch: int


@dataclass(frozen=True, slots=True)
class PlacementTable:
    """Who owns what. Nobody edits a table; a change is a new table with a higher version."""

    version: int
    owners: tuple[SlotOwner, ...]

    @property
    def slots(self) -> int:
        return len(self.owners)

    def slot_of(self, actor_id: str) -> int:
        return slot_of(actor_id, len(self.owners))

    def owner_of(self, actor_id: str) -> SlotOwner:
        """The owner of the slot that an actor id hashes to."""
        return self.owners[slot_of(actor_id, len(self.owners))]

    def owned_by(self, node_id: str, generation: int) -> dict[int, int]:
        """The slots of that membership of that node, with their epochs."""
        return {
            slot: owner.epoch
            for slot, owner in enumerate(self.owners)
            if owner.node_id == node_id and owner.generation == generation
        }
