"""Activities whose code is in workers, as the runner sees them. An owner module: it counts them."""

from __future__ import annotations

from collections.abc import Callable

from perdure.runtime.workflow.messages import ActivityEnd, RunActivity
from perdure.runtime.workflow.workers.pool import WorkerPool


class AtWorkers:
    """Owned by the runner. Without a pool nothing is at workers.

    Args:
        pool: The workers that are connected to this node.
        are_served: Whether what no node has code for is meant for workers.
        returned: Told of what this node took on and cannot do, because its workers have gone.
    """

    def __init__(
        self,
        pool: WorkerPool | None = None,
        are_served: Callable[[], bool] = lambda: False,
        returned: Callable[[RunActivity], None] = lambda message: None,
    ) -> None:
        self._pool = pool
        self._are_served = are_served
        self.returned = returned
        self.running = 0

    @property
    def are_served(self) -> bool:
        return self._are_served()

    @property
    def room(self) -> int:
        """How many more could begin now."""
        return 0 if self._pool is None else self._pool.activity_capacity() - self.running

    def may_run(self, name: str) -> bool:
        """Whether a worker of this node runs activities of this name, now or later."""
        return self._pool is not None and self._pool.may_run(name)

    async def run(self, message: RunActivity) -> ActivityEnd:
        """Have a worker of this node run it. Raises `WorkerGone` if none is left."""
        assert self._pool is not None
        return await self._pool.run_activity(message)
