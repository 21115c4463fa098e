"""A real node for the tests of the HTTP API: engine, database file and socket.

Starting one takes longer than most tests, so one serves many of them, on a thread and a loop of its
own; whoever lends it clears it afterwards.
"""

from __future__ import annotations

import asyncio
import inspect
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import perdure
from perdure.actors.identity import ActorRef
from perdure.runtime.config import Durability, NodeConfig
from perdure.runtime.node import Node
from perdure.runtime.workflow.errors import InstanceStalled
from perdure.runtime.workflow.messages import WORKFLOW
from perdure.runtime.workflow.records import ListQuery
from perdure.runtime.workflow.registry import Registry

INPUT = '{"item":1}'
FAR_US = 253_370_764_800_000_000
"""The year 9999."""


class Shop:
    """The app `shop`. What `order` does first can be changed, as by a release of other code."""

    def __init__(self) -> None:
        self.first_steps: dict[str, str] = {}
        """Activities by instance id."""

    @property
    def app(self) -> Registry:
        registry = Registry()
        registry.add_workflow(self._order, name="order")
        for name in ("charge", "pack"):
            registry.add_activity(_done, name=name)
        return registry

    async def _order(self, ctx: perdure.WorkflowContext, item: Any = None) -> Any:
        first_step = self.first_steps.get(ctx.instance_id)
        if first_step is not None:
            await ctx.call_activity(first_step)
        end = await ctx.wait_for_external_event("end")
        if end == "badly":
            raise ValueError("no stock")
        return end


async def _done() -> None:
    return None


def node_on(path: Path, app: Any, **settings: Any) -> Node:
    """A node with an HTTP API on any free port."""
    chosen: dict[str, Any] = {
        "app_id": "shop",
        "port": 0,
        "durability": Durability.NORMAL,
        "drain_seconds": 5.0,
    }
    return Node(app, config=NodeConfig(store=path, **chosen | settings), http=True)


class There:
    """An object of a node, called from another loop than the node's."""

    def __init__(self, target: object, loop: asyncio.AbstractEventLoop) -> None:
        self._target = target
        self._loop = loop

    def __getattr__(self, name: str) -> Any:
        async def call(*args: Any, **named: Any) -> Any:
            there = self._call(name, args, named)
            return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(there, self._loop))

        return call

    async def _call(self, name: str, args: Any, named: Any) -> Any:
        found = getattr(self._target, name)(*args, **named)
        return await found if inspect.isawaitable(found) else found


class RealScenarios:
    """Brings instances into a state as clients and time would; see `http_server.Scenarios`."""

    def __init__(self, node: Node, shop: Shop) -> None:
        loop = asyncio.get_running_loop()
        self._service = There(node.service, loop)
        self._host = There(node.engine.tenure.host, loop)
        self._shop = shop
        assert node.url is not None
        self.url: str = node.url

    async def running(self, instance_id: str) -> None:
        await self._service.start("order", INPUT, instance_id=instance_id)

    async def pending(self, instance_id: str) -> None:
        await self._service.start("order", INPUT, instance_id=instance_id, start_at_us=FAR_US)

    async def suspended(self, instance_id: str) -> None:
        await self.running(instance_id)
        await self._service.suspend(instance_id)

    async def completed(self, instance_id: str) -> None:
        await self.running(instance_id)
        await self.complete(instance_id)

    async def failed(self, instance_id: str) -> None:
        await self.running(instance_id)
        await self._service.raise_event(instance_id, "end", '"badly"')

    async def terminated(self, instance_id: str) -> None:
        await self.running(instance_id)
        await self._service.terminate(instance_id)

    async def stalled(self, instance_id: str) -> str:
        self._shop.first_steps[instance_id] = "charge"
        await self.running(instance_id)
        await self.release(instance_id, "pack")
        with pytest.raises(InstanceStalled):  # Nobody looks at it before something happens to it.
            await self._service.suspend(instance_id)
        reason: str = (await self._service.get(instance_id)).row.stalled
        return reason

    async def release(self, instance_id: str, first_step: str) -> None:
        """Other code from now on, for an instance that goes on from storage."""
        await self._host.calm()
        assert await self._host.release(ActorRef(WORKFLOW, instance_id))
        self._shop.first_steps[instance_id] = first_step

    async def complete(self, instance_id: str) -> None:
        await self._service.raise_event(instance_id, "end", '"done"')

    async def clear(self) -> None:
        """Leave nothing behind for the next test."""
        self._shop.first_steps.clear()
        while rows := (await self._service.page(ListQuery(limit=1000))).rows:
            for row in rows:
                await self._service.purge(row.instance_id, recursive=False, force=True)


@contextmanager
def lent_node(path: Path) -> Iterator[RealScenarios]:
    """Serve on a thread for as long as the block lasts."""
    lent: list[RealScenarios] = []
    stop: list[Any] = []
    listening = threading.Event()

    async def serve() -> None:
        shop, loop, stopping = Shop(), asyncio.get_running_loop(), asyncio.Event()
        async with node_on(path, shop.app) as node:
            lent.append(RealScenarios(node, shop))
            stop.append(lambda: loop.call_soon_threadsafe(stopping.set))
            listening.set()
            await stopping.wait()

    def run() -> None:
        try:
            asyncio.run(serve())
        finally:
            listening.set()

    thread = threading.Thread(target=run, name="node under test")
    thread.start()
    listening.wait()
    assert lent, "the node did not start"
    try:
        yield lent[0]
    finally:
        stop[0]()
        thread.join()
