"""One process: engine, database, clock and HTTP API, put together. An owner module.

The only place where everything is constructed. Start: database, engine, API; stop is the reverse:
refuse requests, drain the engine, close the database.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from dataclasses import replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from types import ModuleType, TracebackType
from typing import Any

from perdure.actors.committer import CommitterConfig
from perdure.actors.host import HostConfig
from perdure.actors.recovery import RecoveryConfig
from perdure.actors.reminders import RemindersConfig
from perdure.runtime.api.ports import ApiConfig, NodeStatus
from perdure.runtime.config import NodeConfig
from perdure.runtime.engine import Engine, EngineConfig, EngineSeams
from perdure.runtime.environment import SystemEnv, identity_of_this_process, is_alive
from perdure.runtime.storage.opening import (
    MEMORY,
    SQLITE_VERSION,
    StoreOptions,
    open_store,
)
from perdure.runtime.watchdog import Watchdog, WatchdogConfig
from perdure.runtime.workflow.activity_actor import ActivityConfig
from perdure.runtime.workflow.messages import ACTIVITY, WORKFLOW
from perdure.runtime.workflow.payload import PayloadLimits
from perdure.runtime.workflow.registry import Registry
from perdure.runtime.workflow.service import WorkflowService
from perdure.runtime.workflow.surroundings import WorkflowConfig

ACTIVITY_THREADS = "perdure-activity"
"""What the names of the threads for synchronous activities begin with."""

App = ModuleType | Registry | Iterable[Callable[..., Any]]


class Node:
    """A node in this process, from enter to exit.

    `async with perdure.Node([process_order, charge], store="orders.db") as node:` starts it;
    leaving the block drains it. `node.service` manages its workflows.

    Args:
        app: A module with decorated functions, the functions themselves, or a `Registry`.
        store: The database file, `:memory:` for none; overrides that of `config`.
        config: All other settings.
        http: Also serve the HTTP API, on the host and port of `config`.

    Raises, on entering:
        RegistryError: The app offers no workflow, or one name twice.
        StoreRefused, StoreDamaged, StoreUnavailable: The database cannot be used.
        ClusterOccupied: Another node runs on this database.
        OSError: The port is in use.
    """

    def __init__(
        self,
        app: App,
        *,
        store: str | Path | None = None,
        config: NodeConfig | None = None,
        http: bool = False,
    ) -> None:
        config = config or NodeConfig()
        self.config = config if store is None else replace(config, store=Path(store))
        self.registry = Registry.of(app)
        self._http = http
        self._env = SystemEnv()
        self._open = AsyncExitStack()
        self._stopping = asyncio.Event()
        self._engine: Engine | None = None
        self._running: asyncio.Task[None] | None = None
        self._url: str | None = None
        self.failure: BaseException | None = None
        """What ended the engine, if it did not end because it was told to."""
        self._node_id = ""

    @property
    def service(self) -> WorkflowService:
        """Management of this node's workflows, in process."""
        return self.engine.service

    @property
    def engine(self) -> Engine:
        if self._engine is None:
            raise RuntimeError("the node is not started yet: use it inside `async with node:`")
        return self._engine

    @property
    def url(self) -> str | None:
        """Where the HTTP API is; None without one."""
        return self._url

    @property
    def api_config(self) -> ApiConfig:
        config = self.config
        return ApiConfig(
            app_id=config.app_id,
            version=package_version(),
            host=config.host,
            port=config.port,
            tokens=config.api_tokens,
            allowed_hosts=frozenset(config.allowed_hosts),
            connections_max=config.connections_max,
            body_bytes_max=config.max_body_bytes,
            drain_seconds=config.drain_seconds,
        )

    # ---- life

    async def __aenter__(self) -> Node:
        async with AsyncExitStack() as undo:
            config = self.config
            address = f"http://{config.host}:{config.port}" if self._http else "no address"
            identity = identity_of_this_process(
                f"{config.app_id}-{os.getpid()}", config.app_id, address, self._env.new_id()
            )
            self._node_id = identity.node_id
            options = StoreOptions(
                durability=config.durability,
                node_id=identity.node_id,
                lock_wait_seconds=2 * config.lease_seconds,
            )
            store = await undo.enter_async_context(open_store(config.store, config.app_id, options))
            threads = ThreadPoolExecutor(config.activity_threads, ACTIVITY_THREADS)
            undo.callback(threads.shutdown, wait=False, cancel_futures=True)
            seams = EngineSeams(
                store=store,
                env=self._env,
                identity=identity,
                is_alive=is_alive,
                executor=threads,
            )
            engine = self._engine = Engine(self.registry, seams, engine_config(config))
            await engine.join()
            # The root of all tasks of this node; everything below is in the engine's group.
            self._running = asyncio.get_running_loop().create_task(engine.run())
            undo.push_async_callback(self._stop_engine)
            self._running.add_done_callback(self._engine_ended)
            await engine.started.wait()
            watchdog = Watchdog(lambda: engine.host.current_turn, self._env.log, WatchdogConfig())
            await undo.enter_async_context(watchdog)
            if self._http:
                from perdure.runtime.api.server import ApiServer

                server = await undo.enter_async_context(ApiServer(self))
                self._url = server.url
            self._open = undo.pop_all()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stopping.set()
        self.service.close()  # Whoever waits for a workflow is answered now, not at the end.
        await self._open.aclose()

    async def _stop_engine(self) -> None:
        assert self._running is not None
        self.engine.stop()
        await self._running

    def _engine_ended(self, running: asyncio.Task[None]) -> None:
        """The engine never ends by itself unless something is badly wrong."""
        self._stopping.set()
        if not running.cancelled() and (error := running.exception()) is not None:
            self.failure = error
            self._env.log.critical(
                "the node stops", extra={"event": "node_failed", "reason": str(error)}
            )

    def request_shutdown(self, *, force: bool = False) -> None:
        """Have `run_until_stopped` return; with `force` end the process, exit code 1, at once."""
        if force:
            asyncio.get_running_loop().call_later(0.1, os._exit, 1)
        self._stopping.set()

    async def run_until_stopped(self) -> None:
        """Wait for `request_shutdown`, or for the end of the engine, whose error is raised."""
        await self._stopping.wait()
        if self._running is not None and self._running.done():
            await self._running

    # ---- what it tells

    def status(self) -> NodeStatus:
        """The node's state, for health checks and people."""
        engine, config = self.engine, self.config
        degraded = engine.committer.degraded
        stopping = self._stopping.is_set()
        return NodeStatus(
            node_id=self._node_id,
            unready=("node",) if stopping else ("store",) if degraded else (),
            activations={WORKFLOW: engine.host.live, ACTIVITY: engine.activities.running},
            store=MEMORY if str(config.store) == MEMORY else str(config.store),
            durability=config.durability.value,
            sqlite_version=SQLITE_VERSION,
            degraded=None if degraded is None else str(degraded),
            stopping=stopping,
        )

    def __repr__(self) -> str:
        return f"<Node {self._node_id or 'not started'} store={self.config.store} url={self._url}>"


def engine_config(config: NodeConfig) -> EngineConfig:
    """The engine's settings, from those of the node."""
    return EngineConfig(
        slots=config.slots,
        drain_seconds=config.drain_seconds,
        host=HostConfig(
            mailbox_limit=config.mailbox_limit,
            calls_max=config.calls_max,
            live_actors_max=config.live_actors_max,
            idle_seconds=config.idle_seconds,
            block_warn_seconds=config.block_warn_seconds,
        ),
        committer=CommitterConfig(
            batch_units=config.batch_units,
            batch_bytes=config.batch_bytes,
            heartbeat_seconds=config.heartbeat_seconds,
        ),
        reminders=RemindersConfig(horizon_seconds=config.reminder_horizon_seconds),
        recovery=RecoveryConfig(scan_seconds=config.recovery_scan_seconds),
        activities=ActivityConfig(
            concurrency=config.activity_concurrency, result_bytes_max=config.payload_bytes_max
        ),
        workflows=WorkflowConfig(
            history_events_warn=config.history_events_warn,
            history_events_max=config.history_events_max,
            history_bytes_max=config.history_bytes_max,
            payloads=PayloadLimits(config.payload_bytes_max, config.custom_status_bytes_max),
        ),
    )


def package_version() -> str:
    """The installed version of perdure."""
    try:
        return version("perdure")
    except PackageNotFoundError:
        return "0+unknown"
