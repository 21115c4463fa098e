"""Who an actor is: its reference and the slot that it hashes to. A value module."""

from __future__ import annotations

import zlib
from typing import NamedTuple


class ActorRef(NamedTuple):
    """The address of a virtual actor. It exists whether or not an activation is live.

    A named tuple, because references are hashed several times in every turn.
    """

    type: str
    id: str

    def __str__(self) -> str:
        return f"{self.type}/{self.id}"


def slot_of(actor_id: str, slots: int) -> int:
    """The hash bucket of an actor, from its id alone.

    Equal ids of different types therefore live on the same node, as in Dapr's placement. CRC-32
    rather than `hash`: the answer is stored, so it must be the same in every process and release.
    """
    return zlib.crc32(actor_id.encode()) % slots
