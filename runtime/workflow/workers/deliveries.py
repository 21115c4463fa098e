"""Decisions of workers on their way to their instances. An owner module: it has their tasks."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from perdure.actors.identity import ActorRef
from perdure.placement.router import Router
from perdure.runtime.workflow.delivery import until_taken
from perdure.runtime.workflow.messages import WORKFLOW
from perdure.runtime.workflow.workers.work import TurnDecided


class Deliveries:
    """Owned by the dispatcher of turns."""

    def __init__(self, router: Router) -> None:
        self._router = router
        self._tasks: set[asyncio.Task[None]] = set()

    def begin(
        self,
        group: asyncio.TaskGroup,
        instance_id: str,
        decided: TurnDecided,
        taken: Callable[[], None] = lambda: None,
    ) -> None:
        """Bring a decision to its instance, wherever that is, until it has been `taken`."""
        task = group.create_task(self._deliver(instance_id, decided, taken))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _deliver(
        self, instance_id: str, decided: TurnDecided, taken: Callable[[], None]
    ) -> None:
        target = ActorRef(WORKFLOW, instance_id)
        await until_taken(lambda: self._router.call(target, decided))
        taken()

    async def drain(self, seconds: float) -> None:
        """Wait until every decision has been taken, at most so many seconds.

        What is lost with this node is decided again, by another worker.
        """
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=seconds)
