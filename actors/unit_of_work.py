"""What one turn decides: everything it wants written, and what follows the commit. A value module.

A turn is *decide, commit, act*: a `Decision` is made without I/O, its `UnitOfWork` is committed
whole or not at all, and only then are replies given, messages sent and reminders armed.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any

from perdure.actors.identity import ActorRef


@dataclass(slots=True)
class Outgoing:
    """A durable message from a turn to another actor (or to the same one).

    It becomes an inbox row of `target` in the sender's transaction. `message_id` is deterministic,
    so that a repeat is a conflict and not a duplicate. `body` is what the row holds; `message` the
    same, decoded, which spares a local receiver the decoding.
    """

    target: ActorRef
    message_id: str
    body: bytes
    message: object
    app_id: str | None = None
    """The app of `target`, if it is not the sender's own."""


@dataclass(slots=True)
class UnitOfWork:
    """Everything that one turn wants written.

    `change` is the state change proper, whose form is agreed between an actor type and the store;
    the actor runtime does not look into it. `key` is the actor's integer key in the store.
    `reminders_set` holds (name, due in microseconds since the epoch).
    """

    ref: ActorRef
    slot: int
    epoch: int
    key: int
    change: object | None = None
    consumed: list[str] = field(default_factory=list)
    outbox: list[Outgoing] = field(default_factory=list)
    reminders_set: list[tuple[str, int]] = field(default_factory=list)
    reminders_cleared: list[str] = field(default_factory=list)
    size: int = 0
    """Payload bytes, for the committer's batch bound."""


@dataclass(slots=True)
class Decision:
    """What a turn came to. Without a `unit` nothing is committed and the rest follows at once."""

    unit: UnitOfWork | None = None
    replies: list[tuple[asyncio.Future[Any], object]] = field(default_factory=list)
    """What each call is answered; an exception instance is raised at the caller."""
    sends: list[tuple[ActorRef, object]] = field(default_factory=list)
    """Volatile messages, sent after the commit and sent again by recovery if they are lost."""
    announcement: object | None = None
    """Handed to the host's observer after the commit (who waits for a status hears of it)."""
    returned: list[Any] = field(default_factory=list)
    """Deliveries that this turn did not take; they go back to the mailbox, in order."""
    passivate: bool = False
    """Nothing more is to be expected soon: drop the activation after the commit."""
    reload: bool = False
    """Drop the activation, and have its messages taken by a new one that reads the store again."""
