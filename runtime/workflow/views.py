"""Instances as their callers see them: now, or once they have come so far. An edge module.

Whoever waits is told of every change, if the owner of the instance is this node, and looks at it
again whenever another node, or silence, says that it may have changed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from perdure.runtime.workflow import history as h
from perdure.runtime.workflow.codec import decode_turn
from perdure.runtime.workflow.errors import InstanceNotFound
from perdure.runtime.workflow.ports import WorkflowReads
from perdure.runtime.workflow.records import Instance
from perdure.runtime.workflow.remote_watch import LOOK_SECONDS, RemoteWatches
from perdure.runtime.workflow.waiting import why_waiting
from perdure.runtime.workflow.watchers import Look, Watched, Watcher, Watchers


@dataclass(frozen=True, slots=True)
class WorkflowView:
    """An instance as its callers see it. Payloads are JSON text."""

    row: Instance
    start: h.ExecutionStarted | None = None
    """What its current run began with."""
    waiting: str | None = None
    """Why it does not go on, if it is for want of a worker."""

    @property
    def input(self) -> str | None:
        return None if self.start is None else self.start.input


@dataclass(frozen=True, slots=True)
class Known:
    """How an instance began, and of which run; None if there can be no other."""

    start: h.ExecutionStarted | None
    execution: int | None = None


class Views:
    """Looks at the instances of one app, and waits for them."""

    def __init__(
        self,
        reads: WorkflowReads,
        watchers: Watchers,
        abroad: RemoteWatches,
        app_id: str | None = None,
    ) -> None:
        self._reads = reads
        self._watchers = watchers
        self._abroad = abroad
        self._app_id = app_id
        """If it is another one than the node's."""
        self.missing: Callable[[], Collection[str]] = tuple
        """The names for which a worker is missing, as far as this node knows."""

    def close(self) -> None:
        """Keep nobody waiting any longer, here or elsewhere."""
        self._abroad.close()
        self._watchers.close()

    @property
    def closed(self) -> bool:
        return self._watchers.closed

    def of(self, app_id: str, reads: WorkflowReads) -> Views:
        """The same for another app."""
        return Views(reads, self._watchers, self._abroad, app_id)

    async def get(self, instance_id: str) -> WorkflowView:
        """What is known of an instance. Raises `InstanceNotFound`."""
        found = await self._reads.get(instance_id)
        if found is None:
            raise InstanceNotFound(instance_id)
        row, blob = found
        start = None if blob is None else _start_in(blob)
        return WorkflowView(row, start, await why_waiting(row, self.missing(), self._reads))

    async def once(
        self,
        instance_id: str,
        wanted: frozenset[h.Status],
        timeout: float | None = None,  # noqa: ASYNC109 (of the wait alone)
    ) -> WorkflowView:
        """Wait until the status is one of `wanted`, if it is not already. Raises `TimeoutError`."""
        with self.watching(instance_id, wanted) as watcher:
            view = await self.get(instance_id)
            if view.row.status in wanted:
                return view
            async with asyncio.timeout(timeout):
                known = Known(view.start, view.row.execution)
                return await self.reached(instance_id, watcher, wanted, known)

    @contextmanager
    def watching(self, instance_id: str, wanted: frozenset[h.Status]) -> Iterator[Watcher]:
        """Hear when an instance may have come to a wanted status, for as long as the block lasts.

        What happened before the block is not told.
        """
        with self._watchers.watching(self._watched(instance_id), wanted) as watcher:
            yield watcher

    async def reached(
        self, instance_id: str, watcher: Watcher, wanted: frozenset[h.Status], known: Known
    ) -> WorkflowView:
        """Wait, without limit, until the status is one of `wanted`."""
        while True:
            is_elsewhere = await self._abroad.subscribe(self._watched(instance_id))
            if is_elsewhere:
                # Only now is every further change told.
                view = await self.get(instance_id)
                if view.row.status in wanted:
                    return view
                seen = await _news(watcher, LOOK_SECONDS)
            else:
                seen = await watcher.next()
            if seen is None:
                raise InstanceNotFound(instance_id)
            if isinstance(seen, Instance) and known.execution in (None, seen.execution):
                return WorkflowView(seen, known.start)
            view = await self.get(instance_id)
            if view.row.status in wanted:
                return view

    def _watched(self, instance_id: str) -> Watched:
        return instance_id if self._app_id is None else (self._app_id, instance_id)


async def _news(watcher: Watcher, seconds: float) -> Instance | Look | None:
    """What a watcher hears; after so many seconds of silence, that one had better look."""
    try:
        async with asyncio.timeout(seconds):
            return await watcher.next()
    except TimeoutError:
        return Look()


def _start_in(blob: bytes) -> h.ExecutionStarted | None:
    for event in decode_turn(blob).incoming:
        if isinstance(event, h.ExecutionStarted):
            return event
    return None
