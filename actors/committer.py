"""Group commit: the units of work of many turns in one transaction. An owner module.

While one transaction is being written the next batch gathers, so that a busy node pays for one
fsync per batch and an idle one waits for nobody. INVARIANT: `done` of a unit is called exactly
once, and with None only if the unit is durable.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from perdure.actors.errors import (
    CommitUnknown,
    NodeFenced,
    NodeStopping,
    PerdureError,
    StoreDamaged,
    StoreUnavailable,
)
from perdure.actors.ports import Env, Fence, Store
from perdure.actors.unit_of_work import UnitOfWork

Done = Callable[[Exception | None], None]

_ENOUGH = 8
"""Units that wait for no others."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CommitterConfig:
    batch_units: int = 256
    batch_bytes: int = 4 << 20
    heartbeat_seconds: float = 1.0
    """An idle node commits an empty batch this often: the fence is the heartbeat."""
    self_stop_seconds: float = 3.0
    """Without a heartbeat for so long, a node takes no turns: others may take it for dead."""


class Committer:
    """Writes what turns decide. `submit` may be called by anyone on the loop.

    Runs inside `run`, which ends with an error if the node must not go on: it was fenced, or the
    database is damaged.
    """

    def __init__(
        self,
        store: Store,
        fence: Fence,
        env: Env,
        config: CommitterConfig,
        patience: Callable[[], float] = lambda: 0.0,
    ) -> None:
        self._store = store
        self._fence = fence
        self._env = env
        self._config = config
        self._patience = patience
        self._pending: deque[tuple[UnitOfWork, Done]] = deque()
        self._ready = asyncio.Event()
        self._wanted = 1
        """So many units are waited for."""
        self._idle = asyncio.Event()
        self._idle.set()
        self._closing = False
        self._loop = asyncio.get_running_loop()
        self._last_success = self._loop.time()
        self._waiting: list[Callable[[], None]] = []
        self.degraded: StoreUnavailable | None = None
        """Why nothing can be written at present; None when all is well."""
        self.commits = 0
        self.units = 0

    def submit(self, unit: UnitOfWork, done: Done) -> None:
        """Have `unit` written with the next batch. `done` is told the outcome, never at once."""
        self._pending.append((unit, done))
        self._idle.clear()
        if len(self._pending) >= self._wanted:
            self._ready.set()

    @property
    def backlog(self) -> int:
        """Units that wait for a transaction."""
        return len(self._pending)

    @property
    def lease_age(self) -> float:
        """Seconds since the beginning of the last transaction that succeeded."""
        return self._loop.time() - self._last_success

    @property
    def last_success(self) -> float:
        """When the last transaction that succeeded began, by the loop's clock."""
        return self._last_success

    @property
    def is_current(self) -> bool:
        """Whether this node may act: nobody can have taken it for dead yet.

        Also if the database cannot be written at all: then nobody else can take over either.
        """
        return (
            self._loop.time() - self._last_success < self._config.self_stop_seconds
            or self.degraded is not None
        )

    def when_current(self, callback: Callable[[], None]) -> None:
        """Call back, once, when the next transaction has succeeded, or the store is degraded."""
        self._waiting.append(callback)

    async def drained(self) -> None:
        """Wait until nothing is pending or being written."""
        await self._idle.wait()

    def close(self) -> None:
        """End `run` after what is pending."""
        self._closing = True
        self._ready.set()

    async def run(self) -> None:
        """Write batches until closed. Raises `NodeFenced` or `StoreDamaged`."""
        while True:
            if not self._pending:
                self._idle.set()
                if self._closing:
                    return
                # After one that took too long, the next heartbeat must not wait.
                await self._wait(self._config.heartbeat_seconds if self.is_current else 0)
                if self._closing and not self._pending:
                    continue
            await self._gather()
            batch = self._take()
            try:
                await self._write(batch)
            except (NodeFenced, StoreDamaged) as error:
                self._fail_all(batch, error)
                raise

    async def _wait(self, seconds: float) -> None:
        """Until there is something to do, at most so long."""
        self._ready.clear()
        timer = self._loop.call_later(seconds, self._ready.set)
        try:
            await self._ready.wait()
        finally:
            timer.cancel()

    async def _gather(self) -> None:
        """Wait a little for units to share the transaction, if some are near."""
        if not 0 < len(self._pending) < _ENOUGH or self._closing or self.degraded is not None:
            return
        seconds = self._patience()
        if seconds > 0:
            self._wanted = _ENOUGH
            await self._wait(seconds)
            self._wanted = 1

    def _take(self) -> list[tuple[UnitOfWork, Done]]:
        if self.degraded is not None:
            return []  # Probe with an empty batch first: its heartbeat is a small write.
        batch: list[tuple[UnitOfWork, Done]] = []
        size = 0
        while self._pending and len(batch) < self._config.batch_units:
            if batch and size + self._pending[0][0].size > self._config.batch_bytes:
                break
            batch.append(self._pending.popleft())
            size += batch[-1][0].size
        return batch

    async def _write(self, batch: Sequence[tuple[UnitOfWork, Done]]) -> None:
        began = self._loop.time()
        try:
            outcomes = await self._store.commit(self._fence, [unit for unit, _ in batch])
        except StoreUnavailable as error:
            await self._degrade(batch, error)
            return
        except CommitUnknown as error:
            self._settle(batch, [error] * len(batch))
            return
        self._last_success = began
        self.commits += 1
        self.units += len(batch)
        if self.degraded is not None:
            self._env.log.warning(
                "the database can write again", extra={"event": "store_recovered"}
            )
            self.degraded = None
        self._settle(batch, outcomes)
        self._tell_current()

    def _tell_current(self) -> None:
        waiting, self._waiting = self._waiting, []
        for callback in waiting:
            self._loop.call_soon(callback)  # What goes wrong in it is not our end.

    async def _degrade(
        self, batch: Sequence[tuple[UnitOfWork, Done]], error: StoreUnavailable
    ) -> None:
        """Refuse everything that waits, then pause before the next probe."""
        if self.degraded is None:
            self._env.log.error(
                "the database cannot write; probing until it can",
                extra={"event": "store_degraded", "reason": str(error)},
            )
        self.degraded = error
        waiting = [*batch, *self._pending]
        self._pending.clear()
        self._settle(waiting, [error] * len(waiting))
        self._tell_current()  # What waits for it is refused too, and not kept until all is well.
        await asyncio.sleep(0 if self._closing else 0.5)

    def _settle(
        self, batch: Sequence[tuple[UnitOfWork, Done]], outcomes: Sequence[Exception | None]
    ) -> None:
        for (_, done), outcome in zip(batch, outcomes, strict=True):
            done(outcome)

    def _fail_all(self, batch: Sequence[tuple[UnitOfWork, Done]], error: PerdureError) -> None:
        is_over = isinstance(error, NodeFenced)
        stopping = error if is_over else NodeStopping(f"this node stops: {error}")
        waiting = [*batch, *self._pending]
        self._pending.clear()
        self._idle.set()
        self._settle(waiting, [stopping] * len(waiting))

    def __repr__(self) -> str:
        state = "degraded" if self.degraded else "idle" if self._idle.is_set() else "writing"
        return f"<Committer {state} pending={len(self._pending)} commits={self.commits}>"
