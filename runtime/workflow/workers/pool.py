"""The workers that are connected to this node, and what each of them has in hand. An owner module.

A worker is a stream: items go out on it, answers come back on calls of their own, by a token. What
a stream held when it ended goes back to whoever had given it.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterable, Sequence

from perdure.actors.ports import Env
from perdure.runtime.workflow.messages import RunActivity
from perdure.runtime.workflow.workers.capacity import Capacity, Code
from perdure.runtime.workflow.workers.lacking import RETURN_SECONDS, Absent
from perdure.runtime.workflow.workers.pace import Pace
from perdure.runtime.workflow.workers.reach import LargeItems
from perdure.runtime.workflow.workers.stream import Ended, Item, Outcome, WorkerStream, code_for
from perdure.runtime.workflow.workers.work import TurnWork


class WorkerPool:
    """Owned by the node's process: workers stay connected while memberships come and go."""

    def __init__(self, env: Env) -> None:
        self._env = env
        self._streams: list[WorkerStream] = []
        self._items: dict[str, Item] = {}
        self._by_address: dict[tuple[bool, str, int], str] = {}
        self._large = LargeItems()
        self._listeners: list[Callable[[], None]] = []
        self._pace = Pace()
        self._is_draining = False
        self._absent = Absent()
        self.lackings = 0
        """Counts what was learned that workers lack."""

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
        self._absent.came(_now())
        if self._is_draining:
            self._drain(stream)
        self._changed()
        return stream

    def disconnect(self, stream: WorkerStream) -> None:
        """A worker has gone; what it had goes back."""
        stream.close()
        if stream in self._streams:
            self._streams.remove(stream)
            self._absent.gone(stream, _now())
            asyncio.get_running_loop().call_later(RETURN_SECONDS + 0.01, self._changed)
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
                    await self.change()

    def part_with(self, stream: WorkerStream) -> None:
        """Send it nothing more, and end it when it has nothing in hand."""
        self._drain(stream)
        self._changed()

    def _drain(self, stream: WorkerStream) -> None:
        stream.is_draining = True
        for item in stream.take_unsent():
            self._end(item, None)
        if not stream.load:
            stream.close()

    # ---- names and room

    def may_have(self, code: Code) -> bool:
        """Whether a worker here has a name, as far as is known: it does it, now or later."""
        return any(stream.may_have(code) for stream in self._open())

    def is_announced(self, code: Code) -> bool:
        """Whether a worker here may be asked for a name, though it may be known to lack it."""
        return any(stream.capacity.names(code) for stream in self._open())

    def may_return(self, code: Code) -> bool:
        """Whether one that has gone a moment ago may have it."""
        return self._absent.may_have(code, _now())

    def room(self, is_turn: bool) -> int:
        """How many turns, or activities, could begin at once, names aside."""
        return sum(stream.room(is_turn) for stream in self._open())

    def activity_capacity(self, name: str) -> int:
        """How many activities of a name run at a time, if nothing else does."""
        able = (s.capacity for s in self._open() if s.capacity.names(Code(False, name)))
        return sum(min(c.activities, c.together) for c in able)

    def fit(self, code: Code, *, in_vain: bool = False) -> list[WorkerStream]:
        """Those that could begin it now; with `in_vain`, those too that are known to lack it."""
        return [
            s
            for s in self._open()
            if s.room(code.is_turn) and (s.capacity.names(code) if in_vain else s.may_have(code))
        ]

    def _open(self) -> Iterable[WorkerStream]:
        return (s for s in self._streams if not (s.is_closed or s.is_draining))

    # ---- items

    def offer_turn(self, work: TurnWork, ended: Ended, *, in_vain: bool = False) -> Item | None:
        """Give a turn to a worker: one that remembers the instance, else the least busy one."""
        fit = self.able(self.fit(code_for(work), in_vain=in_vain), work)
        if not fit:
            return None
        knowing = [s for s in fit if s.capacity.keeps_history and s.known_events(work)]
        stream = min(knowing or fit, key=lambda s: s.load)
        stream.turns += 1
        return self._give(stream, work, ended)

    def reserve(self, fit: Sequence[WorkerStream]) -> WorkerStream:
        """A place for an activity at one of these. Take it by `offer_activity`, or `free` it."""
        stream = min(fit, key=lambda s: s.load)
        stream.activities += 1
        return stream

    def free(self, place: WorkerStream) -> None:
        """A place is not wanted any more."""
        place.activities -= 1
        self._let_go(place)

    def offer_activity(
        self, message: RunActivity, ended: Ended, place: WorkerStream | None = None
    ) -> Item | None:
        """Give an activity to the worker whose place was reserved for it, else to any."""
        if place is not None and (place.is_closed or place.is_draining):
            self.free(place)
            place = None
        if place is None:
            fit = self.able(self.fit(code_for(message)), message)
            if not fit:
                return None
            place = self.reserve(fit)
        return self._give(place, message, ended)

    def able(self, fit: list[WorkerStream], work: TurnWork | RunActivity) -> list[WorkerStream]:
        """Those of them that can be sent it, if it is known to be large."""
        code = code_for(work)
        return self._large.able(fit, work, (s for s in self._open() if s.may_have(code)))

    def waits_for_room(self, message: RunActivity) -> bool:
        """Whether there is room, though not at those workers that can be sent one so large."""
        fit = self.fit(code_for(message))
        return bool(fit) and not self.able(fit, message)

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

    def pass_on(self, item: Item, size: int) -> bool:
        """Take an item of so many bytes from a worker that cannot be sent it.

        False, and nothing is done, if no other one here can.
        """
        others = (s for s in self._open() if s is not item.stream)
        if not any(s.may_have(item.code) and s.receives(size) for s in others):
            return False
        self._large.note(item.work, size)
        self._end(item, None)
        return True

    def lack(self, item: Item, outcome: Outcome) -> None:
        """A worker lacks the code of an item: another one is offered it.

        `outcome` is what it has answered; that counts if no other one has the code.
        """
        if self._items.get(item.token) is not item:
            return
        stream, code = item.stream, item.code
        item.lacked = outcome
        stream.cached.pop(item.work.instance_id, None)
        if stream.lacking.add(code):
            self.lackings += 1
            self._env.log.info(
                "a worker lacks code; others are asked for it",
                extra={"event": "code_lacking", "peer": stream.name, "code": str(code)},
            )
            self._changed()  # Others are told before they get it back.
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
        self._let_go(item.stream)
        item.ended(outcome)

    def _let_go(self, stream: WorkerStream) -> None:
        if stream.is_draining and not stream.load:
            stream.close()

    async def change(self) -> None:
        """Until a worker may take more, or fewer are there."""
        changed = asyncio.Event()
        self.listen(changed.set)
        try:
            await changed.wait()
        finally:
            self.unlisten(changed.set)

    def __repr__(self) -> str:
        return f"<WorkerPool streams={len(self._streams)} items={len(self._items)}>"


def _now() -> float:
    return asyncio.get_running_loop().time()


def _ignore(outcome: Outcome | None) -> None:
    pass
