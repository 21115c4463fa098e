"""A node under test on a real file, which may lose its live state whenever a test says so.

A scenario runs in three modes with the same expectations: `live` keeps every instance in memory,
`evict` drops it after each turn, so that each next turn begins with a replay, and `restart` stops
the node before each step of the test and starts another one on the same file.
"""

from __future__ import annotations

import asyncio
import json
import logging
import sqlite3
from collections.abc import Callable
from contextlib import AsyncExitStack
from enum import StrEnum
from pathlib import Path
from typing import Any

from perdure.actors.identity import ActorRef
from perdure.runtime.config import Durability, NodeConfig
from perdure.runtime.engine import Engine
from perdure.runtime.environment import SystemEnv
from perdure.runtime.node import App, Node
from perdure.runtime.workflow import history as h
from perdure.runtime.workflow import payload
from perdure.runtime.workflow.errors import InstanceNotFound
from perdure.runtime.workflow.messages import WORKFLOW
from perdure.runtime.workflow.records import Instance, ListQuery
from perdure.runtime.workflow.registry import Registry
from perdure.runtime.workflow.service import FINISHED, WorkflowService
from tests.support.replaying import check_replay

PATIENCE = 15.0
"""Seconds after which a test gives up; far beyond anything that a working engine needs."""


class Mode(StrEnum):
    LIVE = "live"
    EVICT = "evict"
    RESTART = "restart"


class World:
    """One database file and the node on it. Used as an async context manager."""

    def __init__(self, path: Path, mode: Mode) -> None:
        self.path = path
        self.mode = mode
        self._node: Node | None = None
        self._open = AsyncExitStack()
        self._app: App = ()
        self._settings: dict[str, Any] = {}

    async def __aenter__(self) -> World:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def serve(self, *app: Any, **settings: Any) -> None:
        """Start the node with these functions (or one registry), in place of any before it."""
        self._app = app[0] if len(app) == 1 and isinstance(app[0], Registry) else app
        self._settings = settings
        await self.restart()

    async def restart(self) -> None:
        """Stop the node, as at the end of a process, and start one on the same file."""
        await self.stop()
        settings: dict[str, Any] = {"durability": Durability.NORMAL, "drain_seconds": 0.2}
        settings |= self._settings
        config = NodeConfig(store=self.path, **settings)
        self._node = await self._open.enter_async_context(Node(self._app, config=config))
        if self.mode is Mode.EVICT:
            _evict_after_each_turn(self._node.engine)

    async def stop(self) -> None:
        if self._node is not None:
            self._node = None
            await self._open.aclose()

    async def step(self) -> None:
        """What the mode does between two steps of a test."""
        if self.mode is Mode.RESTART:
            await self.restart()

    @property
    def is_serving(self) -> bool:
        return self._node is not None

    @property
    def node(self) -> Node:
        assert self._node is not None, "no node runs: serve() comes first"
        return self._node

    @property
    def service(self) -> WorkflowService:
        return self.node.service

    def now_us(self) -> int:
        """The clock that the node reads."""
        return SystemEnv().now_us()

    # ---- instances

    async def start(self, name: str, input: Any = None, **options: Any) -> Handle:
        await self.step()
        text = payload.encode(input)
        return Handle(self, await self.service.start(name, text, **options))

    def handle(self, instance_id: str) -> Handle:
        """An instance that something else has started, a child say."""
        return Handle(self, instance_id)

    async def ids(self) -> list[str]:
        """All instances, oldest first."""
        page = await self.service.page(ListQuery(limit=1000, newest_first=False))
        return [row.instance_id for row in page.rows]

    async def check_replays(self) -> None:
        """Every history, run again, must give the same commands and the same end."""
        config = self.node.config
        limits = payload.PayloadLimits(
            payload_bytes_max=config.payload_bytes_max,
            custom_status_bytes_max=config.custom_status_bytes_max,
        )
        for instance_id in await self.ids():
            row, turns = await self.service.history(instance_id)
            if row.status is not h.Status.STALLED:
                check_replay(row, turns, self.node.registry, limits, config.app_id)

    # ---- the file

    def rows(self, table: str) -> int:
        """How many rows a table of the database has."""
        with sqlite3.connect(self.path) as connection:
            (count,) = connection.execute(f"SELECT count(*) FROM {table}").fetchone()
        connection.close()
        return int(count)

    def leftovers(self) -> dict[str, int]:
        """Rows that only work in progress may have, of finished instances."""
        finished = ", ".join(str(int(status)) for status in FINISHED)
        queries = {
            "reminders": "SELECT count(*) FROM reminders JOIN workflows USING (key) "
            f"WHERE workflows.status IN ({finished})",
            "reminders of nobody": "SELECT count(*) FROM reminders "
            "WHERE key NOT IN (SELECT key FROM workflows)",
            "history of nobody": "SELECT count(*) FROM history "
            "WHERE key NOT IN (SELECT key FROM workflows)",
            "history of former runs": "SELECT count(*) FROM history JOIN workflows USING (key) "
            "WHERE history.execution <> workflows.execution",
        }
        with sqlite3.connect(self.path) as connection:
            found = {
                what: connection.execute(query).fetchone()[0] for what, query in queries.items()
            }
        connection.close()
        return {what: count for what, count in found.items() if count}


class Handle:
    """One instance, by its id. Every change is a step; payloads are Python values."""

    def __init__(self, world: World, id: str) -> None:
        self.world = world
        self.id = id

    # ---- change

    async def raise_event(self, name: str, data: Any = None, **options: Any) -> None:
        await self.world.step()
        await self.world.service.raise_event(self.id, name, payload.encode(data), **options)

    async def suspend(self, reason: str | None = None) -> None:
        await self.world.step()
        await self.world.service.suspend(self.id, reason)

    async def resume(self, reason: str | None = None) -> None:
        await self.world.step()
        await self.world.service.resume(self.id, reason)

    async def terminate(self, output: Any = None, **options: Any) -> None:
        await self.world.step()
        await self.world.service.terminate(self.id, payload.encode(output), **options)

    async def purge(self, **options: Any) -> int:
        await self.world.step()
        return await self.world.service.purge(self.id, **options)

    # ---- read

    async def row(self) -> Instance:
        return (await self.world.service.get(self.id)).row

    async def status(self) -> h.Status:
        return (await self.row()).status

    async def exists(self) -> bool:
        try:
            await self.world.service.get(self.id)
        except InstanceNotFound:
            return False
        return True

    async def turns(self) -> list[h.Turn]:
        return (await self.world.service.history(self.id))[1]

    async def events(self) -> list[h.Event]:
        """The history, flat, in order."""
        events: list[h.Event] = []
        for turn in await self.turns():
            events += [*turn.incoming, *turn.outgoing]
        return events

    async def kinds(self) -> list[str]:
        return [type(event).__name__ for event in await self.events()]

    async def of(self, kind: type[Any]) -> list[Any]:
        """The events of one kind."""
        return [event for event in await self.events() if isinstance(event, kind)]

    # ---- wait

    async def until(self, *statuses: h.Status) -> Instance:
        """Wait for one of these statuses."""
        return await self.when(lambda row: row.status in statuses)

    async def when(self, is_so: Callable[[Instance], bool]) -> Instance:
        """Wait until the instance's row fulfils a condition."""
        row: Instance | None = None
        try:
            async with asyncio.timeout(PATIENCE):
                with self.world.node.engine.watchers.watching(self.id) as watcher:
                    while not await self.exists():
                        await watcher.next()
                    row = await self.row()
                    while not is_so(row):
                        seen = await watcher.next()
                        assert seen is not None, f"{self.id} was purged meanwhile"
                        row = seen if isinstance(seen, Instance) else await self.row()
                    return row
        except TimeoutError:
            raise AssertionError(await self._state()) from None

    async def saw(self, kind: str) -> None:
        """Wait until an event of that kind is in the history."""
        try:
            async with asyncio.timeout(PATIENCE):
                with self.world.node.engine.watchers.watching(self.id) as watcher:
                    while kind not in await self.kinds():
                        await watcher.next()
        except TimeoutError:
            raise AssertionError(await self._state()) from None

    async def running(self) -> None:
        """Wait until the first turn has been taken."""
        await self.when(lambda row: row.status is not h.Status.PENDING)

    async def finished(self) -> Instance:
        await self.world.step()
        return await self.until(*FINISHED)

    async def result(self) -> Any:
        """The output of an instance that completes well."""
        row = await self.finished()
        assert row.status is h.Status.COMPLETED, f"{row.status.name}: {row.failure}"
        return None if row.output is None else json.loads(row.output)

    async def failure(self) -> h.Failure:
        """Why an instance that fails has failed."""
        row = await self.finished()
        assert row.status is h.Status.FAILED, f"{row.status.name}, output {row.output}"
        assert row.failure is not None
        return row.failure

    async def _state(self) -> str:
        if not await self.exists():
            return f"{self.id} does not exist"
        row, turns = await self.world.service.history(self.id)
        engine = self.world.node.engine
        lines = [f"{self.id} is {row.status.name} {row.stalled or ''}", *map(str, turns)]
        tenure = engine.tenure
        live = tenure.host.is_live(ActorRef(WORKFLOW, self.id))
        lines.append(f"live={live} {tenure.host!r} {tenure.dispatch!r}")
        return "\n".join(lines)


def _evict_after_each_turn(engine: Engine) -> None:
    def announce_and_evict(ref: ActorRef, news: object) -> None:
        engine.watchers.announce(ref, news)
        asyncio.get_running_loop().call_soon(engine.tenure.host.release, ref)

    engine.tenure.host.connect(engine.router, announce_and_evict)


class Gate:
    """Where activities of a test wait until the test lets them go on."""

    def __init__(self) -> None:
        self.entered = asyncio.Event()
        self.opened = asyncio.Event()
        self.count = 0

    async def wait(self) -> None:
        self.count += 1
        self.entered.set()
        await self.opened.wait()


class Records(logging.Handler):
    """What was logged, as text."""

    def __init__(self) -> None:
        super().__init__()
        self.texts: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.texts.append(record.getMessage())
