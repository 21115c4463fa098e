"""Finds unfinished work again. An owner module.

A loop, not an event: whatever a crash, a lost message or a full mailbox left behind is in the
store, and this looks for it for ever, in bounded batches. Messages only make it faster.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from perdure.actors.errors import Retryable
from perdure.actors.host import ActorHost
from perdure.actors.identity import ActorRef
from perdure.actors.messages import WAKE, Delivery
from perdure.actors.ports import Env, Store

Scan = Callable[[int, int], Awaitable[tuple[Sequence[ActorRef], int]]]


@dataclass(frozen=True, slots=True, kw_only=True)
class RecoveryConfig:
    scan_seconds: float = 10.0
    batch: int = 500
    busy_max: int = 1000
    """No further batch is woken while more activations than this are at work."""


class Recovery:
    """Owned by the node; everything happens inside `run`."""

    def __init__(self, store: Store, host: ActorHost, env: Env, config: RecoveryConfig) -> None:
        self._store = store
        self._host = host
        self._env = env
        self._config = config
        self.woken = 0

    async def run(self) -> None:
        """Scan for ever; the first scan begins at once.

        What was stalled is looked at once: only another process can bring other code.
        """
        await self._sweep(self._store.scan_stalled, self._wake)
        while True:
            await self._sweep(self._store.scan_work, self._wake)
            await self._sweep(self._store.scan_inbox, self._wake_for_inbox)
            await asyncio.sleep(self._config.scan_seconds)

    async def _sweep(self, scan: Scan, wake: Callable[[ActorRef], None]) -> None:
        after = 0
        while after >= 0:
            await self._host.calm(self._config.busy_max)
            try:
                found, after = await scan(after, self._config.batch)
                for ref in found:
                    wake(ref)
            except Retryable as error:
                self._env.log.info(
                    "recovery waits", extra={"event": "recovery_waits", "reason": str(error)}
                )
                return

    def _wake(self, ref: ActorRef) -> None:
        """Activate an actor with unfinished work; a live one is at it already."""
        if not self._host.is_live(ref):
            self.woken += 1
            self._host.deliver(ref, Delivery(WAKE))

    def _wake_for_inbox(self, ref: ActorRef) -> None:
        """Have the inbox read: by loading the actor, afresh if it is live and idle."""
        if self._host.release(ref):
            self.woken += 1
            self._host.deliver(ref, Delivery(WAKE))
