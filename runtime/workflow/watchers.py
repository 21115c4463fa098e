"""Who waits for an instance to change. An owner module."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol, TypeAlias, TypeVar

from perdure.actors.errors import NodeStopping
from perdure.actors.identity import ActorRef
from perdure.runtime.workflow.history import Status
from perdure.runtime.workflow.records import Instance

Watched: TypeAlias = str | tuple[str, str]
"""An instance by its id; one of another app by the id of the app and its own."""


@dataclass(frozen=True, slots=True)
class Look:
    """Something may have changed: look. `status` is what it was said to be, None for anything."""

    status: Status | None = None


class Listener(Protocol):
    """Hears of the changes of one instance."""

    def tell(self, news: Instance | None) -> None:
        """The row after a change, None if the instance was purged."""
        ...


class Watcher:
    """The latest wanted news of one instance; it overwrites older news that nobody took."""

    __slots__ = ("_closed", "_news", "_waiting", "_wanted")

    def __init__(self, wanted: frozenset[Status]) -> None:
        self._wanted = wanted
        self._closed = False
        self._news: list[Instance | Look | None] = []
        self._waiting: asyncio.Future[None] | None = None

    def tell(self, news: Instance | Look | None) -> None:
        status = None if news is None else news.status
        if status is None or status in self._wanted:
            self._news[:] = [news]
            self._wake()

    def _wake(self) -> None:
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(None)

    def close(self) -> None:
        self._closed = True
        self._wake()

    async def next(self) -> Instance | Look | None:
        """The instance's row once its status is wanted, None if it was purged; or that it is time
        to look.

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
        self._of: dict[Watched, list[Watcher]] = {}
        self._abroad: dict[str, list[Listener]] = {}
        """Who passes news on to another node. Only what happened here: never what others told."""

    def announce(self, ref: ActorRef, news: object) -> None:
        """Pass on what a committed turn announced."""
        if ref.id in self._of or ref.id in self._abroad:
            row = news if isinstance(news, Instance) else None
            self.tell(ref.id, row)
            for listener in self._abroad.get(ref.id, ()):
                listener.tell(row)

    def tell(self, watched: Watched, news: Instance | Look | None) -> None:
        """Tell all who wait for an instance here."""
        for watcher in self._of.get(watched, ()):
            watcher.tell(news)

    def look_all(self) -> None:
        """Instances may have other owners now, who tell nobody yet."""
        for watched in self._of:
            self.tell(watched, Look())

    def add(self, instance_id: str, listener: Listener) -> None:
        """Pass every change of an instance on to `listener`, until it is removed."""
        self._abroad.setdefault(instance_id, []).append(listener)

    def remove(self, instance_id: str, listener: Listener) -> None:
        _remove(self._abroad, instance_id, listener)

    @contextmanager
    def watching(
        self, watched: Watched, wanted: frozenset[Status] = frozenset(Status)
    ) -> Iterator[Watcher]:
        """A watcher that hears when an instance comes to a wanted status, or may have come to it,
        for as long as the block lasts.
        """
        watcher = Watcher(wanted)
        if self._closed:
            watcher.close()
        self._of.setdefault(watched, []).append(watcher)
        try:
            yield watcher
        finally:
            _remove(self._of, watched, watcher)

    @property
    def closed(self) -> bool:
        return self._closed

    def close(self) -> None:
        """Keep nobody waiting any longer."""
        self._closed = True
        for watchers in self._of.values():
            for watcher in watchers:
                watcher.close()

    def __len__(self) -> int:
        return len(self._of)


K = TypeVar("K")
L = TypeVar("L")


def _remove(of: dict[K, list[L]], watched: K, listener: L) -> None:
    listeners = of[watched]
    listeners.remove(listener)
    if not listeners:
        del of[watched]
