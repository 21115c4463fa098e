"""Activities whose code is in workers, as the runner sees them. An owner module: it counts them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial

from perdure.runtime.workflow.messages import ActivityEnd, RunActivity
from perdure.runtime.workflow.workers.capacity import Code
from perdure.runtime.workflow.workers.pool import WorkerPool
from perdure.runtime.workflow.workers.stream import Outcome, WorkerGone, WorkerStream
from perdure.runtime.workflow.workers.work import TurnDecided


class AtWorkers:
    """Owned by the runner. Without a pool nothing is at workers.

    Args:
        pool: The workers that are connected to this node.
        are_served: Whether what no node has code for is meant for workers.
        returned: Told of what this node took on and cannot do, because its workers have gone.
        in_vain: Whether no worker of the app has a name. Any one is given it then, and fails it.
    """

    def __init__(
        self,
        pool: WorkerPool | None = None,
        are_served: Callable[[], bool] = lambda: False,
        returned: Callable[[RunActivity], None] = lambda message: None,
        in_vain: Callable[[str], bool] = lambda name: True,
    ) -> None:
        self._pool = pool
        self._are_served = are_served
        self.returned = returned
        self._in_vain = in_vain
        self._places: dict[tuple[int, int, int], WorkerStream] = {}
        """Reserved for what has been begun and not yet been given to its worker."""

    @property
    def are_served(self) -> bool:
        return self._are_served()

    @property
    def room(self) -> int:
        """How many more could begin now, names aside."""
        return 0 if self._pool is None else self._pool.room(is_turn=False)

    def capacity(self, name: str) -> int:
        """How many of this name run at a time, if nothing else does."""
        return 0 if self._pool is None else self._pool.activity_capacity(name)

    def admits(self, name: str) -> bool:
        """Whether one more of this name could begin now."""
        return bool(self._fit(name))

    def _fit(self, name: str) -> list[WorkerStream]:
        if self._pool is None:
            return []
        code = Code(False, name)
        fit = self._pool.fit(code)
        if not fit and not self._pool.may_have(code) and self._in_vain(name):
            return self._pool.fit(code, in_vain=True)
        return fit

    def may_run(self, name: str) -> bool:
        """Whether a worker of this node runs activities of this name, now or later."""
        if self._pool is None:
            return False
        code = Code(False, name)
        if self._pool.may_have(code):
            return True
        return self._pool.is_announced(code) and self._in_vain(name)

    def enter(self, message: RunActivity) -> None:
        """Begin one that is admitted: `run` follows."""
        assert self._pool is not None
        fit = self._pool.able(self._fit(message.name), message)
        if fit:
            self._places[message.key_of_call] = self._pool.reserve(fit)

    def close(self) -> None:
        """What has been begun does not go on."""
        for place in self._places.values():
            assert self._pool is not None
            self._pool.free(place)
        self._places.clear()

    async def run(self, message: RunActivity) -> ActivityEnd:
        """Have a worker of this node run it. Raises `WorkerGone` if that is gone, or lacks it."""
        pool = self._pool
        assert pool is not None
        found: asyncio.Future[Outcome | None] = asyncio.get_running_loop().create_future()
        place = self._places.pop(message.key_of_call, None)
        settle = partial(_settle, found)
        while (item := pool.offer_activity(message, settle, place)) is None:
            if not pool.waits_for_room(message):
                raise WorkerGone(f"no worker here runs activity '{message.name}'")
            place = None
            await pool.change()
        try:
            outcome = await found
        except asyncio.CancelledError:
            pool.withdraw(item)
            raise
        if outcome is None and item.lacked is not None and self._in_vain(message.name):
            outcome = item.lacked
        if outcome is None:
            raise WorkerGone(f"the worker of activity '{message.name}' has not run it")
        assert not isinstance(outcome, TurnDecided)
        return outcome


def _settle(future: asyncio.Future[Outcome | None], outcome: Outcome | None) -> None:
    if not future.done():
        future.set_result(outcome)
