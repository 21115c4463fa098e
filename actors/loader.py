"""Reads actors from the store, many in one transaction. An owner module."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from perdure.actors.errors import Retryable, StoreDamaged
from perdure.actors.identity import ActorRef
from perdure.actors.ports import InboxRow, Snapshot, Store

Loaded = Callable[[Snapshot | Exception], None]
Looked = Callable[[Sequence[InboxRow] | Exception], None]

_BATCH = 200

A = TypeVar("A")


class Loader:
    """Owned by the host. `load` may be called at any time; the answers come while `run` runs."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._wanted: deque[tuple[ActorRef, Loaded]] = deque()
        self._inboxes: deque[tuple[ActorRef, Looked]] = deque()
        self._ready = asyncio.Event()

    def load(self, ref: ActorRef, loaded: Loaded) -> None:
        """Read `ref`; `loaded` is called with what was found, or with the error of the read."""
        self._wanted.append((ref, loaded))
        self._ready.set()

    def load_inbox(self, ref: ActorRef, looked: Looked) -> None:
        """Read the inbox of `ref` alone."""
        self._inboxes.append((ref, looked))
        self._ready.set()

    async def run(self) -> None:
        """Serve loads until cancelled. Raises `StoreDamaged`."""
        while True:
            await self._ready.wait()
            self._ready.clear()
            while self._wanted or self._inboxes:
                await self._read(_some(self._wanted), self._store.load)
                await self._read(_some(self._inboxes), self._store.load_inboxes)

    async def _read(
        self,
        batch: list[tuple[ActorRef, Callable[[A | Exception], None]]],
        read: Callable[[Sequence[ActorRef]], Awaitable[Sequence[A]]],
    ) -> None:
        if not batch:
            return
        try:
            answers = await read([ref for ref, _ in batch])
        except Retryable as error:
            for _, told in batch:
                told(error)
            return
        except StoreDamaged as error:
            for _, told in batch:
                told(error)
            raise
        for (_, told), answer in zip(batch, answers, strict=True):
            told(answer)


def _some(wanted: deque[A]) -> list[A]:
    return [wanted.popleft() for _ in range(min(_BATCH, len(wanted)))]
