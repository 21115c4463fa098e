"""One stay of a node in its cluster: all that is done under one generation. An owner module.

Begins with the join and ends with the leave, or with the fence: then everything in memory is thrown
away, and the engine joins again and makes a new one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Coroutine
from concurrent.futures import Executor
from dataclasses import dataclass, field
from typing import Any, Protocol

from perdure.actors.committer import Committer, CommitterConfig
from perdure.actors.errors import NodeFenced, PerdureError, Retryable
from perdure.actors.gate import Gate, Limits
from perdure.actors.host import ActorHost, HostConfig, HostParts
from perdure.actors.identity import ActorRef
from perdure.actors.loader import Loader
from perdure.actors.messages import WAKE
from perdure.actors.ports import Env, Store
from perdure.actors.recovery import Recovery, RecoveryConfig, RecoveryParts
from perdure.actors.reminders import Reminders, RemindersConfig
from perdure.placement.agent import Agent, AgentConfig, AgentParts
from perdure.placement.membership import ClusterView, Membership, NodeRecord
from perdure.placement.ports import IsAlive, Joined, MembershipStore, Peers
from perdure.placement.router import Router
from perdure.runtime.workflow.activities.at_workers import AtWorkers
from perdure.runtime.workflow.activities.dispatch import ActivityDispatch
from perdure.runtime.workflow.activities.dispatching import DispatchConfig, DispatchParts
from perdure.runtime.workflow.activities.runner import ActivityConfig, ActivityRunner, RunnerParts
from perdure.runtime.workflow.keys import Keys
from perdure.runtime.workflow.messages import (
    ACTIVITY,
    WORKFLOW,
    Completion,
    RunActivity,
    Undeliverable,
)
from perdure.runtime.workflow.ports import WorkflowReads
from perdure.runtime.workflow.registry import Registry
from perdure.runtime.workflow.spans import SPAN, SpanTarget, Tracer
from perdure.runtime.workflow.surroundings import Surroundings, WorkflowConfig
from perdure.runtime.workflow.watchers import Watchers
from perdure.runtime.workflow.workers.dispatch import TurnDispatch
from perdure.runtime.workflow.workers.dispatching import TurnDispatchConfig, TurnDispatchParts
from perdure.runtime.workflow.workers.lookout import ACTIVITY_NAME
from perdure.runtime.workflow.workers.pool import WorkerPool
from perdure.runtime.workflow.workers.work import TURN, WORKERS
from perdure.runtime.workflow.workflow_actor import WorkflowActorType


class EngineStore(Store, MembershipStore, WorkflowReads, Protocol):
    """All that the engine asks of a database."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TenureConfig:
    app_id: str = "default"
    lease_seconds: float = 5.0
    glance_seconds: float = 0.2
    room_seconds: float = 0.25
    """How often this node tells others how much room it has."""
    drain_seconds: float = 10.0
    turn_limits: Limits = field(default_factory=Limits)
    """Turns under way at a time on all nodes of the app together."""
    turns_max: int | None = None
    """The same on this node."""
    serves_workers: bool = False
    """Whether workers can connect to this node."""
    turn_seconds: float = 60.0
    """A worker that has not decided a turn for so long is not waited for."""
    host: HostConfig = field(default_factory=HostConfig)
    committer: CommitterConfig = field(default_factory=CommitterConfig)
    reminders: RemindersConfig = field(default_factory=RemindersConfig)
    recovery: RecoveryConfig = field(default_factory=RecoveryConfig)
    crossing_bytes_max: int = 16 << 20
    """The longest message between nodes."""
    activities: ActivityConfig = field(default_factory=ActivityConfig)
    workflows: WorkflowConfig = field(default_factory=WorkflowConfig)

    @property
    def heartbeat_seconds(self) -> float:
        """At least four heartbeats a lease, so that one that is late does no harm."""
        return self.lease_seconds / 5


@dataclass(frozen=True, slots=True)
class TenureParts:
    """What outlives a tenure, and is used by it."""

    registry: Registry
    store: EngineStore
    env: Env
    peers: Peers
    is_alive: IsAlive
    executor: Executor | None
    router: Router
    keys: Keys
    watchers: Watchers
    pool: WorkerPool
    tracer: Tracer | None


class Tenure:
    """Built after a join; `run` does the work."""

    def __init__(self, parts: TenureParts, joined: Joined, config: TenureConfig) -> None:
        self._parts = parts
        self._config = config
        self.fence = fence = joined.fence
        self._told_missing: set[str] = set()
        self._workers_seen = 0
        store, env, router = parts.store, parts.env, parts.router
        self.committer = Committer(store, fence, env, config.committer, parts.pool.patience)
        self._loader = Loader(store)
        self._reminders = Reminders(store, fence, env, router.tell, config.reminders)
        self._gate = Gate(config.turn_limits.within(config.turns_max))
        self._served = config.serves_workers
        host_parts = HostParts(env, self.committer, self._loader, self._reminders, self._gate)
        self.host = ActorHost(host_parts, router.owned, config.host)
        self.host.register(WORKFLOW, WorkflowActorType(self._surroundings()))
        self.host.connect(router, parts.watchers.announce)
        self.activities = self._runner()
        recovery_parts = RecoveryParts(store, fence, self.host, env)
        self._recovery = Recovery(recovery_parts, config.recovery, self._is_at_hand)
        look = self._recovery.look_at_stalled
        self.turns = TurnDispatch(
            TurnDispatchParts(router, parts.pool, env, self._activities_wanted, look),
            TurnDispatchConfig(app_id=config.app_id, turn_seconds=config.turn_seconds),
        )
        self.dispatch = self._dispatch()
        self.agent = Agent(
            AgentParts(
                store,
                env,
                router,
                parts.peers,
                self.host,
                parts.is_alive,
                lambda: self.committer.last_success,
            ),
            fence,
            AgentConfig(
                app_id=config.app_id,
                lease_seconds=config.lease_seconds,
                poll_seconds=config.heartbeat_seconds,
                glance_seconds=config.glance_seconds,
            ),
        )
        self._open(joined)

    def _surroundings(self) -> Surroundings:
        parts, config = self._parts, self._config
        return Surroundings(
            parts.registry,
            parts.env,
            parts.keys,
            config.workflows,
            parts.env.log,
            self._workflow_elsewhere,
            config.app_id,
            lambda: self._served,
            parts.tracer,
        )

    def _dispatch(self) -> ActivityDispatch:
        config = self._config
        return ActivityDispatch(
            DispatchParts(
                self._parts.router,
                self.activities,
                self._has_activity,
                self._look_again,
                self._deliver,
                lambda node, name: self.turns.lookout.takes(node, f"{ACTIVITY_NAME}{name}"),
            ),
            DispatchConfig(
                app_id=config.app_id,
                patience_seconds=2 * config.lease_seconds,
                room_seconds=config.room_seconds,
                limits=config.activities.limits,
                crossing_bytes_max=config.crossing_bytes_max,
            ),
        )

    def _runner(self) -> ActivityRunner:
        parts = self._parts
        at_workers = AtWorkers(
            parts.pool,
            lambda: self._served,
            self._returned,
            lambda name: self.turns.lookout.in_vain(f"{ACTIVITY_NAME}{name}"),
        )
        return ActivityRunner(
            RunnerParts(
                parts.registry,
                parts.env,
                self._deliver,
                parts.executor,
                self._may_work,
                at_workers,
                parts.tracer,
            ),
            self._config.activities,
        )

    def _open(self, joined: Joined) -> None:
        router = self._parts.router
        self.agent.on_gained = self._gained
        self.agent.on_view = self._viewed
        router.serve(ACTIVITY, self.dispatch)
        router.serve(TURN, self.turns)
        if self._parts.tracer is not None:
            router.serve(SPAN, SpanTarget(self._parts.tracer))
        router.on_foreign_call = self._answered
        router.open(self.host, self.fence)
        self.agent.adopt(joined.view)

    # ---- what its parts need of each other

    def _gained(self) -> None:
        self._reminders.gained()
        self._recovery.gained()

    def _answered(self, message: object) -> None:
        self.dispatch.answered(message)
        self.turns.answered(message)

    def _returned(self, message: RunActivity) -> None:
        self.dispatch.returned(message)

    def _is_at_hand(self, ref: ActorRef) -> bool:
        return self.turns.works_for(ref) or self.dispatch.works_for(ref)

    def _workers_changed(self) -> None:
        self.activities.fill()
        streams = len(self._parts.pool.streams)
        if streams > self._workers_seen:
            self._recovery.gained()
        self._workers_seen = streams

    def _viewed(self, view: ClusterView) -> None:
        self._served = self._config.serves_workers or any(
            WORKERS in node.identity.hosted_types for node in view.present(self._config.app_id)
        )
        self.dispatch.on_view(view)
        self.turns.on_view(view)
        self._parts.watchers.look_all()
        up = [node.membership for node in view.up(self._config.app_id)]
        own = Membership(self.fence.node_id, self.fence.generation)
        self._tell_missing(view, view.node(own))
        if own in up:
            limits = self._config.turn_limits.share(up.index(own), len(up), at_least=1)
            limits = limits.within(self._config.turns_max)
            self._gate.set(limits)
            self.turns.limit(limits)
            self.host.turns.regate()

    def _tell_missing(self, view: ClusterView, own: NodeRecord | None) -> None:
        """Say which code is on other nodes only: once, for each change of the cluster is a view."""
        missing = [] if own is None else view.missing_on(own)
        new = [hosted for hosted in missing if hosted not in self._told_missing]
        if new:
            self._told_missing.update(new)
            self._parts.env.log.warning(
                "other nodes have code that this one lacks: workflows wait, activities run there",
                extra={"event": "code_missing", "code": new},
            )

    def _may_work(self) -> bool:
        # Nor while results cannot be written: they would pile up.
        return self.committer.is_current and self.committer.degraded is None

    def _deliver(
        self, message: RunActivity, answer: Completion | Undeliverable
    ) -> Awaitable[object]:
        target = ActorRef(WORKFLOW, message.instance_id)
        return self._parts.router.call(target, answer, app_id=message.caller_app)

    def _has_activity(self, name: str) -> bool:
        return self._parts.registry.activity(name) is not None

    def _activities_wanted(self) -> list[str]:
        return [f"{ACTIVITY_NAME}{name}" for name in self.activities.names_at_workers()]

    def _look_again(self, ref: ActorRef) -> bool:
        if not self.host.release(ref):
            return False  # It tells of them when it is loaded, and is in the midst of something.
        self._parts.router.tell(ref, WAKE)
        return True

    def _workflow_elsewhere(self, name: str) -> list[str]:
        router = self._parts.router
        return [
            node.node_id
            for node in router.view.present(self._config.app_id)
            if f"workflow:{name}" in node.identity.hosted_types and not router.is_self(node)
        ]

    # ---- life

    async def run(
        self, stop: asyncio.Event, started: asyncio.Event, activities: asyncio.TaskGroup
    ) -> None:
        """Work until stopped. Raises what ended it, `NodeFenced` above all.

        Activities run in the group `activities`, which outlives this: they are cancelled at the
        end, and not waited for.
        """
        self._parts.pool.listen(self._workers_changed)
        try:
            async with asyncio.TaskGroup() as group:
                work = self._work(activities)
                workers = [group.create_task(self._for_ever(each)) for each in work]
                committing = group.create_task(self._guarded(self.committer.run()))
                started.set()
                self.agent.tell_others()
                await stop.wait()
                await self._drain()
                for worker in workers:
                    worker.cancel()
                await committing
        except BaseExceptionGroup as group_error:
            # Not `except*`: what is raised in it comes out wrapped in a group again.
            ours = group_error.subgroup(PerdureError)
            raise (group_error if ours is None else first_of(ours)) from None
        finally:
            self._parts.pool.unlisten(self._workers_changed)
            self._close(None)  # Of a fence, `_guarded` has told those who waited.

    async def hand_over(self) -> None:
        """Give everything to other nodes, if there are any: what runs here is all that stays."""
        self.activities.begin_drain()
        await self.agent.drain()

    def _work(self, activities: asyncio.TaskGroup) -> list[Coroutine[Any, Any, None]]:
        return [
            self._loader.run(),
            self.host.run(),
            self._reminders.run(),
            self._recovery.run(),
            self._parts.keys.run(),
            self.activities.run(activities),
            self.dispatch.run(),
            self.turns.run(),
            self.agent.run(),
        ]

    async def _for_ever(self, work: Coroutine[Any, Any, None]) -> None:
        """Nearly no task of the node ever ends by itself; one that does takes the node down."""
        await self._guarded(work)
        raise AssertionError(f"{work!r} has ended")

    async def _guarded(self, work: Coroutine[Any, Any, None]) -> None:
        """What is fenced serves nobody from that moment on. A task that is cancelled by nobody,
        which a group of tasks would take for its end, takes the node down too.
        """
        try:
            await work
        except NodeFenced as error:
            self._close(error)
            raise
        except asyncio.CancelledError as error:
            task = asyncio.current_task()
            if task is None or task.cancelling():
                raise
            raise AssertionError(f"{work!r} was cancelled by nobody") from error

    def _close(self, error: Retryable | None) -> None:
        self._parts.router.shut()
        self.host.close(error)

    async def _drain(self) -> None:
        """Let what runs come to an end, and have it all written."""
        cancelled = await self.activities.drain(self._config.drain_seconds)
        if cancelled:
            self._parts.env.log.warning(
                "activities did not end in time and were cancelled; they run again elsewhere, or "
                "at the next start",
                extra={"event": "activities_cancelled", "activities": cancelled[:20]},
            )
        await self.turns.deliveries.drain(self._config.drain_seconds)
        self.host.stop_taking()  # Timers go on falling due: it would never become calm.
        try:
            async with asyncio.timeout(self._config.drain_seconds):
                await self.host.calm()
        except TimeoutError:
            pass
        self.host.close()
        self.committer.close()


def first_of(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """The error that a person should hear of: a damaged database before anything it has caused."""
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
