"""One connected worker, and one piece of work in its hands. An owner module."""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque
from collections.abc import Callable

from perdure.actors.errors import Retryable
from perdure.runtime.workflow.messages import ActivityEnd, RunActivity
from perdure.runtime.workflow.workers.capacity import Capacity, Code
from perdure.runtime.workflow.workers.lacking import Lacking
from perdure.runtime.workflow.workers.numbers import action_id
from perdure.runtime.workflow.workers.work import TurnDecided, TurnWork

Outcome = TurnDecided | ActivityEnd
Ended = Callable[[Outcome | None], None]
"""Told what came of an item; None if its worker is gone, or would not do it."""

_CACHED_MAX = 10_000


class WorkerGone(Retryable):
    """The stream of a worker has ended."""


class Item:
    """One piece of work in the hands of a worker."""

    __slots__ = (
        "address",
        "began_us",
        "ended",
        "is_refused",
        "is_turn",
        "lacked",
        "since",
        "stream",
        "token",
        "work",
    )

    def __init__(
        self, token: str, work: TurnWork | RunActivity, stream: WorkerStream, ended: Ended
    ) -> None:
        self.since = asyncio.get_running_loop().time()
        self.token = token
        self.work = work
        self.stream = stream
        self.ended = ended
        self.began_us = 0
        """Of a turn: the time that its code reads as now."""
        self.is_refused = False
        """The worker has it, and would not do it."""
        self.lacked: Outcome | None = None
        """The worker lacks its code. This is what comes of it if all others do, too."""
        self.is_turn = isinstance(work, TurnWork)
        number = 0 if isinstance(work, TurnWork) else action_id(work.task_id)
        self.address = (self.is_turn, work.instance_id, number)
        """By which a worker that sends no tokens names it."""

    @property
    def code(self) -> Code:
        return code_for(self.work)


class WorkerStream:
    """One connected worker. Owned by the pool; `next` is for whoever writes to the stream."""

    def __init__(self, capacity: Capacity, name: str) -> None:
        self.capacity = capacity
        self.name = name
        """For people: who is at the other end."""
        self.turns = 0
        self.activities = 0
        self.is_closed = False
        self.is_draining = False
        self.cached: OrderedDict[str, tuple[int, int, int, int]] = OrderedDict()
        """What a worker with a memory has of an instance: key, run, up to which turn, and how many
        events that are.
        """
        self.lacking = Lacking()
        self._queue: deque[Item | None] = deque()
        self._filled = asyncio.Event()

    @property
    def load(self) -> int:
        return self.turns + self.activities

    def receives(self, size: int) -> bool:
        """Whether it can be sent an item of so many bytes."""
        return self.capacity.receives(size)

    def may_have(self, code: Code) -> bool:
        """Whether it has a name, as far as is known."""
        return self.capacity.names(code) and code not in self.lacking

    def room(self, is_turn: bool) -> int:
        """How many more of one kind it takes, names aside."""
        capacity = self.capacity
        own = self.turns if is_turn else self.activities
        return max(min(capacity.most(is_turn) - own, capacity.together - self.load), 0)

    def put(self, item: Item) -> None:
        self._queue.append(item)
        self._filled.set()

    def put_ping(self) -> None:
        """Have something sent that says no more than that the line is alive.

        What is still to be sent says it as well, and a worker that does not read needs no heap.
        """
        if not self._queue:
            self._queue.append(None)
            self._filled.set()

    async def next(self) -> Item:
        """The next item to be sent. Raises `WorkerGone` once the stream is closed."""
        while (item := await self.next_or_ping()) is None:
            pass
        return item

    async def next_or_ping(self) -> Item | None:
        """The next item to be sent, or None for a ping. Raises `WorkerGone`."""
        while not self._queue:
            if self.is_closed:
                raise WorkerGone(f"the stream to {self.name} is closed")
            self._filled.clear()
            await self._filled.wait()
        return self._queue.popleft()

    def take_unsent(self) -> list[Item]:
        """What nobody has begun."""
        unsent = [item for item in self._queue if item is not None]
        self._queue.clear()
        return unsent

    def close(self) -> None:
        self.is_closed = True
        self._queue.clear()
        self._filled.set()

    def known_events(self, work: TurnWork) -> int:
        """How many past events of this run the worker remembers.

        None if it has seen a later turn: a node that is not the owner any more, and does not know,
        may ask for one that is long decided.
        """
        key, execution, after, count = self.cached.get(work.instance_id, (0, 0, 0, 0))
        is_past = (key, execution) == (work.key, work.execution) and after <= work.after
        return count if is_past else 0

    def remember(self, work: TurnWork, count: int) -> None:
        """It was sent so many past events."""
        if self.capacity.keeps_history:
            self.cached[work.instance_id] = (work.key, work.execution, work.after, count)
            self.cached.move_to_end(work.instance_id)
            if len(self.cached) > _CACHED_MAX:
                self.cached.popitem(last=False)


def code_for(work: TurnWork | RunActivity) -> Code:
    """What a worker must have for it."""
    return Code(isinstance(work, TurnWork), work.name)
