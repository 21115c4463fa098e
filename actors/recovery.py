"""Finds unfinished work again. An owner module.

A loop, not an event: whatever a crash, a lost message or a full mailbox left behind is in the
store, and this looks for it for ever, in bounded batches. Messages only make it faster.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from perdure.actors.errors import NotOwner, Refused, Retryable
from perdure.actors.host import ActorHost
from perdure.actors.identity import ActorRef
from perdure.actors.messages import WAKE
from perdure.actors.ports import Env, Fence, Store

Scan = Callable[[Fence, int, int], Awaitable[tuple[Sequence[ActorRef], int]]]


@dataclass(frozen=True, slots=True, kw_only=True)
class RecoveryConfig:
    scan_seconds: float = 10.0
    soon_seconds: float = 1.0
    """Until the second scan of slots that are new here; then twice as long each time."""
    batch: int = 500
    thorough_every: int = 30
    """Each scan of that number also looks at those whose work is said to be at hand."""
    busy_max: int = 1000
    """No further batch is woken while more than this many that were woken wait for their turn."""


@dataclass(frozen=True, slots=True)
class RecoveryParts:
    """The collaborators of recovery."""

    store: Store
    fence: Fence
    host: ActorHost
    env: Env


class Recovery:
    """Owned by the node; everything happens inside `run`."""

    def __init__(
        self,
        parts: RecoveryParts,
        config: RecoveryConfig,
        is_at_hand: Callable[[ActorRef], bool] = lambda ref: False,
    ) -> None:
        """`is_at_hand` says of an actor's unfinished work that somebody is at it."""
        self._store = parts.store
        self._fence = parts.fence
        self._host = parts.host
        self._env = parts.env
        self._config = config
        self._is_at_hand = is_at_hand
        self._wanted = asyncio.Event()
        self._is_due = False
        """All is to be looked at, though it is not yet time for that."""
        self._scans = 0
        self._looked_at_stalled = False
        self._waiting = 0
        self._fewer_waiting = asyncio.Event()
        self.woken = 0

    def gained(self) -> None:
        """This node owns slots, or has workers, that it did not have before: look at all now.

        Also at what is stalled: new code may bring it to go on.
        """
        self._is_due = True
        self.look_at_stalled()

    def look_at_stalled(self) -> None:
        """Other nodes have what they did not have before: look at what is stalled, and no more.

        A scan of all loads what may be far more than is stalled.
        """
        self._looked_at_stalled = False
        self._wanted.set()

    async def run(self) -> None:
        """Scan for ever; the first scan begins at once.

        What was stalled under a former owner is looked at once: only another process can bring
        other code.
        """
        delay = self._config.soon_seconds
        while True:
            self._scans += 1
            self._is_due = False
            await self._sweep_stalled()
            await self._sweep(self._store.scan_work, self._wake)
            await self._sweep(self._store.scan_inbox, self._wake_for_inbox)
            await self._rest(min(delay, self._config.scan_seconds))
            # Soon after a change others may not know yet whom to tell.
            delay = self._config.soon_seconds if self._is_due else 2 * delay

    async def _rest(self, seconds: float) -> None:
        """Until the next scan of all."""
        until = asyncio.get_running_loop().time() + seconds
        with contextlib.suppress(TimeoutError):
            while not self._is_due:
                self._wanted.clear()
                await self._sweep_stalled()
                async with asyncio.timeout_at(until):
                    await self._wanted.wait()

    async def _sweep_stalled(self) -> None:
        if not self._looked_at_stalled:
            self._looked_at_stalled = True
            done = await self._sweep(self._store.scan_stalled, self._wake_stalled)
            self._looked_at_stalled = self._looked_at_stalled and done

    async def _sweep(self, scan: Scan, wake: Callable[[ActorRef], None]) -> bool:
        """Wake all that a scan finds; False if it could not be read to its end."""
        after = 0
        while after >= 0:
            # Not until the whole node is calm: under a load that never ends, it never would be.
            while self._waiting > self._config.busy_max:
                self._fewer_waiting.clear()
                await self._fewer_waiting.wait()
            try:
                found, after = await scan(self._fence, after, self._config.batch)
            except Retryable as error:
                self._env.log.info(
                    "recovery waits", extra={"event": "recovery_waits", "reason": str(error)}
                )
                return False
            for ref in found:
                try:
                    wake(ref)
                except (Retryable, Refused) as error:
                    # One that cannot be woken here must not keep the others asleep. After a
                    # hand-over that is as it should be.
                    level = logging.DEBUG if isinstance(error, NotOwner) else logging.INFO
                    self._env.log.log(
                        level,
                        "recovery passes over an actor",
                        extra={
                            "event": "recovery_passes",
                            "actor": str(ref),
                            "reason": str(error),
                        },
                    )
        return True

    def _wake(self, ref: ActorRef) -> None:
        """Activate an actor with unfinished work; a live one is at it already.

        One whose work goes on without it is left alone: there may be far more of them than are kept
        in memory, and each scan would load them all. Only now and then nobody's word is taken.
        """
        is_thorough = self._scans % self._config.thorough_every == 0
        if not self._host.is_live(ref) and (is_thorough or not self._is_at_hand(ref)):
            self._call(ref)

    def _wake_stalled(self, ref: ActorRef) -> None:
        """Whether it can go on has nothing to do with what goes on without it."""
        if not self._host.is_live(ref):
            self._call(ref)

    def _wake_for_inbox(self, ref: ActorRef) -> None:
        """Have the inbox read, with all the rest if the actor is not live."""
        if self._host.is_live(ref):
            self._host.look(ref)
        else:
            self._call(ref)

    def _call(self, ref: ActorRef) -> None:
        reply = self._host.call(ref, WAKE)
        self._waiting += 1
        self.woken += 1
        reply.add_done_callback(self._answered)

    def _answered(self, reply: asyncio.Future[object]) -> None:
        self._waiting -= 1
        self._fewer_waiting.set()
        if not reply.cancelled():
            reply.exception()  # Looked at: whatever went wrong, the next scan finds it again.
