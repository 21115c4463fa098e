"""The activations of one node: who is in memory, and how messages get to them. An owner module.

`deliver` puts a message into a mailbox, activating its actor if need be; `Turns` does the rest.
A slot that goes to another node is left by `move_out`: its activations end here before their
successors can begin there.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from perdure.actors.activation import Activation, ActivationState
from perdure.actors.committer import Committer
from perdure.actors.errors import (
    ActorTypeUnknown,
    Fault,
    MailboxFull,
    NodeStopping,
    NotOwner,
    Retryable,
)
from perdure.actors.gate import Gate
from perdure.actors.identity import ActorRef
from perdure.actors.live_actors import LiveActors
from perdure.actors.loader import Loader
from perdure.actors.mailbox import Mailbox
from perdure.actors.messages import Delivery, Quarantine
from perdure.actors.ports import ActorType, Env, InboxRow, Outbound, Snapshot
from perdure.actors.redelivery import after_failure
from perdure.actors.reminders import Reminders
from perdure.actors.turns import Observer, TurnConfig, TurnParts, Turns

OwnedSlot = Callable[[str], tuple[int, int] | None]
"""Actor id → (slot, epoch) if this node owns the actor's slot now, else None."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HostConfig:
    mailbox_limit: int = 1000
    calls_max: int = 5_000
    """Calls that wait for an answer on this node, over all actors."""
    live_actors_max: int = 4096
    idle_seconds: float = 60.0
    turn_messages_max: int = 256
    turn_attempts_max: int = 5
    """Turns of one message that may fail for an internal reason before the actor is quarantined."""
    block_warn_seconds: float = 0.5


@dataclass(frozen=True, slots=True)
class HostParts:
    """The collaborators of a host."""

    env: Env
    committer: Committer
    loader: Loader
    reminders: Reminders
    gate: Gate


class ActorHost:
    """Owns the activations. All methods belong to the node's event loop."""

    def __init__(self, parts: HostParts, owned: OwnedSlot, config: HostConfig) -> None:
        self._loop = asyncio.get_running_loop()
        self._committer = parts.committer
        self._loader = parts.loader
        self._owned = owned
        self._config = config
        self._types: dict[str, ActorType] = {}
        self._actors = LiveActors(config.live_actors_max)
        turn_parts = TurnParts(
            parts.env, parts.committer, parts.reminders, self._actors, parts.gate
        )
        limits = TurnConfig(
            messages_max=config.turn_messages_max, block_warn_seconds=config.block_warn_seconds
        )
        self.turns = Turns(turn_parts, self, limits)
        self._calls = 0
        self._stopping = False
        self._leaving: set[ActorRef] = set()
        self._has_left = asyncio.Event()

    # ---- wiring

    def register(self, type_name: str, actor_type: ActorType) -> None:
        """Host actors of this type."""
        self._types[type_name] = actor_type

    def connect(self, outbound: Outbound, observer: Observer) -> None:
        """Where turns send messages to, and who hears their announcements."""
        self.turns.connect(outbound, observer)

    # ---- messages in

    def deliver(self, ref: ActorRef, delivery: Delivery, *, is_new: bool = False) -> None:
        """Put a message into the mailbox of a local actor, activating it if need be.

        If the actor `is_new` it is not looked for in the store. That saves every start of a
        workflow a read; and were it wrong, its commit would be refused and the actor loaded then.

        Raises `MailboxFull`, `NodeStopping`, `NotOwner`, `ActorTypeUnknown`, or why the store
        cannot be written; then nothing was queued.
        """
        if delivery.reply is not None:
            if self._calls >= self._config.calls_max:
                raise MailboxFull(f"{self._calls} calls are waiting on this node")
            if self._committer.degraded is not None:
                raise self._committer.degraded
        activation = self._actors.get(ref) or self._activate(ref, is_new=is_new)
        if activation.is_leaving:
            raise NotOwner(f"{ref} is on its way to another node")
        # Of a durable message nobody can be refused: it stands in the inbox, and to find it there
        # again would take a scan and another load.
        activation.mailbox.post(delivery, bounded=delivery.message_id is None)
        if delivery.reply is not None:
            self._calls += 1
            delivery.reply.add_done_callback(self._answered)
        if activation.state is ActivationState.IDLE:
            self.turns.make_ready(activation)

    def call(
        self, ref: ActorRef, message: object, *, is_new: bool = False, is_repeat: bool = False
    ) -> asyncio.Future[object]:
        """Deliver a call; the future settles after the commit of the turn that takes it.

        `is_repeat`: the same call was made before and may have been carried out.
        """
        reply: asyncio.Future[object] = self._loop.create_future()
        delivery = Delivery(message, reply)
        delivery.attempts = int(is_repeat)
        self.deliver(ref, delivery, is_new=is_new)
        return reply

    def look(self, ref: ActorRef) -> None:
        """There may be new messages in an actor's inbox: have them read and taken.

        Raises what `deliver` raises.
        """
        activation = self._actors.get(ref)
        if activation is None:
            self._activate(ref)
        elif activation.look or activation.state is ActivationState.LOADING:
            activation.look_again = True
        else:
            self._begin_look(activation)

    def is_live(self, ref: ActorRef) -> bool:
        """Whether an activation of this actor is in memory."""
        return self._actors.get(ref) is not None

    def release(self, ref: ActorRef) -> bool:
        """Drop an idle activation, so that the next message loads it afresh; False if busy."""
        return self._actors.release(ref)

    # ---- life

    async def calm(self) -> None:
        """Wait until no activation loads, takes a turn or has messages waiting."""
        await self._actors.calm()

    @property
    def live(self) -> int:
        return len(self._actors)

    def stop_taking(self) -> None:
        """Activate nobody any more; what is live still takes its messages."""
        self._stopping = True

    async def run(self) -> None:
        """Deactivate idle actors until cancelled; raises what broke the turns' machinery."""
        broken = self.turns.broken
        while True:
            done, _ = await asyncio.wait([broken], timeout=max(self._config.idle_seconds / 4, 0.1))
            if done:
                broken.result()
            self._actors.discard_unused(self._loop.time() - self._config.idle_seconds)

    def close(self, error: Retryable | None = None) -> None:
        """Discard every activation; waiting calls are refused, with `error` if it is given."""
        self._stopping = True
        for activation in self._actors.all():
            self._evict(activation, error or NodeStopping("this node is shutting down"))

    # ---- slots come and go

    async def vacate(self, slots: Iterable[int]) -> None:
        """End every activation in these slots; waits for turns that are being committed.

        The slots must not count as owned any more. What waits is refused (`NotOwner`) or stands in
        the inbox: it goes to the next owner.
        """
        left = frozenset(slots)
        for activation in self._actors.all():
            if activation.slot not in left:
                continue
            if activation.state is ActivationState.COMMITTING:
                activation.is_leaving = True
                self._leaving.add(activation.ref)
            else:
                self.move_out(activation)
        while self._leaving:
            self._has_left.clear()
            await self._has_left.wait()

    def drop_strangers(self) -> None:
        """End the activations of slots that this node owns no more, or under another epoch."""
        for activation in self._actors.all():
            if self._owned(activation.ref.id) == (activation.slot, activation.epoch):
                continue
            if activation.state is ActivationState.COMMITTING:
                activation.is_leaving = True
            else:
                self.move_out(activation)

    def move_out(self, activation: Activation) -> None:
        """End an activation whose slot is another node's; callers have to look there."""
        self._evict(activation, NotOwner(f"{activation.ref} lives on another node"))

    def _evict(self, activation: Activation, error: Exception) -> None:
        waiting = [*activation.in_turn, *activation.mailbox.take_all()]
        self._discard(activation)
        self._refuse(waiting, error)

    def _discard(self, activation: Activation) -> None:
        self._actors.discard(activation)
        if activation.is_leaving:
            self._leaving.discard(activation.ref)
            self._has_left.set()

    # ---- activation

    def _activate(self, ref: ActorRef, *, is_new: bool = False) -> Activation:
        if self._stopping:
            raise NodeStopping("this node is shutting down and takes no new work")
        if ref.type not in self._types:
            raise ActorTypeUnknown(f"no actor of type '{ref.type}' is hosted here")
        owned = self._owned(ref.id)
        if owned is None:
            raise NotOwner(f"{ref} lives on another node")
        activation = Activation(ref, *owned, Mailbox(self._config.mailbox_limit))
        self._actors.add(activation)
        if is_new:
            self._loaded(activation, Snapshot(ref))
        else:
            self._loader.load(ref, lambda found: self._loaded(activation, found))
        return activation

    def _loaded(self, activation: Activation, found: Snapshot | Exception) -> None:
        if activation.state is ActivationState.CLOSED:
            return
        if isinstance(found, Exception):
            self.failed(activation, [], found)
            return
        actor_type = self._types[activation.ref.type]
        activation.actor = actor_type.activate(found, activation.slot, activation.epoch)
        volatile = activation.mailbox.take_all()
        # Of a durable message that was tried before, the row says whether it is still to be taken.
        tried = {d.message_id: d.attempts for d in volatile if d.message_id and d.attempts}
        # Before all else: what it is about may well be the first of the rows.
        for delivery in volatile:
            if isinstance(delivery.body, Quarantine):
                activation.mailbox.post(delivery, bounded=False)
        self._post_rows(activation, found.inbox, tried)
        for delivery in volatile:
            if delivery.message_id not in tried and not isinstance(delivery.body, Quarantine):
                activation.mailbox.post(delivery, bounded=False)
        self._actors.rest(activation)
        if len(activation.mailbox):
            self.turns.make_ready(activation)
        if activation.look_again:
            self._begin_look(activation)

    def _post_rows(
        self, activation: Activation, rows: Sequence[InboxRow], tried: dict[str, int]
    ) -> None:
        actor_type = self._types[activation.ref.type]
        for row in rows:
            try:
                message = actor_type.decode(row)
            except Fault as error:
                # The row stays for code that can read it; the actor is told why it cannot go on.
                message = Quarantine(f"inbox row '{row.message_id}': {error}")
                activation.mailbox.post(Delivery(message), bounded=False)
            else:
                delivery = Delivery(message, None, row.message_id)
                delivery.attempts = tried.get(row.message_id, 0)
                activation.mailbox.post(delivery, bounded=False)

    # ---- looking into the inbox of one that is live

    def _begin_look(self, activation: Activation) -> None:
        activation.look, activation.look_again = True, False
        activation.consumed_meanwhile.clear()
        self._loader.load_inbox(activation.ref, lambda rows: self._looked(activation, rows))

    def _looked(self, activation: Activation, rows: Sequence[InboxRow] | Exception) -> None:
        activation.look = False
        if activation.state is ActivationState.CLOSED or isinstance(rows, Exception):
            return  # Whoever is activated next reads it; and recovery looks for what is unread.
        # The read may be older than what was taken since it began.
        taken = {d.message_id for d in activation.in_turn} | activation.consumed_meanwhile
        activation.consumed_meanwhile.clear()
        self._post_rows(activation, [row for row in rows if row.message_id not in taken], {})
        if len(activation.mailbox) and activation.state is ActivationState.IDLE:
            self.turns.make_ready(activation)
        if activation.look_again:
            self._begin_look(activation)

    # ---- when it goes wrong

    def failed(self, activation: Activation, batch: list[Delivery], error: Exception) -> None:
        """A load or a turn failed: have its messages taken again, or refuse them."""
        batch = [*batch, *activation.mailbox.take_all()]
        ref, is_leaving = activation.ref, activation.is_leaving
        self._discard(activation)
        if is_leaving:
            error = NotOwner(f"{ref} is on its way to another node")
        found = after_failure(batch, error, self._config.turn_attempts_max)
        self._refuse(found.refused, error)
        if found.repeated:
            self._loop.call_later(found.delay_seconds, self._redeliver, ref, found.repeated)

    def begin_again(self, activation: Activation) -> None:
        """Have the waiting messages taken by a new activation, which reads the store."""
        waiting = activation.mailbox.take_all()
        self._discard(activation)
        self._redeliver(activation.ref, waiting)

    def _redeliver(self, ref: ActorRef, batch: list[Delivery]) -> None:
        for index, delivery in enumerate(batch):
            if delivery.reply is not None and delivery.reply.done():
                continue
            try:
                activation = self._actors.get(ref) or self._activate(ref)
            except (NodeStopping, NotOwner) as error:
                self._refuse(batch[index:], error)
                return
            if delivery.message_id and activation.state is not ActivationState.LOADING:
                continue  # It was loaded since, with its inbox.
            activation.mailbox.post(delivery, bounded=False)
            if activation.state is ActivationState.IDLE:
                self.turns.make_ready(activation)

    def _refuse(self, batch: Iterable[Delivery], error: Exception) -> None:
        for delivery in batch:
            if delivery.reply is not None and not delivery.reply.done():
                delivery.reply.set_exception(error)

    def _answered(self, reply: asyncio.Future[object]) -> None:
        self._calls -= 1

    def __repr__(self) -> str:
        return f"<ActorHost live={len(self._actors)} {self.turns!r}>"
