"""One live actor: its mailbox, its state and where it is in its life. A value module.

The host owns and moves activations; they have no task of their own, because a turn is synchronous
and the waiting is done by the loader and the committer.
"""

from __future__ import annotations

from enum import Enum, auto

from perdure.actors.identity import ActorRef
from perdure.actors.mailbox import Mailbox
from perdure.actors.messages import Delivery
from perdure.actors.ports import Actor


class ActivationState(Enum):
    LOADING = auto()
    """The store is being read; messages gather."""
    IDLE = auto()
    READY = auto()
    """Messages wait and the next free moment is this actor's."""
    COMMITTING = auto()
    """A turn is decided and on its way into the store; no other turn may begin."""
    CLOSED = auto()


class Activation:
    """An actor that is in memory on this node. At most one turn is under way at any time."""

    __slots__ = (
        "actor",
        "consumed_meanwhile",
        "epoch",
        "gated_as",
        "in_turn",
        "is_leaving",
        "last_used",
        "look",
        "look_again",
        "mailbox",
        "ref",
        "slot",
        "state",
    )

    def __init__(self, ref: ActorRef, slot: int, epoch: int, mailbox: Mailbox) -> None:
        self.ref = ref
        self.slot = slot
        self.epoch = epoch
        self.mailbox = mailbox
        self.actor: Actor | None = None
        self.state = ActivationState.LOADING
        self.in_turn: list[Delivery] = []
        """The messages of the turn under way, to be taken again if it cannot be committed."""
        self.last_used = 0.0
        self.is_leaving = False
        """The turn that is being committed is its last one here."""
        self.gated_as: str | None = None
        """The name under which its turn was counted at the gate."""
        self.look = False
        """Its inbox is being read while it is live."""
        self.look_again = False
        self.consumed_meanwhile: set[str] = set()
        """Inbox rows that its turns have consumed since that read began."""

    @property
    def may_go(self) -> bool:
        """Whether nothing is lost if it is dropped now and loaded when it is needed."""
        return self.state is ActivationState.IDLE

    def __repr__(self) -> str:
        return f"<Activation {self.ref} {self.state.name} waiting={len(self.mailbox)}>"
