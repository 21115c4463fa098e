"""One node's engine: actors, placement and workflows, wired. An owner module.

Everything that could differ between two runs comes in: the store, the environment, the identity. So
the same engine runs in production and in the simulator.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from concurrent.futures import Executor
from dataclasses import dataclass, field
from typing import Any, Protocol

from perdure.actors.committer import Committer, CommitterConfig
from perdure.actors.errors import PerdureError, Retryable
from perdure.actors.host import ActorHost, HostConfig, HostParts
from perdure.actors.loader import Loader
from perdure.actors.ports import Env, Store
from perdure.actors.recovery import Recovery, RecoveryConfig
from perdure.actors.reminders import Reminders, RemindersConfig
from perdure.placement.membership import NodeIdentity
from perdure.placement.ports import IsAlive, MembershipStore
from perdure.placement.router import Router
from perdure.runtime.workflow.activity_actor import ActivityConfig, ActivityRunner
from perdure.runtime.workflow.keys import Keys
from perdure.runtime.workflow.messages import ACTIVITY, WORKFLOW
from perdure.runtime.workflow.ports import WorkflowReads
from perdure.runtime.workflow.registry import Registry
from perdure.runtime.workflow.service import WorkflowService
from perdure.runtime.workflow.surroundings import Surroundings, WorkflowConfig
from perdure.runtime.workflow.watchers import Watchers
from perdure.runtime.workflow.workflow_actor import WorkflowActorType


class EngineStore(Store, MembershipStore, WorkflowReads, Protocol):
    """All that the engine asks of a database."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineConfig:
    slots: int = 256
    keys_block: int = 100_000
    drain_seconds: float = 10.0
    host: HostConfig = field(default_factory=HostConfig)
    committer: CommitterConfig = field(default_factory=CommitterConfig)
    reminders: RemindersConfig = field(default_factory=RemindersConfig)
    recovery: RecoveryConfig = field(default_factory=RecoveryConfig)
    activities: ActivityConfig = field(default_factory=ActivityConfig)
    workflows: WorkflowConfig = field(default_factory=WorkflowConfig)


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineSeams:
    """Where the engine touches the world."""

    store: EngineStore
    env: Env
    identity: NodeIdentity
    is_alive: IsAlive
    executor: Executor | None = None
    """Runs activities that are plain functions; None for the loop's own."""


class Engine:
    """Joins the cluster, works until `stop`, then hands back cleanly. Run it with `run`.

    `service` is there once `started` is set.
    """

    def __init__(self, registry: Registry, seams: EngineSeams, config: EngineConfig) -> None:
        self._registry = registry
        self._seams = seams
        self._config = config
        self._stop = asyncio.Event()
        self._has_joined = False
        self.started = asyncio.Event()

    def stop(self) -> None:
        """Have `run` drain and return."""
        self._stop.set()

    async def run(self) -> None:
        """Work until stopped; joins first, if need be. Raises what went wrong."""
        if not self._has_joined:
            await self.join()
        try:
            async with asyncio.TaskGroup() as group:
                workers = [group.create_task(self._or_fail(work)) for work in self._work()]
                committing = group.create_task(self.committer.run())
                self.started.set()
                await self._stop.wait()
                await self._drain()
                for worker in workers:
                    worker.cancel()
                await committing
        except BaseExceptionGroup as group_error:
            # Not `except*`: what is raised in it comes out wrapped in a group again.
            ours = group_error.subgroup(PerdureError)
            raise group_error if ours is None else _first(ours) from None
        finally:
            self.service.close()
            self.host.close()
        await self._leave()

    # ---- start

    async def join(self) -> None:
        """Become a member of the cluster. Raises `ClusterOccupied`, `NodeIdTaken`, `Retryable`."""
        seams, config = self._seams, self._config
        store, env = seams.store, seams.env
        # Joining comes last of all that may fail: a member that goes without leaving counts as a
        # death of whatever was at work.
        self.keys = Keys(store, config.keys_block)
        await self.keys.reserve()
        joined = await store.join(seams.identity, config.slots, seams.is_alive, env.now_us())
        for dead in joined.unclean:
            env.log.warning(
                "a node had died without leaving; its work goes on here",
                extra={"event": "node_taken_over", "node": dead.identity.node_id},
            )
        self.fence = joined.fence
        self.committer = Committer(store, joined.fence, env, config.committer)
        self.loader = Loader(store)
        self.reminders = Reminders(
            store, env, lambda ref, due: self.router.tell(ref, due), config.reminders
        )
        parts = HostParts(env, self.committer, self.loader, self.reminders)
        self.host = ActorHost(parts, lambda actor_id: self.router.owned(actor_id), config.host)
        self.router = Router(self.host, joined.fence, env)
        self.router.adopt(joined.table)
        self.watchers = Watchers()
        surroundings = Surroundings(self._registry, env, self.keys, config.workflows, env.log)
        self.host.register(WORKFLOW, WorkflowActorType(surroundings))
        self.activities = ActivityRunner(
            self._registry, env, self.router.call, seams.executor, config.activities
        )
        self.router.serve(ACTIVITY, self.activities)
        self.recovery = Recovery(store, self.host, env, config.recovery, self.activities.works_for)
        self.host.connect(self.router, self.watchers.announce)
        self.service = WorkflowService(self.router, store, self.watchers, env)
        self._has_joined = True

    def _work(self) -> list[Coroutine[Any, Any, None]]:
        return [
            self.loader.run(),
            self.host.run(),
            self.reminders.run(),
            self.recovery.run(),
            self.keys.run(),
            self.activities.run(),
        ]

    async def _or_fail(self, work: Coroutine[Any, Any, None]) -> None:
        """None of the node's tasks ever ends by itself; one that does takes the node down."""
        await work
        raise AssertionError(f"{work!r} has ended")

    # ---- end

    async def _drain(self) -> None:
        """Let what runs come to an end, and have it all written."""
        self.service.close()
        cancelled = await self.activities.drain(self._config.drain_seconds)
        if cancelled:
            self._seams.env.log.warning(
                "activities did not end in time and were cancelled; the next start runs them",
                extra={"event": "activities_cancelled", "activities": cancelled[:20]},
            )
        self.host.stop_taking()  # Timers go on falling due: it would never become calm.
        try:
            async with asyncio.timeout(self._config.drain_seconds):
                await self.host.calm()
        except TimeoutError:
            pass
        self.host.close()
        self.committer.close()

    async def _leave(self) -> None:
        try:
            await self._seams.store.leave(self.fence)
        except Retryable as error:
            self._seams.env.log.warning(
                "could not say goodbye; the next start finds that out by itself",
                extra={"event": "leave_failed", "reason": str(error)},
            )


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
