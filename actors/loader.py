"""Reads actors from the store, many in one transaction. An owner module."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

from perdure.actors.errors import Retryable, StoreDamaged
from perdure.actors.identity import ActorRef
from perdure.actors.ports import Snapshot, Store

Loaded = Callable[[Snapshot | Exception], None]

_BATCH = 200


class Loader:
    """Owned by the host. `load` may be called at any time; the answers come while `run` runs."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._wanted: deque[tuple[ActorRef, Loaded]] = deque()
        self._ready = asyncio.Event()

    def load(self, ref: ActorRef, loaded: Loaded) -> None:
        """Read `ref`; `loaded` is called with what was found, or with the error of the read."""
        self._wanted.append((ref, loaded))
        self._ready.set()

    async def run(self) -> None:
        """Serve loads until cancelled. Raises `StoreDamaged`."""
        while True:
            await self._ready.wait()
            self._ready.clear()
            while self._wanted:
                batch = [self._wanted.popleft() for _ in range(min(_BATCH, len(self._wanted)))]
                await self._read(batch)

    async def _read(self, batch: list[tuple[ActorRef, Loaded]]) -> None:
        try:
            snapshots = await self._store.load([ref for ref, _ in batch])
        except Retryable as error:
            for _, loaded in batch:
                loaded(error)
            return
        except StoreDamaged as error:
            for _, loaded in batch:
                loaded(error)
            raise
        for (_, loaded), snapshot in zip(batch, snapshots, strict=True):
            loaded(snapshot)
