"""Turns of one node's activations, one after the other: decide, commit, act. An owner module.

Turns are synchronous, so one pump runs them all, from one callback, and thousands of activations
need no task of their own. INVARIANT: an activation has at most one turn between decide and commit;
nothing that a turn decided is seen by anyone before its commit succeeded.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from perdure.actors.activation import Activation, ActivationState
from perdure.actors.committer import Committer
from perdure.actors.gate import Gate
from perdure.actors.identity import ActorRef
from perdure.actors.live_actors import LiveActors
from perdure.actors.messages import Delivery
from perdure.actors.ports import Env, Outbound
from perdure.actors.reminders import Reminders
from perdure.actors.unit_of_work import Decision

Observer = Callable[[ActorRef, object], None]
"""Told of every announcement, after the commit of the turn that made it."""

_TURNS_AT_ONCE = 64
_SECONDS_AT_ONCE = 0.02
"""Turns, and the time for them, between two looks at the rest of the event loop."""


@dataclass(frozen=True, slots=True)
class TurnParts:
    """What turns work with."""

    env: Env
    committer: Committer
    reminders: Reminders
    actors: LiveActors
    gate: Gate


@dataclass(frozen=True, slots=True, kw_only=True)
class TurnConfig:
    messages_max: int = 256
    block_warn_seconds: float = 0.5


class TurnEnds(Protocol):
    """What the host does where turns do not just go on."""

    def failed(self, activation: Activation, batch: list[Delivery], error: Exception) -> None:
        """A turn could not be decided or committed; `batch` are the messages that it took."""
        ...

    def begin_again(self, activation: Activation) -> None:
        """Have the waiting messages taken by a new activation."""
        ...

    def move_out(self, activation: Activation) -> None:
        """The slot is on its way to another node, and this was the last turn here."""
        ...


class Turns:
    """Owned by the host. All methods belong to the node's event loop."""

    def __init__(self, parts: TurnParts, ends: TurnEnds, config: TurnConfig) -> None:
        # Asking for it costs a system call, and every turn needs it several times.
        self._loop = asyncio.get_running_loop()
        self._env = parts.env
        self._committer = parts.committer
        self._reminders = parts.reminders
        self._actors = parts.actors
        self._gate = parts.gate
        self._ends = ends
        self._config = config
        self._outbound: Outbound | None = None
        self._observer: Observer | None = None
        self._ready: deque[Activation] = deque()
        self._held: deque[Activation] = deque()
        """Those that the gate keeps back until another turn has ended."""
        self._pump_scheduled = False
        self._in_turn: ActorRef | None = None
        self.broken: asyncio.Future[None] = self._loop.create_future()
        """Gets the error of a machinery that must not go on."""
        self.taken = 0

    def connect(self, outbound: Outbound, observer: Observer) -> None:
        """Where turns send messages to, and who hears their announcements."""
        self._outbound = outbound
        self._observer = observer

    @property
    def current(self) -> str:
        """The actor whose turn runs at this moment, for a watchdog's thread; else empty."""
        ref = self._in_turn
        return "" if ref is None else str(ref)

    def make_ready(self, activation: Activation) -> None:
        """It has messages: its turn comes."""
        self._actors.begin(activation)
        self._ready.append(activation)
        self._schedule_pump()

    def regate(self) -> None:
        """The gate's limits have changed."""
        while self._held:
            self._ready.append(self._held.popleft())
        self._schedule_pump()

    def _schedule_pump(self) -> None:
        if not self._pump_scheduled:
            self._pump_scheduled = True
            self._loop.call_soon(self._pump)

    def _pump(self) -> None:
        if not self._committer.is_current:
            # Others may take this node for dead by now, and its slots: it takes no turns until it
            # has heard of itself.
            self._committer.when_current(self._pump)
            return
        self._pump_scheduled = False
        until = self._loop.time() + _SECONDS_AT_ONCE
        try:
            for _ in range(min(len(self._ready), _TURNS_AT_ONCE)):
                self._turn(self._ready.popleft())
                if self._loop.time() >= until:
                    break
        except (Exception, asyncio.CancelledError) as error:
            # The machinery itself is broken: the node must not go on.
            if self.broken.done():
                raise
            broken = AssertionError(f"the pump of turns has ended by {error!r}")
            self.broken.set_exception(error if isinstance(error, Exception) else broken)
            return
        if self._ready:
            self._schedule_pump()

    # ---- decide

    def _turn(self, activation: Activation) -> None:
        if activation.state is not ActivationState.READY:
            return
        actor = activation.actor
        assert actor is not None
        batch = activation.mailbox.take(self._config.messages_max)
        if not self._gate.is_open and not self._enter(activation, batch):
            return
        self._in_turn = activation.ref
        began = self._loop.time()
        try:
            decision = actor.decide(batch, self._env.now_us())
        except (Exception, asyncio.CancelledError) as error:
            # A stray `CancelledError` is an error as any other: nobody can cancel a turn.
            self._leave(activation)
            found = error if isinstance(error, Exception) else RuntimeError(f"stray {error!r}")
            self._turn_failed(activation, batch, found)
            return
        finally:
            self._in_turn = None
        activation.last_used = ended = self._loop.time()
        if ended - began > self._config.block_warn_seconds:
            self._warn_blocked(activation, ended - began)
        self.taken += 1
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

    def _enter(self, activation: Activation, batch: list[Delivery]) -> bool:
        """Through the gate; False if the turn has to wait for the end of another one."""
        assert activation.actor is not None
        name = activation.actor.name_of_turn(batch)
        if self._gate.enter(name):
            activation.gated_as = name
            return True
        activation.mailbox.put_back(batch)
        self._held.append(activation)
        return False

    def _leave(self, activation: Activation) -> None:
        name, activation.gated_as = activation.gated_as, None
        if name is not None:
            self._gate.leave(name)
            self.regate()

    # ---- commit and act

    def _committed(
        self, activation: Activation, decision: Decision, outcome: Exception | None
    ) -> None:
        if activation.state is ActivationState.CLOSED:
            self._leave(activation)
            return
        if outcome is None:
            activation.in_turn = []
            if activation.look and decision.unit is not None:
                activation.consumed_meanwhile.update(decision.unit.consumed)
            self._act(activation, decision)
            return
        # What the store holds is not known any more: start again from what it says.
        self._leave(activation)
        batch, activation.in_turn = activation.in_turn, []
        self._ends.failed(activation, batch, outcome)

    def _act(self, activation: Activation, decision: Decision) -> None:
        assert self._outbound is not None
        if activation.gated_as is not None:
            self._leave(activation)
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
        if activation.is_leaving:
            self._ends.move_out(activation)
        elif decision.reload:
            self._ends.begin_again(activation)
        elif len(activation.mailbox):
            self.make_ready(activation)
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
        self._ends.failed(activation, batch, error)

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
        return f"<Turns ready={len(self._ready)} held={len(self._held)} taken={self.taken}>"
