"""The activations of one node, and the turns that they take. An owner module.

`deliver` puts a message into a mailbox; everything after it happens here: load, turn, commit, act.
Turns are synchronous, so one pump runs them one after the other and thousands of activations need
no task of their own. INVARIANT: an activation has at most one turn between decide and commit;
nothing that a turn decided is seen by anyone before its commit succeeded.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from perdure.actors.activation import Activation, ActivationState
from perdure.actors.committer import Committer
from perdure.actors.errors import (
    ActorTypeUnknown,
    Fault,
    MailboxFull,
    NodeStopping,
    NotOwner,
)
from perdure.actors.identity import ActorRef
from perdure.actors.live_actors import LiveActors
from perdure.actors.loader import Loader
from perdure.actors.mailbox import Mailbox
from perdure.actors.messages import Delivery, Quarantine
from perdure.actors.ports import ActorType, Env, Outbound, Snapshot
from perdure.actors.redelivery import after_failure
from perdure.actors.reminders import Reminders
from perdure.actors.unit_of_work import Decision

OwnedSlot = Callable[[str], tuple[int, int] | None]
"""Actor id → (slot, epoch) if this node owns the actor's slot now, else None."""

Observer = Callable[[ActorRef, object], None]
"""Told of every announcement, after the commit of the turn that made it."""

_TURNS_AT_ONCE = 64
_SECONDS_AT_ONCE = 0.02
"""Turns, and the time for them, between two looks at the rest of the event loop."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HostConfig:
    mailbox_limit: int = 1000
    calls_max: int = 20_000
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


class ActorHost:
    """Owns the activations. All methods belong to the node's event loop."""

    def __init__(self, parts: HostParts, owned: OwnedSlot, config: HostConfig) -> None:
        # Asking for it costs a system call, and every turn needs it several times.
        self._loop = asyncio.get_running_loop()
        self._env = parts.env
        self._committer = parts.committer
        self._loader = parts.loader
        self._reminders = parts.reminders
        self._owned = owned
        self._config = config
        self._types: dict[str, ActorType] = {}
        self._outbound: Outbound | None = None
        self._observer: Observer | None = None
        self._actors = LiveActors(config.live_actors_max)
        self._ready: deque[Activation] = deque()
        self._pump_scheduled = False
        self._calls = 0
        self._in_turn: ActorRef | None = None
        self._failed: asyncio.Future[None] | None = None
        self._stopping = False
        self.turns = 0

    # ---- wiring

    def register(self, type_name: str, actor_type: ActorType) -> None:
        """Host actors of this type."""
        self._types[type_name] = actor_type

    def connect(self, outbound: Outbound, observer: Observer) -> None:
        """Where turns send messages to, and who hears their announcements."""
        self._outbound = outbound
        self._observer = observer

    # ---- messages in

    def deliver(self, ref: ActorRef, delivery: Delivery, *, is_new: bool = False) -> None:
        """Put a message into the mailbox of a local actor, activating it if need be.

        If the actor `is_new` it is not looked for in the store. That saves every start of a
        workflow a read; and were it wrong, its commit would be refused and the actor loaded then.

        Raises `MailboxFull`, `NodeStopping`, `NotOwner` or `ActorTypeUnknown`; then nothing was
        queued.
        """
        if delivery.reply is not None and self._calls >= self._config.calls_max:
            raise MailboxFull(f"{self._calls} calls are waiting on this node")
        activation = self._actors.get(ref) or self._activate(ref, is_new=is_new)
        # Of a durable message nobody can be refused: it stands in the inbox, and to find it there
        # again would take a scan and another load.
        activation.mailbox.post(delivery, bounded=delivery.message_id is None)
        if delivery.reply is not None:
            self._calls += 1
            delivery.reply.add_done_callback(self._answered)
        if activation.state is ActivationState.IDLE:
            self._make_ready(activation)

    def call(
        self, ref: ActorRef, message: object, *, is_new: bool = False
    ) -> asyncio.Future[object]:
        """Deliver a call; the future settles after the commit of the turn that takes it."""
        reply: asyncio.Future[object] = self._loop.create_future()
        self.deliver(ref, Delivery(message, reply), is_new=is_new)
        return reply

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

    @property
    def current_turn(self) -> str:
        """The actor whose turn runs at this moment, for a watchdog's thread; else empty."""
        ref = self._in_turn
        return "" if ref is None else str(ref)

    def stop_taking(self) -> None:
        """Activate nobody any more; what is live still takes its messages."""
        self._stopping = True

    async def run(self) -> None:
        """Deactivate idle actors until cancelled; raises what broke a turn's machinery."""
        self._failed = self._loop.create_future()
        while True:
            done, _ = await asyncio.wait(
                [self._failed], timeout=max(self._config.idle_seconds / 4, 0.1)
            )
            if done:
                self._failed.result()
            self._actors.discard_unused(self._loop.time() - self._config.idle_seconds)

    def close(self) -> None:
        """Discard every activation; waiting calls are refused."""
        self._stopping = True
        for activation in self._actors.all():
            waiting = [*activation.in_turn, *activation.mailbox.take_all()]
            self._actors.discard(activation)
            self._refuse(waiting, NodeStopping("this node is shutting down"))

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
            waiting = activation.mailbox.take_all()
            self._actors.discard(activation)
            self._again(activation.ref, waiting, found)
            return
        actor_type = self._types[activation.ref.type]
        activation.actor = actor_type.activate(found, activation.slot, activation.epoch)
        volatile = activation.mailbox.take_all()
        # Of a durable message that was tried before, the row says whether it is still to be taken.
        tried = {d.message_id: d.attempts for d in volatile if d.message_id and d.attempts}
        for row in found.inbox:
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
        for delivery in volatile:
            if delivery.message_id not in tried:
                activation.mailbox.post(delivery, bounded=False)
        self._actors.rest(activation)
        if len(activation.mailbox):
            self._make_ready(activation)

    def _make_ready(self, activation: Activation) -> None:
        self._actors.begin(activation)
        self._ready.append(activation)
        if not self._pump_scheduled:
            self._pump_scheduled = True
            self._loop.call_soon(self._pump)

    # ---- turns

    def _pump(self) -> None:
        self._pump_scheduled = False
        until = self._loop.time() + _SECONDS_AT_ONCE
        try:
            for _ in range(min(len(self._ready), _TURNS_AT_ONCE)):
                self._turn(self._ready.popleft())
                if self._loop.time() >= until:
                    break
        except Exception as error:  # The machinery itself is broken: the node must not go on.
            if self._failed is None or self._failed.done():
                raise
            self._failed.set_exception(error)
            return
        if self._ready and not self._pump_scheduled:
            self._pump_scheduled = True
            self._loop.call_soon(self._pump)

    def _turn(self, activation: Activation) -> None:
        if activation.state is not ActivationState.READY:
            return
        actor = activation.actor
        assert actor is not None
        batch = activation.mailbox.take(self._config.turn_messages_max)
        self._in_turn = activation.ref
        began = self._loop.time()
        try:
            decision = actor.decide(batch, self._env.now_us())
        except Exception as error:
            self._turn_failed(activation, batch, error)
            return
        finally:
            self._in_turn = None
        activation.last_used = ended = self._loop.time()
        if ended - began > self._config.block_warn_seconds:
            self._warn_blocked(activation, ended - began)
        self.turns += 1
        if decision.returned:
            taken = len(batch) - len(decision.returned)
            activation.mailbox.put_back(decision.returned)
            batch = batch[:taken]
        if decision.unit is None:
            self._act(activation, decision)
            return
        activation.state = ActivationState.COMMITTING
        activation.in_turn = batch
        self._committer.submit(
            decision.unit, lambda outcome: self._committed(activation, decision, outcome)
        )

    def _committed(
        self, activation: Activation, decision: Decision, outcome: Exception | None
    ) -> None:
        if activation.state is ActivationState.CLOSED:
            return
        if outcome is None:
            activation.in_turn = []
            self._act(activation, decision)
            return
        # What the store holds is not known any more: start again from what it says.
        batch = [*activation.in_turn, *activation.mailbox.take_all()]
        self._actors.discard(activation)
        self._again(activation.ref, batch, outcome)

    def _act(self, activation: Activation, decision: Decision) -> None:
        assert self._outbound is not None
        activation.is_retained = decision.retain
        unit = decision.unit
        if unit is not None:
            if unit.reminders_set or unit.reminders_cleared:
                self._reminders.committed(unit)
            for outgoing in unit.outbox:
                self._outbound.hint(outgoing)
        for reply, answer in decision.replies:
            if reply.done():
                continue
            if isinstance(answer, Exception):
                reply.set_exception(answer)
            else:
                reply.set_result(answer)
        for target, message in decision.sends:
            self._outbound.tell(target, message)
        if decision.announcement is not None and self._observer is not None:
            self._observer(activation.ref, decision.announcement)
        if decision.reload:
            waiting = activation.mailbox.take_all()
            self._actors.discard(activation)
            self._redeliver(activation.ref, waiting)
        elif len(activation.mailbox):
            self._make_ready(activation)
        elif decision.passivate:
            self._actors.discard(activation)
        else:
            self._actors.rest(activation)

    # ---- when it goes wrong

    def _turn_failed(self, activation: Activation, batch: list[Delivery], error: Exception) -> None:
        """A turn raised: not the user's workflow, which fails its instance, but our code."""
        self._env.log.error(
            "a turn failed; the actor is loaded afresh",
            exc_info=error,
            extra={"event": "turn_failed", "actor": str(activation.ref)},
        )
        batch.extend(activation.mailbox.take_all())
        self._actors.discard(activation)
        self._again(activation.ref, batch, error)

    def _again(self, ref: ActorRef, batch: Iterable[Delivery], error: Exception) -> None:
        """Have messages taken again after a failure, or refuse them if that cannot help now."""
        found = after_failure(batch, error, self._config.turn_attempts_max)
        self._refuse(found.refused, error)
        if found.repeated:
            self._loop.call_later(found.delay_seconds, self._redeliver, ref, found.repeated)

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
                self._make_ready(activation)

    def _refuse(self, batch: Iterable[Delivery], error: Exception) -> None:
        for delivery in batch:
            if delivery.reply is not None and not delivery.reply.done():
                delivery.reply.set_exception(error)

    def _answered(self, reply: asyncio.Future[object]) -> None:
        self._calls -= 1

    def _warn_blocked(self, activation: Activation, seconds: float) -> None:
        actor = activation.actor
        self._env.log.warning(
            "a turn blocked the event loop; move blocking work into an activity",
            extra={
                "event": "turn_blocked",
                "actor": str(activation.ref),
                "code": str(actor),
                "seconds": round(seconds, 3),
            },
        )

    def __repr__(self) -> str:
        return f"<ActorHost live={len(self._actors)} ready={len(self._ready)}>"
