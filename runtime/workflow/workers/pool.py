"""The workers that are connected to this node, and what each of them has in hand. An owner module.

A worker is a stream: items go out on it, answers come back on calls of their own, by a token. What
a stream held when it ended goes back to whoever had given it.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial

from perdure.actors.errors import Retryable
from perdure.actors.ports import Env
from perdure.runtime.workflow.history import TaskCompleted, TaskFailed
from perdure.runtime.workflow.messages import RunActivity
from perdure.runtime.workflow.workers.numbers import action_id
from perdure.runtime.workflow.workers.pace import Pace
from perdure.runtime.workflow.workers.work import TurnDecided, TurnWork

Outcome = TurnDecided | TaskCompleted | TaskFailed
Ended = Callable[[Outcome | None], None]
"""Told what came of an item; None if its worker is gone, or would not do it."""

_CACHED_MAX = 10_000


class WorkerGone(Retryable):
    """The stream of a worker has ended."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Capacity:
    """What a worker takes at a time, and of what."""

    turns: int = 100
    activities: int = 1000
    together: int = 1000
    turn_names: frozenset[str] | None = None
    """The only ones that it has; None if it does not say."""
    activity_names: frozenset[str] | None = None
    keeps_history: bool = False
    """It remembers what it was sent of an instance: what follows is enough."""


class Item:
    """One piece of work in the hands of a worker."""

    __slots__ = (
        "address",
        "began_us",
        "ended",
        "is_refused",
        "is_turn",
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
        self.is_turn = isinstance(work, TurnWork)
        number = 0 if isinstance(work, TurnWork) else action_id(work.task_id)
        self.address = (self.is_turn, work.instance_id, number)
        """By which a worker that sends no tokens names it."""


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
        self.cached: OrderedDict[str, tuple[int, int, int]] = OrderedDict()
        """Key, run and number of events that a worker with a memory has of an instance."""
        self._queue: deque[Item | None] = deque()
        self._filled = asyncio.Event()

    @property
    def load(self) -> int:
        return self.turns + self.activities

    def takes_turn(self, name: str) -> bool:
        """Whether it can begin a turn of this workflow now."""
        capacity = self.capacity
        return (
            self.turns < capacity.turns
            and self.load < capacity.together
            and (capacity.turn_names is None or name in capacity.turn_names)
        )

    def takes_activity(self, name: str) -> bool:
        capacity = self.capacity
        return (
            self.activities < capacity.activities
            and self.load < capacity.together
            and (capacity.activity_names is None or name in capacity.activity_names)
        )

    def put(self, item: Item) -> None:
        self._queue.append(item)
        self._filled.set()

    def put_ping(self) -> None:
        """Have something sent that says no more than that the line is alive."""
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
        """How many past events of this run the worker remembers."""
        key, execution, count = self.cached.get(work.instance_id, (0, 0, 0))
        return count if (key, execution) == (work.key, work.execution) else 0

    def remember(self, work: TurnWork, count: int) -> None:
        """It was sent so many past events."""
        if self.capacity.keeps_history:
            self.cached[work.instance_id] = (work.key, work.execution, count)
            self.cached.move_to_end(work.instance_id)
            if len(self.cached) > _CACHED_MAX:
                self.cached.popitem(last=False)


class WorkerPool:
    """Owned by the node's process: workers stay connected while memberships come and go."""

    def __init__(self, env: Env) -> None:
        self._env = env
        self._streams: list[WorkerStream] = []
        self._items: dict[str, Item] = {}
        self._by_address: dict[tuple[bool, str, int], str] = {}
        self._listeners: list[Callable[[], None]] = []
        self._pace = Pace()
        self._is_draining = False

    def listen(self, changed: Callable[[], None]) -> None:
        """Have `changed` called whenever a worker may take more, or fewer are there."""
        self._listeners.append(changed)

    def unlisten(self, changed: Callable[[], None]) -> None:
        self._listeners.remove(changed)

    def _changed(self) -> None:
        for listener in list(self._listeners):
            listener()

    # ---- streams

    @property
    def streams(self) -> list[WorkerStream]:
        return self._streams

    def connect(self, capacity: Capacity, name: str) -> WorkerStream:
        """A worker has come."""
        stream = WorkerStream(capacity, name)
        self._streams.append(stream)
        if self._is_draining:
            self._drain(stream)
        self._changed()
        return stream

    def disconnect(self, stream: WorkerStream) -> None:
        """A worker has gone; what it had goes back."""
        stream.close()
        if stream in self._streams:
            self._streams.remove(stream)
        for item in [item for item in self._items.values() if item.stream is stream]:
            self._end(item, None)
        self._changed()

    async def drain(self, seconds: float) -> None:
        """Send nothing more, and wait until what the workers have is answered.

        Each stream ends then, and its worker looks for another node; after so many seconds the rest
        is waited for no longer.
        """
        self._is_draining = True
        for stream in list(self._streams):
            self._drain(stream)
        self._changed()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while self._streams:
                    await self._room()

    def _drain(self, stream: WorkerStream) -> None:
        stream.is_draining = True
        for item in stream.take_unsent():
            self._end(item, None)
        if not stream.load:
            stream.close()

    # ---- room

    def turn_room(self) -> int:
        """How many turns could begin at once, names aside."""
        return sum(
            max(min(s.capacity.turns - s.turns, s.capacity.together - s.load), 0)
            for s in self._open()
        )

    def activity_capacity(self) -> int:
        """How many activities all workers here together run at a time."""
        return sum(min(s.capacity.activities, s.capacity.together) for s in self._open())

    def may_run(self, activity: str) -> bool:
        """Whether a worker here runs activities of this name, now or later."""
        return any(
            s.capacity.activity_names is None or activity in s.capacity.activity_names
            for s in self._open()
        )

    def _open(self) -> Iterable[WorkerStream]:
        return (s for s in self._streams if not (s.is_closed or s.is_draining))

    # ---- items

    def offer_turn(self, work: TurnWork, ended: Ended) -> Item | None:
        """Give a turn to a worker: one that remembers the instance, else the least busy one."""
        fit = [s for s in self._open() if s.takes_turn(work.name)]
        if not fit:
            return None
        knowing = [s for s in fit if s.capacity.keeps_history and s.known_events(work)]
        stream = min(knowing or fit, key=lambda s: s.load)
        stream.turns += 1
        return self._give(stream, work, ended)

    def offer_activity(self, message: RunActivity, ended: Ended) -> Item | None:
        fit = [s for s in self._open() if s.takes_activity(message.name)]
        if not fit:
            return None
        stream = min(fit, key=lambda s: s.load)
        stream.activities += 1
        return self._give(stream, message, ended)

    def _give(self, stream: WorkerStream, work: TurnWork | RunActivity, ended: Ended) -> Item:
        item = Item(self._env.new_id(), work, stream, ended)
        self._items[item.token] = item
        self._by_address[item.address] = item.token
        stream.put(item)
        return item

    def find(self, token: str, *, is_turn: bool, instance_id: str, task_id: int) -> Item | None:
        """The item that an answer is to. Without a token, the one that was sent last.

        None for what is not under way any more: such an answer changes nothing.
        """
        if not token:
            token = self._by_address.get((is_turn, instance_id, task_id), "")
        item = self._items.get(token)
        return item if item is not None and item.is_turn == is_turn else None

    def patience(self) -> float:
        """How many seconds it is worth to wait for one more answer."""
        return self._pace.patience(len(self._items))

    def turns_since(self, before: float) -> list[Item]:
        """Turns that a worker has had since a time before that, by the loop's clock."""
        return [item for item in self._items.values() if item.is_turn and item.since < before]

    def answer(self, item: Item, outcome: Outcome) -> None:
        """An item is done."""
        if self._items.get(item.token) is item:
            self._pace.answered(asyncio.get_running_loop().time() - item.since)
            self._end(item, outcome)
            self._changed()

    def refuse(self, item: Item) -> None:
        """A worker will not do it; another one might, or the same one later."""
        if self._items.get(item.token) is item:
            item.is_refused = True
            self._end(item, None)
            self._changed()

    def withdraw(self, item: Item) -> None:
        """Nobody waits for an item any more; an answer will change nothing."""
        if self._items.get(item.token) is item:
            item.ended = _ignore
            self._end(item, None)
            self._changed()

    def _end(self, item: Item, outcome: Outcome | None) -> None:
        del self._items[item.token]
        if self._by_address.get(item.address) == item.token:
            del self._by_address[item.address]
        if item.is_turn:
            item.stream.turns -= 1
        else:
            item.stream.activities -= 1
        if item.stream.is_draining and not item.stream.load:
            item.stream.close()
        item.ended(outcome)

    async def run_activity(self, message: RunActivity) -> TaskCompleted | TaskFailed:
        """Have an activity run by a worker of this node, by another one if the first is gone.

        Raises `WorkerGone` if none is left here that could run it.
        """
        while True:
            outcome: asyncio.Future[Outcome | None] = asyncio.get_running_loop().create_future()
            item = self.offer_activity(message, partial(_settle, outcome))
            if item is None:
                if not self.may_run(message.name):
                    raise WorkerGone(f"no worker here runs activity '{message.name}'")
                await self._room()
                continue
            try:
                found = await outcome
            except asyncio.CancelledError:
                self.withdraw(item)
                raise
            if found is not None:
                assert not isinstance(found, TurnDecided)
                return found

    async def _room(self) -> None:
        """Until something has changed."""
        changed: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        def wake() -> None:
            if not changed.done():
                changed.set_result(None)

        self.listen(wake)
        try:
            await changed
        finally:
            self.unlisten(wake)

    def __repr__(self) -> str:
        return f"<WorkerPool streams={len(self._streams)} items={len(self._items)}>"


def _settle(future: asyncio.Future[Outcome | None], outcome: Outcome | None) -> None:
    if not future.done():
        future.set_result(outcome)


def _ignore(outcome: Outcome | None) -> None:
    pass
