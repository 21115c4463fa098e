"""The activations of one node: which are at work, which may go, and who goes for want of room.

An owner module, owned by the host. Nothing here looks at all activations at once: a node may have
far more of them at work than it keeps when they rest.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict

from perdure.actors.activation import Activation, ActivationState
from perdure.actors.identity import ActorRef


class LiveActors:
    """`limit` bounds the activations in memory, but for those that may not go."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._of: dict[ActorRef, Activation] = {}
        self._may_go: OrderedDict[ActorRef, Activation] = OrderedDict()
        """Those at rest that need not be kept, the one that has rested longest first."""
        self._at_work = 0
        self._less_work = asyncio.Event()

    def get(self, ref: ActorRef) -> Activation | None:
        return self._of.get(ref)

    def all(self) -> list[Activation]:
        return list(self._of.values())

    def add(self, activation: Activation) -> None:
        """Take in one that is being loaded, and make room for it."""
        self._of[activation.ref] = activation
        self._at_work += 1
        while len(self._of) > self._limit and self._may_go:
            self.discard(next(iter(self._may_go.values())))

    def begin(self, activation: Activation) -> None:
        """It has messages: it takes a turn as soon as it can."""
        if activation.state is ActivationState.IDLE:
            self._at_work += 1
            self._may_go.pop(activation.ref, None)
        activation.state = ActivationState.READY

    def rest(self, activation: Activation) -> None:
        """It waits for messages."""
        activation.state = ActivationState.IDLE
        self._done()
        if activation.may_go:
            self._may_go[activation.ref] = activation

    def discard(self, activation: Activation) -> None:
        """It is not to be used any more, whatever it was doing."""
        if activation.state is ActivationState.CLOSED:
            return
        if activation.state is not ActivationState.IDLE:
            self._done()
        activation.state = ActivationState.CLOSED
        self._may_go.pop(activation.ref, None)
        del self._of[activation.ref]
        actor, activation.actor = activation.actor, None
        if actor is not None:
            actor.close()

    def release(self, ref: ActorRef) -> bool:
        """Discard the one of `ref`, if there is any; False if it may not go."""
        if ref in self._may_go:
            self.discard(self._may_go[ref])
        return ref not in self._of

    def discard_unused(self, since: float) -> None:
        """Discard those that had their last turn before `since`, by the loop's clock."""
        while self._may_go:
            oldest = next(iter(self._may_go.values()))
            if oldest.last_used >= since:
                return
            self.discard(oldest)

    async def calm(self) -> None:
        """Wait until none loads, takes a turn or has messages waiting."""
        while self._at_work:
            self._less_work.clear()
            await self._less_work.wait()

    def _done(self) -> None:
        self._at_work -= 1
        self._less_work.set()

    def __len__(self) -> int:
        return len(self._of)

    def __repr__(self) -> str:
        return f"<LiveActors {len(self._of)}/{self._limit} at_work={self._at_work}>"
