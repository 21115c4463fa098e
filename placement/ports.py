"""What placement needs from outside. A value module."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from perdure.actors.identity import ActorRef
from perdure.actors.messages import Delivery
from perdure.actors.ports import Fence
from perdure.placement.membership import ClusterView, Membership, NodeIdentity, NodeRecord
from perdure.placement.table import PlacementTable

IsAlive = Callable[[NodeIdentity], bool]
"""Whether the process that joined as this identity still runs (False only if that is certain)."""


@dataclass(frozen=True, slots=True)
class Secret:
    """What a node brings along for the secret by which the nodes of a cluster know each other."""

    given: str | None = field(default=None, repr=False)
    """The secret by its own settings; None if the cluster's is the one kept in the store."""
    fresh: str = field(default="", repr=False)
    """A random text, to be the one that is kept if there is none yet."""


NO_SECRET = Secret()


@dataclass(frozen=True, slots=True)
class Joined:
    """The outcome of a join: this node's fence, and the cluster with this node in it.

    `unclean` are the former members that had died without leaving. `secret` is what the nodes of
    this cluster prove to each other that they belong to it.
    """

    fence: Fence
    view: ClusterView
    table: PlacementTable
    unclean: tuple[NodeRecord, ...]
    cluster_id: str
    secret: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class HandOver:
    """One slot that its owner gives to another member, which must be up."""

    slot: int
    epoch: int
    """The epoch under which the giver owns it."""
    to: Membership


class MembershipStore(Protocol):
    """Membership and slots, each operation one transaction."""

    async def join(
        self,
        identity: NodeIdentity,
        slots: int,
        is_alive: IsAlive,
        now_us: int = 0,
        *,
        presumed_dead: NodeRecord | None = None,
        secret: Secret = NO_SECRET,
    ) -> Joined:
        """Become a member with a new generation, and take over the slots that nobody living owns.

        In one transaction: members whose process is gone are marked dead, and `presumed_dead` if
        its heartbeat has not moved; this node's row is inserted or replaced with state `up` and a
        generation above any used before; every slot whose owner is no member goes to a member of
        its app, in even shares, epoch + 1. For each node found dead, `attempts` of its instances
        that were at work is raised by one: those with activities in flight, unread inbox rows, or a
        reminder due by `now_us`. The slots of an app are created at its first join, as many as
        other apps of the database have, else `slots`; they keep that number. Nothing is taken from
        the living: they hand over by themselves.

        Raises `NodeIdTaken` if a process that may be alive runs under this id, and
        `ClusterSecretWrong`.
        """
        ...

    async def read_cluster(self) -> ClusterView:
        """All nodes, and the tables of all apps, in one read transaction."""
        ...

    async def take_over(self, fence: Fence, dead: NodeRecord | None, now_us: int = 0) -> bool:
        """Give the slots of `dead`, and all others that no member owns, to members of their app.

        Only if the heartbeat of `dead` is still that of the record: else False, and nothing is
        changed. `attempts` is counted as by `join`. Without `dead`, False if nothing was unowned.
        Raises `NodeFenced` if this node is no member itself.
        """
        ...

    async def hand_over(self, fence: Fence, given: Sequence[HandOver]) -> int:
        """Give slots of one's own to others, epoch + 1; returns how many were given.

        One that is not owned at that epoch, or whose new owner is not up, stays as it is. Raises
        `NodeFenced`.
        """
        ...

    async def begin_drain(self, fence: Fence) -> None:
        """Mark this node `draining`: it gets no further slots. Raises `NodeFenced`."""
        ...

    async def leave(self, fence: Fence) -> None:
        """Mark this node `left`. Does nothing if the fence is no longer valid."""
        ...


class Peers(Protocol):
    """The way to other nodes. Messages are bytes; what they mean is `wire`'s to say."""

    async def call(self, node: NodeRecord, request: bytes, seconds: float) -> bytes:
        """Ask a node and wait for its answer.

        Raises `NodeUnreachable` if there is none within `seconds` or the connection breaks:
        then it is not known whether the request was carried out. Raises `MailboxFull` if so much
        waits for that node already that this was not even sent, and `Refused` for what is too
        large for any line.
        """
        ...

    def tell(self, node: NodeRecord, message: bytes) -> None:
        """Send without waiting. May be lost, and is dropped when the line is busy."""
        ...

    def admit(self, node_id: str, incarnation: str, secret: str) -> None:
        """Who this node is, and by what the others know it; before, nobody is let in."""
        ...

    def adopt(self, nodes: Sequence[NodeRecord]) -> None:
        """These are the other members now: connections to anybody else are closed."""
        ...


Answer = Callable[[bytes], None]
"""Takes the answer to a request; may be called at any later time, or never."""

Receive = Callable[[bytes, Answer | None], None]
"""Called with each message that another node sends; without an `Answer` it was a `tell`."""


class LocalHost(Protocol):
    """What the router needs of the host on this node."""

    def call(
        self, ref: ActorRef, message: object, *, is_new: bool = False, is_repeat: bool = False
    ) -> asyncio.Future[Any]: ...

    def deliver(self, ref: ActorRef, delivery: Delivery) -> None: ...

    def look(self, ref: ActorRef) -> None: ...


class MessageCodec(Protocol):
    """Messages to actors, and what they answer, as bytes between nodes."""

    def encode(self, message: Any) -> bytes: ...

    def decode(self, body: bytes) -> object:
        """Raises `Fault` for what this release cannot read."""
        ...

    def encode_answer(self, answer: object) -> bytes:
        """The answer of an actor, which may be an exception instance."""
        ...

    def decode_answer(self, body: bytes) -> object: ...
