"""Who waits for an instance to change. An owner module."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from perdure.actors.errors import NodeStopping
from perdure.actors.identity import ActorRef
from perdure.runtime.workflow.records import Instance


class Watcher:
    """The latest news of one instance; older news that nobody took is overwritten by newer."""

    __slots__ = ("_closed", "_news", "_waiting")

    def __init__(self) -> None:
        self._closed = False
        self._news: list[Instance | None] = []
        self._waiting: asyncio.Future[None] | None = None

    def tell(self, row: Instance | None) -> None:
        self._news[:] = [row]
        self._wake()

    def _wake(self) -> None:
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(None)

    def close(self) -> None:
        self._closed = True
        self._wake()

    async def next(self) -> Instance | None:
        """The instance's row after its next change; None if it was purged.

        Raises `NodeStopping` when the node is not going to tell anything more.
        """
        while not self._news:
            if self._closed:
                raise NodeStopping("this node is shutting down")
            self._waiting = asyncio.get_running_loop().create_future()
            await self._waiting
        return self._news.pop()


class Watchers:
    """Owned by the node. Told of every committed change, by the host, after the commit."""

    def __init__(self) -> None:
        self._closed = False
        self._of: dict[str, list[Watcher]] = {}

    def announce(self, ref: ActorRef, news: object) -> None:
        """Pass on what a committed turn announced."""
        watchers = self._of.get(ref.id)
        if watchers:
            for watcher in watchers:
                watcher.tell(news if isinstance(news, Instance) else None)

    @contextmanager
    def watching(self, instance_id: str) -> Iterator[Watcher]:
        """A watcher that hears of every change of an instance, for as long as the block lasts."""
        watcher = Watcher()
        if self._closed:
            watcher.close()
        watchers = self._of.setdefault(instance_id, [])
        watchers.append(watcher)
        try:
            yield watcher
        finally:
            watchers.remove(watcher)
            if not watchers:
                self._of.pop(instance_id, None)

    def close(self) -> None:
        """Keep nobody waiting any longer."""
        self._closed = True
        for watchers in self._of.values():
            for watcher in watchers:
                watcher.close()

    def __len__(self) -> int:
        return len(self._of)
