"""One node's engine: joins the cluster, works, and joins again if it was declared dead. An owner.

Everything that could differ between two runs comes in: the store, the environment, the identity,
the way to other nodes. So the same engine runs in production and in the simulator.
"""

from __future__ import annotations

import asyncio
from concurrent.futures import Executor
from dataclasses import dataclass, field

from perdure.actors.errors import NodeFenced, Retryable
from perdure.actors.ports import Env
from perdure.placement.agent import NODE
from perdure.placement.joining import Applicant, join
from perdure.placement.membership import ClusterView, NodeIdentity
from perdure.placement.ports import IsAlive, Joined, Peers
from perdure.placement.router import Router, RouterConfig, RouterParts, StatelessTarget
from perdure.runtime.tenure import EngineStore, Tenure, TenureConfig, TenureParts, first_of
from perdure.runtime.workflow.keys import Keys
from perdure.runtime.workflow.peer_codec import WorkflowMessages
from perdure.runtime.workflow.registry import Registry
from perdure.runtime.workflow.remote_watch import RemoteWatches
from perdure.runtime.workflow.service import ServiceParts, WorkflowService
from perdure.runtime.workflow.spans import Tracer
from perdure.runtime.workflow.views import Views
from perdure.runtime.workflow.watchers import Watchers
from perdure.runtime.workflow.workers.pool import WorkerPool


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineConfig:
    slots: int = 256
    keys_block: int = 100_000
    call_seconds: float = 15.0
    cluster_secret: str | None = field(default=None, repr=False)
    tenure: TenureConfig = field(default_factory=TenureConfig)


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineSeams:
    """Where the engine touches the world."""

    store: EngineStore
    env: Env
    is_alive: IsAlive
    peers: Peers
    executor: Executor | None = None
    """Runs activities that are plain functions; None for the loop's own."""
    tracer: Tracer | None = None
    """Makes spans; None if nobody can want any."""


class Engine:
    """Joins, works until `stop`, then hands back cleanly. Run it with `run`.

    `service` works from the start: until this node has joined, and between two memberships, it
    finds the way to others.
    """

    def __init__(self, registry: Registry, seams: EngineSeams, config: EngineConfig) -> None:
        self._seams = seams
        self._config = config
        self._stop = asyncio.Event()
        self.started = asyncio.Event()
        parts = RouterParts(seams.env, seams.peers, WorkflowMessages(), self.refresh)
        self._app_id = app_id = config.tenure.app_id
        self.router = Router(parts, RouterConfig(app_id=app_id, call_seconds=config.call_seconds))
        self.watchers = Watchers()
        self.pool = WorkerPool(seams.env)
        self.keys = Keys(seams.store, config.keys_block)
        abroad = RemoteWatches(self.router, self.watchers)
        views = Views(seams.store, self.watchers, abroad)
        views.missing = self.missing_workers
        service_parts = ServiceParts(self.router, seams.env, seams.tracer)
        self.service = WorkflowService(service_parts, seams.store, views)
        self._tenure_parts = TenureParts(
            registry,
            seams.store,
            seams.env,
            seams.peers,
            seams.is_alive,
            seams.executor,
            self.router,
            self.keys,
            self.watchers,
            self.pool,
            seams.tracer,
        )
        self._identity: NodeIdentity | None = None
        self._tenure: Tenure | None = None
        self.joined: Joined | None = None

    @property
    def tenure(self) -> Tenure:
        """The current stay in the cluster, or the last one while this node joins again."""
        if self._tenure is None:
            raise RuntimeError("the engine has not joined yet")
        return self._tenure

    def missing_workers(self) -> tuple[str, ...]:
        """The names that something waits for and that no worker of the app takes."""
        return () if self._tenure is None else self._tenure.turns.lookout.missing()

    def serve_node(self, target: StatelessTarget) -> None:
        """What other nodes ask of this node itself goes to `target`."""
        self.router.serve(NODE.type, target)

    def refresh(self) -> None:
        """The cluster's rows may have changed: look at them soon."""
        if self._tenure is not None:
            self._tenure.agent.refresh()

    async def read_cluster(self) -> ClusterView:
        """The cluster as its rows say now. Raises `Retryable`."""
        return await self._seams.store.read_cluster()

    # ---- life

    def stop(self) -> None:
        """Have `run` drain and return."""
        self._stop.set()

    async def run(self) -> None:
        """Work until stopped, after `join`. Raises what went wrong."""
        try:
            async with asyncio.TaskGroup() as activities:
                if await self._stay(activities):
                    await self._leave()
        except BaseExceptionGroup as group:
            raise first_of(group) from None

    async def _stay(self, activities: asyncio.TaskGroup) -> bool:
        """One tenure after the other, until stopped. Whether this node is a member at the end."""
        try:
            while True:
                try:
                    await self.tenure.run(self._stop, self.started, activities)
                    return True
                except NodeFenced as fenced:
                    if self._stop.is_set():
                        return False
                    await self._join_again(fenced)
                    if self._stop.is_set():
                        return False
        finally:
            self.service.close()

    async def join(self, identity: NodeIdentity) -> None:
        """Become a member of the cluster.

        Raises `NodeIdTaken`, `ClusterSecretWrong` or `Retryable`.
        """
        self._identity = identity
        seams, config = self._seams, self._config
        # Joining comes last of all that may fail: a member that goes without leaving counts as a
        # death of whatever was at work.
        await self.keys.reserve()
        applicant = Applicant(
            identity,
            config.slots,
            seams.is_alive,
            config.cluster_secret,
            config.tenure.lease_seconds,
        )
        joined = self.joined = await join(seams.store, seams.env, applicant)
        for dead in joined.unclean:
            seams.env.log.warning(
                "a node had died without leaving; its work goes on",
                extra={"event": "node_taken_over", "node_id": dead.node_id},
            )
        fence = joined.fence
        seams.peers.admit(fence.node_id, fence.incarnation, joined.secret)
        self._tenure = Tenure(self._tenure_parts, joined, config.tenure)

    async def _join_again(self, fenced: NodeFenced) -> None:
        """Everything that was in memory is gone by now; others may be at it."""
        self._seams.env.log.warning(
            "this node was declared dead by others; it joins again",
            extra={"event": "node_fenced", "reason": str(fenced)},
        )
        while not self._stop.is_set():
            try:
                assert self._identity is not None
                await self.join(self._identity)
                return
            except Retryable as error:
                self._seams.env.log.info(
                    "joining again has to wait",
                    extra={"event": "join_waits", "reason": str(error)},
                )
                await asyncio.sleep(self._seams.env.random.uniform(0.1, 0.5))

    async def hand_over(self) -> None:
        """Give all actors to other nodes of the app, if there are any, and go on answering."""
        tenure, app_id = self._tenure, self._app_id
        if tenure is None or not self.started.is_set():
            return
        others = [n for n in self.router.view.up(app_id) if not self.router.is_self(n)]
        if not others:
            return
        try:
            async with asyncio.timeout(self._config.tenure.drain_seconds):
                await tenure.hand_over()
        except (Retryable, TimeoutError) as error:
            self._seams.env.log.warning(
                "this node could not hand over its work; others take it when it has left",
                extra={"event": "hand_over_failed", "reason": str(error) or "no time was left"},
            )

    async def _leave(self) -> None:
        try:
            await self._seams.store.leave(self.tenure.fence)
            self.tenure.agent.tell_others()
        except Retryable as error:
            self._seams.env.log.warning(
                "could not say goodbye; others find that out by themselves",
                extra={"event": "leave_failed", "reason": str(error)},
            )
