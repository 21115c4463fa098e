"""Nodes of one cluster in this process, on one file. A support module."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sqlite3
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from perdure.runtime.config import Durability, NodeConfig
from perdure.runtime.node import App, Node
from perdure.runtime.workflow import history as h
from perdure.runtime.workflow.service import FINISHED
from perdure.runtime.workflow.views import WorkflowView

PATIENCE = 40.0
"""Seconds after which a test gives up; far beyond anything that a working cluster needs."""
LEASE = 1.0
SETTINGS: dict[str, Any] = {
    "durability": Durability.NORMAL,
    "lease_seconds": LEASE,
    "recovery_scan_seconds": 1.0,
    "drain_seconds": 5.0,
    "slots": 32,
    "port": 0,
}


async def until(is_so: Callable[[], Any], what: str = "") -> None:
    """Wait for something that has no event of its own."""
    try:
        async with asyncio.timeout(PATIENCE):
            while not is_so():  # noqa: ASYNC110 (there is no event to wait for)
                await asyncio.sleep(0.01)
    except TimeoutError:
        raise AssertionError(f"it has not come to be: {what}") from None


async def in_time(awaitable: Awaitable[Any]) -> Any:
    """The result of what must not hang."""
    async with asyncio.timeout(PATIENCE):
        return await awaitable


class Nodes:
    """Starts and ends nodes; whatever is left at the end of the block is stopped."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.up: dict[str, Node] = {}
        self._started = 0

    async def __aenter__(self) -> Nodes:
        return self

    async def __aexit__(self, *_: object) -> None:
        for name in list(self.up):
            await self.stop(name)

    async def start(self, app: App, name: str = "", *, http: bool = False, **settings: Any) -> Node:
        """A further node."""
        self._started += 1
        name = name or f"n{self._started}"
        config = NodeConfig(store=self.path, node_id=name, **SETTINGS | settings)
        node = Node(app, config=config, http=http)
        await node.__aenter__()
        self.up[name] = node
        return node

    async def start_all(self, count: int, app: App, **settings: Any) -> list[Node]:
        """So many nodes, each with its share of the slots."""
        nodes = [await self.start(app, **settings) for _ in range(count)]
        await self.balanced()
        return nodes

    async def balanced(self) -> None:
        """Wait until every node has its share, and all of them know of each other."""

        def is_even() -> bool:
            owned = [len(node.engine.router.owned_slots) for node in self.up.values()]
            seen = {len(node.engine.router.view.up("default")) for node in self.up.values()}
            return (
                sum(owned) == SETTINGS["slots"]
                and max(owned) - min(owned) <= 1
                and seen == {len(self.up)}
            )

        await until(is_even, "every node has its share of the slots")

    async def know_each_other(self) -> None:
        """Wait until all nodes have the same view of the cluster, with all of them in it."""

        def is_so() -> bool:
            views = [node.engine.router.view for node in self.up.values()]
            return {len(view.present()) for view in views} == {len(views)} and (
                len({view.version for view in views}) == 1
            )

        await until(is_so, "all nodes have the same view")

    async def stop(self, name: str) -> None:
        """As by Ctrl-C."""
        await in_time(self.up.pop(name).__aexit__(None, None, None))

    async def kill(self, name: str) -> None:
        """End a node's work at once, without a word to anybody, as `kill -9` does."""
        node = self.up.pop(name)
        running = node._running
        assert running is not None
        running.cancel()
        await asyncio.wait([running])
        ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        ended.set_result(None)
        node._running = ended  # type: ignore[assignment]  # It is only awaited.
        await in_time(node._open.aclose())

    # ---- where

    def owner(self, instance_id: str) -> Node:
        """The node that owns an instance, by every node's own word."""
        [owner] = [n for n in self.up.values() if n.engine.router.owned(instance_id) is not None]
        return owner

    def id_of(self, node: Node, prefix: str = "o") -> str:
        """An instance id in a slot of this node's."""
        router = node.engine.router
        return next(f"{prefix}{n}" for n in range(10_000) if router.owned(f"{prefix}{n}"))

    def ids_of(self, node: Node, count: int, prefix: str = "o") -> list[str]:
        router = node.engine.router
        found = (f"{prefix}{n}" for n in range(100_000) if router.owned(f"{prefix}{n}"))
        return [next(found) for _ in range(count)]

    # ---- the rows

    def generations(self) -> dict[str, int]:
        """Of the present members, by the database."""
        with contextlib.closing(sqlite3.connect(self.path, timeout=60)) as connection:
            return dict(
                connection.execute(
                    "SELECT node_id, generation FROM nodes WHERE state NOT IN ('left', 'dead')"
                ).fetchall()
            )


async def finished(node: Node, instance_id: str) -> WorkflowView:
    """The instance at its end, by way of this node."""
    view: WorkflowView = await in_time(node.service.wait(instance_id, timeout=PATIENCE))
    assert view.row.status in FINISHED, f"{view.row.status.name} {view.row.stalled or ''}"
    return view


async def output(node: Node, instance_id: str) -> str | None:
    """The output of an instance that completes well."""
    row = (await finished(node, instance_id)).row
    assert row.status is h.Status.COMPLETED, f"{row.status.name}: {row.failure}"
    return row.output


class Records(logging.Handler):
    """What was logged: each record's `event`, and the record."""

    def __init__(self) -> None:
        super().__init__()
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)

    def of(self, event: str) -> list[logging.LogRecord]:
        return [record for record in self.records if getattr(record, "event", None) == event]


@contextmanager
def recorded() -> Iterator[Records]:
    """The log of all nodes in this process, for as long as the block lasts."""
    records, log = Records(), logging.getLogger("perdure")
    before = log.level
    log.addHandler(records)
    log.setLevel(logging.INFO)
    try:
        yield records
    finally:
        log.removeHandler(records)
        log.setLevel(before)


class Busy:
    """What runs at a time, and how many ran at most."""

    def __init__(self) -> None:
        self.now = 0
        self.most = 0
        self.total = 0

    @contextmanager
    def inside(self) -> Iterator[None]:
        self.now += 1
        self.total += 1
        self.most = max(self.most, self.now)
        try:
            yield
        finally:
            self.now -= 1
