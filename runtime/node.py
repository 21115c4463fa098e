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
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from perdure.runtime.api.server import ApiServer
    from perdure.runtime.rpc.server import RpcServer

from perdure.placement.membership import Membership, NodeIdentity
from perdure.placement.ports import Answer
from perdure.placement.solitude import NoPeers
from perdure.runtime.api.peers.config import PeerConfig, PeerStatistics
from perdure.runtime.api.peers.links import PeerLinks
from perdure.runtime.api.ports import ApiConfig, ClusterStatus, NodeStatus
from perdure.runtime.cluster_desk import ClusterDesk
from perdure.runtime.cluster_facts import hosted_by, missing_on
from perdure.runtime.config import NodeConfig, WorkerDialect
from perdure.runtime.engine import Engine, EngineSeams
from perdure.runtime.environment import SystemEnv, is_alive, this_process
from perdure.runtime.extras import tracer_if_there
from perdure.runtime.settings import engine_config, link_bytes
from perdure.runtime.storage.opening import (
    MEMORY,
    SQLITE_VERSION,
    StoreOptions,
    open_store,
)
from perdure.runtime.watchdog import Watchdog, WatchdogConfig
from perdure.runtime.workflow.messages import ACTIVITY, WORKFLOW
from perdure.runtime.workflow.registry import Registry
from perdure.runtime.workflow.service import WorkflowService

ACTIVITY_THREADS = "perdure-activity"
"""What the names of the threads for synchronous activities begin with."""

App = ModuleType | Registry | Iterable[Callable[..., Any]] | None


class Node:
    """A node in this process, from enter to exit.

    `async with perdure.Node([process_order, charge], store="orders.db") as node:` starts it;
    leaving the block drains it. `node.service` manages its workflows.

    Args:
        app: A module with decorated functions, the functions themselves, or a `Registry`; None if
            all code is in workers, which connect to `grpc_port` of `config`.
        store: The database file, `:memory:` for none; overrides that of `config`.
        config: All other settings.
        http: Also serve the HTTP API, on the host and port of `config`.

    Raises, on entering:
        RegistryError: The app offers no workflow, or one name twice.
        StoreRefused, StoreDamaged, StoreUnavailable: The database cannot be used.
        NodeIdTaken: A node of this id runs on this database.
        ClusterSecretWrong: The nodes that run on this database have another cluster secret.
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
        suffice = self.config.grpc_port is not None  # Workflows may be in workers.
        given = Registry() if app is None else app
        self.registry = Registry.of(given, activities_suffice=suffice)
        self._http = http
        self._env = SystemEnv()
        self._open = AsyncExitStack()
        self._stopping = asyncio.Event()
        self._engine: Engine | None = None
        self._running: asyncio.Task[None] | None = None
        self._url: str | None = None
        self._grpc_address: str | None = None
        self.failure: BaseException | None = None
        """What ended the engine, if it did not end because it was told to."""
        self._node_id = ""
        self._links: PeerLinks | None = None
        self._cluster: ClusterDesk | None = None

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
    def grpc_address(self) -> str | None:
        """Where workers in other processes connect, `127.0.0.1:50001`; None if they cannot."""
        return self._grpc_address

    @property
    def peer_statistics(self) -> PeerStatistics | None:
        """The links to other nodes and their traffic; None without any, and before the start."""
        return None if self._links is None else self._links.statistics()

    @property
    def api_config(self) -> ApiConfig:
        config = self.config
        return ApiConfig(
            app_id=config.app_id,
            version=package_version(),
            host=config.host,
            port=config.port,
            reuse_port=config.reuse_port,
            tokens=config.api_tokens,
            allowed_hosts=frozenset(config.allowed_hosts),
            connections_max=config.connections_max,
            body_bytes_max=config.max_body_bytes,
            drain_seconds=config.drain_seconds,
        )

    # ---- life

    async def __aenter__(self) -> Node:
        async with AsyncExitStack() as undo:
            await self._start(undo)
            self._open = undo.pop_all()
        return self

    async def _start(self, undo: AsyncExitStack) -> None:
        config, env = self.config, self._env
        node_id = self._node_id = config.node_id or f"{config.app_id}-{os.getpid()}"
        options = StoreOptions(
            durability=config.durability,
            node_id=node_id,
            lock_wait_seconds=2 * config.lease_seconds,
            kill_stuck_writer=config.kill_stuck_writer,
        )
        peers = await self._listen_to_peers(undo)
        store = await undo.enter_async_context(open_store(config.store, config.app_id, options))
        threads = ThreadPoolExecutor(config.activity_threads, ACTIVITY_THREADS)
        undo.callback(threads.shutdown, wait=False, cancel_futures=True)
        seams = EngineSeams(
            store=store,
            env=env,
            is_alive=is_alive,
            peers=peers,
            executor=threads,
            tracer=tracer_if_there(),
        )
        engine = self._engine = Engine(self.registry, seams, engine_config(config))
        self._cluster = ClusterDesk(engine, env.log, config.lease_seconds, self.request_shutdown)
        server = await self._bind(undo) if self._http else None
        rpc_server = await self._bind_rpc(undo) if config.grpc_port is not None else None
        await engine.join(self._identity(node_id, peers))
        # The root of all tasks of this node; everything below is in the engine's group.
        self._running = asyncio.get_running_loop().create_task(engine.run())
        undo.push_async_callback(self._stop_engine)
        self._running.add_done_callback(self._engine_ended)
        await engine.started.wait()

        def current_turn() -> str:
            return engine.tenure.host.turns.current

        watchdog = Watchdog(current_turn, env.log, WatchdogConfig())
        await undo.enter_async_context(watchdog)
        if server is not None:
            undo.push_async_callback(server.close)  # Before the engine ends, and once more after.
            await server.open()
        if rpc_server is not None:
            undo.push_async_callback(rpc_server.close)
            await rpc_server.open()

    def _identity(self, node_id: str, peers: PeerLinks | NoPeers) -> NodeIdentity:
        """Who this node is, now that it is known where it listens."""
        process = this_process()
        return NodeIdentity(
            node_id=node_id,
            incarnation=self._env.new_id(),
            app_id=self.config.app_id,
            address=self._url or "no address",
            pid=process.pid,
            started=process.started,
            boot_id=process.boot_id,
            hosted_types=hosted_by(self.registry, serves_workers=self.config.grpc_port is not None),
            peer_address="" if isinstance(peers, NoPeers) else peers.address,
        )

    async def _listen_to_peers(self, undo: AsyncExitStack) -> PeerLinks | NoPeers:
        config = self.config
        if str(config.store) == MEMORY:
            return NoPeers()  # Nobody else can ever see that database.
        settings = PeerConfig(
            host=config.peer_host,
            port=config.peer_port,
            message_bytes_max=link_bytes(config),
        )
        links = PeerLinks(settings, self._from_peer, self._env.log)
        self._links = links
        return await undo.enter_async_context(links)

    def _from_peer(self, data: bytes, answer: Answer | None) -> None:
        self.engine.router.received(data, answer)

    async def _bind(self, undo: AsyncExitStack) -> ApiServer:
        from perdure.runtime.api.server import ApiServer

        server = await undo.enter_async_context(ApiServer(self, is_open=False))
        self._url = server.url
        return server

    async def _bind_rpc(self, undo: AsyncExitStack) -> RpcServer:
        """The door for workers in other processes, and for Dapr's clients."""
        from perdure.runtime.api.health import metadata
        from perdure.runtime.rpc.dialect import Dialect
        from perdure.runtime.rpc.ports import RpcConfig
        from perdure.runtime.rpc.server import RpcServer
        from perdure.runtime.rpc.services import services
        from perdure.runtime.rpc.worker_methods import WorkerConfig, WorkerMethods

        config, api = self.config, self.api_config
        is_auto = config.worker_dialect is WorkerDialect.AUTO
        worker_config = WorkerConfig(
            dialect=None if is_auto else Dialect(config.worker_dialect.value),
            app_id=config.app_id,
            message_bytes_max=config.max_body_bytes,
        )
        methods = WorkerMethods(self.engine.pool, self._env, worker_config, self._hosted)
        assert config.grpc_port is not None
        rpc_config = RpcConfig(
            host=config.host,
            port=config.grpc_port,
            reuse_port=config.reuse_port,
            tokens=config.api_tokens,
            connections_max=config.connections_max,
            message_bytes_max=config.max_body_bytes,
            drain_seconds=config.drain_seconds,
        )
        table = services(self.service, methods, config.app_id, lambda: metadata(self.status(), api))
        server = await undo.enter_async_context(RpcServer(rpc_config, table))
        self._grpc_address = server.address
        return server

    def _hosted(self) -> frozenset[str]:
        """What the code of all nodes of the app offers."""
        nodes = self.engine.router.view.present(self.config.app_id)
        return frozenset(name for node in nodes for name in node.identity.hosted_types)

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stopping.set()
        try:
            # While others take over, this node still answers, and finds the way to them.
            await self.engine.hand_over()
            await self.engine.pool.drain(self.config.drain_seconds)
        finally:
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
            # A moment, for the answer to whoever asked; and no drain, which would end with code 0.
            asyncio.get_running_loop().call_later(0.1, os._exit, 1)
        else:
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
        tenure = engine.tenure
        degraded = tenure.committer.degraded
        stopping = self._stopping.is_set()
        view = engine.router.view
        own = view.node(Membership(tenure.fence.node_id, tenure.fence.generation))
        unready = [("node", stopping or own is None), ("store", degraded is not None)]
        return NodeStatus(
            node_id=self._node_id,
            unready=tuple(part for part, is_so in unready if is_so),
            activations={WORKFLOW: tenure.host.live, ACTIVITY: tenure.activities.running},
            store=MEMORY if str(config.store) == MEMORY else str(config.store),
            durability=config.durability.value,
            sqlite_version=SQLITE_VERSION,
            degraded=None if degraded is None else str(degraded),
            stopping=stopping,
            cluster_id=None if engine.joined is None else engine.joined.cluster_id,
            generation=tenure.fence.generation,
            nodes=len(view.present()),
            slots=len(engine.router.owned_slots),
            peers=0 if (told := self.peer_statistics) is None else told.links_open,
            placement_version=view.version,
            missing=() if own is None else missing_on(own, view),
            missing_workers=engine.missing_workers(),
        )

    async def cluster(self) -> ClusterStatus:
        """All nodes of the cluster, each with what it says of itself within a second."""
        assert self._cluster is not None
        return await self._cluster.status()

    async def drain_node(self, node_id: str) -> None:
        """Have a node, this one or another, hand over its work and end.

        Raises `NodeNotFound`, and `NodeUnreachable` if it does not answer.
        """
        assert self._cluster is not None
        await self._cluster.drain(node_id)

    def __repr__(self) -> str:
        return f"<Node {self._node_id or 'not started'} store={self.config.store} url={self._url}>"


def package_version() -> str:
    """The installed version of perdure."""
    try:
        return version("perdure")
    except PackageNotFoundError:
        return "0+unknown"
