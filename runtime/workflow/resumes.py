"""Resuming what is stalled where only a worker can say whether it can go on by now.

An owner module. The turn is offered to a worker, and what that makes of it answers the caller: the
instance goes on, or is stalled still. Where no worker says anything, neither is known, and what
counts is what can be seen.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Collection

from perdure.actors.errors import NotOwner
from perdure.actors.identity import ActorRef
from perdure.actors.messages import Delivery
from perdure.runtime.workflow.errors import InstanceStalled
from perdure.runtime.workflow.history import Status
from perdure.runtime.workflow.messages import Resume
from perdure.runtime.workflow.ports import WorkflowReads
from perdure.runtime.workflow.workers.lookout import WORKFLOW_NAME

LOOK_SECONDS = 0.5
"""After so long it is looked whether there is a worker at all."""
WORKER_SECONDS = 5.0
"""How long a worker may take to say whether it can go on."""


class OpenResumes:
    """The calls of one instance that wait for a worker's answer. Owned by its actor."""

    def __init__(self) -> None:
        self._open: list[tuple[Resume, Delivery]] = []

    def add(self, message: Resume, delivery: Delivery) -> None:
        self._open.append((message, delivery))

    def take(self) -> list[tuple[Resume, Delivery]]:
        """All of them: they are to be answered now."""
        taken, self._open = self._open, []
        return taken

    def give_up(self, ref: ActorRef) -> None:
        """The actor leaves this node's memory: callers have to ask again, wherever it is then."""
        for _, delivery in self.take():
            if delivery.reply is not None and not delivery.reply.done():
                delivery.reply.set_exception(NotOwner(f"{ref} is not in memory any more"))


async def until_resumed(
    instance_id: str,
    resume: Callable[[], Awaitable[None]],
    reads: WorkflowReads,
    missing: Callable[[], Collection[str]],
) -> None:
    """Resume an instance; if a worker has to say whether it can be, wait for that a little.

    Args:
        instance_id: The instance.
        resume: Does it; may be done again.
        reads: What is stored.
        missing: The names for which there is no worker, as the `lookout` has them.

    Raises `InstanceStalled` if it is so still, and whatever `resume` raises.
    """
    for seconds in (LOOK_SECONDS, WORKER_SECONDS):
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                return await resume()
        found = await reads.get(instance_id)
        if found is None or found[0].status is not Status.STALLED:
            break  # It takes long for some other reason.
        row = found[0]
        if seconds == WORKER_SECONDS or f"{WORKFLOW_NAME}{row.name}" in missing():
            raise InstanceStalled(instance_id, row.stalled or "")
    await resume()
