"""A node whose code is in workers, and workers that do what a test says. A support module."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from perdure.runtime.config import NodeConfig
from perdure.runtime.node import App, Node
from perdure.runtime.storage.opening import MEMORY
from perdure.runtime.workflow import history as h
from perdure.runtime.workflow.messages import RunActivity
from perdure.runtime.workflow.workers.pool import Capacity, Item
from perdure.runtime.workflow.workers.work import TurnDecided, TurnWork

PATIENCE = 15.0


@asynccontextmanager
async def serving_workers(
    app: App = None, *, http: bool = False, **settings: Any
) -> AsyncIterator[Node]:
    """A node for workers, in memory."""
    chosen: dict[str, Any] = {
        "port": 0,
        "grpc_port": 0,
        "drain_seconds": 0.2,
        "store": Path(MEMORY),
    } | settings
    async with Node(app, config=NodeConfig(**chosen), http=http) as node:
        yield node


class Worker:
    """Connected to a node from the beginning, until it goes."""

    def __init__(self, node: Node, **capacity: Any) -> None:
        self._pool = node.engine.pool
        self.stream = self._pool.connect(Capacity(**capacity), "worker")

    def go(self) -> None:
        self._pool.disconnect(self.stream)

    async def item(self) -> Item:
        async with asyncio.timeout(PATIENCE):
            return await self.stream.next()

    async def turn(self, *asks: h.Outgoing, **also: Any) -> TurnWork:
        """Take the next turn, and decide it."""
        item = await self.item()
        assert isinstance(item.work, TurnWork)
        self.decide(item, *asks, **also)
        return item.work

    def decide(self, item: Item, *asks: h.Outgoing, **also: Any) -> None:
        work = item.work
        assert isinstance(work, TurnWork)
        decided = TurnDecided(
            *(work.key, work.execution, work.after, work.covers, work.floor_us),
            outgoing=asks,
            **also,
        )
        self._pool.answer(item, decided)

    def refuse(self, item: Item) -> None:
        self._pool.refuse(item)

    async def activity(self, result: str | None = None) -> RunActivity:
        """Take the next activity, and complete it."""
        item = await self.item()
        assert isinstance(item.work, RunActivity)
        self._pool.answer(item, h.TaskCompleted(item.work.task_id, result))
        return item.work


def call(task_id: int, name: str, input: str | None = None) -> h.TaskScheduled:
    return h.TaskScheduled(task_id, name, input, f"call-{task_id}")


def completed(output: str | None = None) -> h.ExecutionCompleted:
    return h.ExecutionCompleted(h.Status.COMPLETED, output)
