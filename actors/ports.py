"""What the actor runtime needs from outside: the store, the clock, other actors. A value module."""

from __future__ import annotations

import logging
import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from perdure.actors.identity import ActorRef
from perdure.actors.messages import Delivery
from perdure.actors.unit_of_work import Decision, UnitOfWork


class Env(Protocol):
    """Everything that could differ between two runs of the same code.

    Durations are not here: they are `asyncio`'s own, which go through the running loop.
    """

    @property
    def random(self) -> random.Random: ...

    @property
    def log(self) -> logging.Logger: ...

    def now_us(self) -> int:
        """Wall clock, in microseconds since the epoch, UTC."""
        ...

    def new_id(self) -> str:
        """A fresh unique id: a version 4 UUID in its 36 character form."""
        ...


@dataclass(frozen=True, slots=True)
class Fence:
    """Under which membership a node commits: the fencing token of its every transaction."""

    node_id: str
    incarnation: str
    generation: int


@dataclass(slots=True)
class InboxRow:
    """A durable message that no turn has consumed yet."""

    message_id: str
    body: bytes


@dataclass(slots=True)
class Snapshot:
    """What the store knows of an actor, read in one read transaction.

    `state` is in the form that the actor type and the store have agreed on; None if it never
    existed.
    """

    ref: ActorRef
    state: Any | None = None
    inbox: list[InboxRow] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class DueReminder:
    """A stored wake-up: `name` of `ref` falls due at `due_us`."""

    ref: ActorRef
    name: str
    due_us: int


class Store(Protocol):
    """The durable side of the actors of one app. Implementations pass `tests/contract`."""

    async def load(self, refs: Sequence[ActorRef]) -> Sequence[Snapshot]:
        """Read several actors, each whole, in one read transaction; answers in the same order."""
        ...

    async def load_inboxes(self, refs: Sequence[ActorRef]) -> Sequence[Sequence[InboxRow]]:
        """Read the inboxes of several actors in one read transaction, in the same order."""
        ...

    async def commit(self, fence: Fence, units: Sequence[UnitOfWork]) -> Sequence[Exception | None]:
        """Commit many turns in one transaction under `fence`; also counts as the node's heartbeat.

        Returns one outcome per unit: None if it is durable, else the error of that unit alone
        (`TurnConflict`, `NotOwner` if its slot is not this node's at that epoch, or the database's
        own error if that unit cannot be written). With no unit it is a heartbeat. Raises
        `NodeFenced` if the node is not a member any more (nothing written), `StoreUnavailable` if
        the database cannot write at present (nothing written), `CommitUnknown` if it cannot be told
        whether the transaction took effect, and `StoreDamaged`.
        """
        ...

    async def scan_reminders(
        self, fence: Fence, before_us: int, limit: int
    ) -> Sequence[DueReminder]:
        """The reminders that fall due before `before_us`, earliest first, at most `limit`.

        Like the other scans it finds only actors in slots that `fence` owns.
        """
        ...

    async def scan_work(
        self, fence: Fence, after: int, limit: int
    ) -> tuple[Sequence[ActorRef], int]:
        """Actors with unfinished work whose key is above `after`, in key order, at most `limit`.

        Returns them with the key to go on from, which is -1 after the last page.
        """
        ...

    async def scan_stalled(
        self, fence: Fence, after: int, limit: int
    ) -> tuple[Sequence[ActorRef], int]:
        """Actors that could not go on under the code of former owners; like `scan_work`."""
        ...

    async def scan_inbox(
        self, fence: Fence, after: int, limit: int
    ) -> tuple[Sequence[ActorRef], int]:
        """Actors with unread inbox rows; paged like `scan_work`, by the row's number.

        Not those that are stalled: they leave their inbox unread until they are not. Nor those that
        are finished and wait for late answers: they keep them there until the last one has come.
        """
        ...

    async def reserve_keys(self, count: int) -> range:
        """Take a block of actor keys for this node; no other call ever gets one of them."""
        ...


class Actor(Protocol):
    """The live state of one actor, and its decisions."""

    def decide(self, batch: Sequence[Delivery], now_us: int) -> Decision:
        """One turn: pure, synchronous, no I/O. The activation is discarded if its commit fails."""
        ...

    def name_of_turn(self, batch: Sequence[Delivery]) -> str:
        """Under which name a turn over `batch` counts, where turns are limited by name."""
        ...

    def close(self) -> None:
        """The activation ends: release what the live state holds. Never writes."""
        ...


class ActorType(Protocol):
    """What the host needs to know of one type of actors with durable state."""

    def activate(self, snapshot: Snapshot, slot: int, epoch: int) -> Actor:
        """Build the live state. Never raises for bad data: the actor then answers for itself."""
        ...

    def decode(self, row: InboxRow) -> object:
        """The message of an inbox row. Raises `Fault` if it cannot be read."""
        ...


class Outbound(Protocol):
    """The way to other actors, wherever they live (the router)."""

    def tell(self, ref: ActorRef, message: object) -> None:
        """Send without waiting. May be lost; recovery repeats what matters."""
        ...

    def hint(self, outgoing: Any) -> None:
        """A durable message for `outgoing.target` was committed: it may look now."""
        ...
