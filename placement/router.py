"""Messages to wherever their actor lives. An owner module: it holds the current table.

The callers name an actor, never a node. A slot of this node's is served by the local host; what
belongs to another node goes over `Peers`.
"""

from __future__ import annotations

import asyncio
from typing import Any, Protocol

from perdure.actors.errors import NotOwner, Retryable
from perdure.actors.identity import ActorRef
from perdure.actors.messages import Delivery
from perdure.actors.ports import Env, Fence
from perdure.actors.unit_of_work import Outgoing
from perdure.placement.table import PlacementTable


class LocalHost(Protocol):
    """What the router needs of the host on this node."""

    def call(
        self, ref: ActorRef, message: object, *, is_new: bool = False
    ) -> asyncio.Future[Any]: ...

    def deliver(self, ref: ActorRef, delivery: Delivery) -> None: ...


class StatelessTarget(Protocol):
    """Receives the messages of a type of actors without durable state, in place of a host."""

    def receive(self, ref: ActorRef, message: object) -> None: ...


class Router:
    """Owns the reference to the current placement table, which is swapped whole."""

    def __init__(self, host: LocalHost, fence: Fence, env: Env) -> None:
        self._host = host
        self._fence = fence
        self._env = env
        self._table: PlacementTable | None = None
        self._stateless: dict[str, StatelessTarget] = {}

    def adopt(self, table: PlacementTable) -> None:
        """Route by this table from now on, unless a newer one is known already."""
        if self._table is None or table.version > self._table.version:
            self._table = table

    def serve(self, type_name: str, target: StatelessTarget) -> None:
        """Hand the messages for actors of this type to `target`."""
        self._stateless[type_name] = target

    def owned(self, actor_id: str) -> tuple[int, int] | None:
        """(slot, epoch) of an actor id if this node owns its slot, else None."""
        table = self._table
        if table is None:
            return None
        slot = table.slot_of(actor_id)
        epoch = table.epoch_if_owned(slot, self._fence.node_id, self._fence.generation)
        return None if epoch is None else (slot, epoch)

    async def call(self, ref: ActorRef, message: object, *, is_new: bool = False) -> Any:
        """Send a message and wait for the answer, which comes after the commit of its turn.

        `is_new`: nothing is stored of the actor, because its id has just been made.

        Raises what the actor answered with, `MailboxFull` if it has too much to do, `NotOwner` if
        its slot has no owner that this node can reach.
        """
        if self.owned(ref.id) is None:
            raise NotOwner(f"no node that this one can reach owns {ref}")
        return await self._host.call(ref, message, is_new=is_new)

    def tell(self, ref: ActorRef, message: object) -> None:
        """Send without waiting. A message that cannot be taken now is left to recovery."""
        target = self._stateless.get(ref.type)
        if target is not None:
            target.receive(ref, message)
            return
        self._offer(ref, Delivery(message))

    def hint(self, outgoing: Outgoing) -> None:
        """Tell an actor that a durable message for it was committed."""
        self._offer(outgoing.target, Delivery(outgoing.message, None, outgoing.message_id))

    def _offer(self, ref: ActorRef, delivery: Delivery) -> None:
        try:
            self._host.deliver(ref, delivery)
        except Retryable as error:
            self._env.log.debug(
                "a message is left to recovery",
                extra={"event": "message_deferred", "actor": str(ref), "reason": str(error)},
            )

    def __repr__(self) -> str:
        version = None if self._table is None else self._table.version
        return f"<Router {self._fence.node_id} table={version}>"
