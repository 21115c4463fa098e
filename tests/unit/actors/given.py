"""A scripted store, a clock, a toy actor and a host of them, for the tests of the actor runtime."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from perdure.actors.committer import Committer, CommitterConfig
from perdure.actors.errors import Fault
from perdure.actors.gate import Gate, Limits
from perdure.actors.host import ActorHost, HostConfig, HostParts
from perdure.actors.identity import ActorRef, slot_of
from perdure.actors.loader import Loader
from perdure.actors.messages import Delivery, Quarantine
from perdure.actors.ports import DueReminder, Fence, InboxRow, Snapshot
from perdure.actors.reminders import Reminders, RemindersConfig
from perdure.actors.unit_of_work import Decision, Outgoing, UnitOfWork

FENCE = Fence("n1", "first", 1)
TOY = "toy"
SLOTS = 8


def ref(actor_id: str) -> ActorRef:
    return ActorRef(TOY, actor_id)


def unit(actor_id: str = "a", size: int = 1) -> UnitOfWork:
    return UnitOfWork(ref(actor_id), 0, 1, 1, size=size)


class FakeEnv:
    """Wall clock that goes with the loop's; `skew_us` is how far somebody has set it."""

    def __init__(self) -> None:
        self.random = random.Random(1)
        self.log = logging.getLogger("perdure.tests")
        self.skew_us = 0

    def now_us(self) -> int:
        return int(asyncio.get_running_loop().time() * 1e6) + self.skew_us

    def new_id(self) -> str:
        return f"{self.random.getrandbits(128):032x}"


Outcome = Exception | None
Page = tuple[Sequence[ActorRef], int]


class ScriptedStore:
    """Does what it is told. Every commit that succeeds is kept in `batches`."""

    def __init__(self) -> None:
        self.commits: list[Exception | dict[str, Exception]] = []
        """What becomes of the next commits: an error of all, or errors by actor id."""
        self.batches: list[list[UnitOfWork]] = []
        self.hold: asyncio.Event | None = None
        """While it is there and not set, commits do not end."""
        self.committing = asyncio.Event()
        self.inboxes: dict[ActorRef, list[InboxRow]] = {}
        self.load_errors: list[Exception] = []
        self.loads: list[list[ActorRef]] = []
        self.looks: list[list[ActorRef]] = []
        self.hold_looks: asyncio.Event | None = None
        """While it is there and not set, reads of inboxes have read and do not end."""
        self.reminders: list[DueReminder] = []
        self.scanning = asyncio.Event()
        self.pages: dict[str, list[Page | Exception]] = {}
        self.scanned: list[tuple[str, int]] = []
        self.key_blocks: list[Exception] = []
        self.next_key = 1

    async def load(self, refs: Sequence[ActorRef]) -> Sequence[Snapshot]:
        self.loads.append(list(refs))
        await asyncio.sleep(0)
        if self.load_errors:
            raise self.load_errors.pop(0)
        return [Snapshot(each, None, list(self.inboxes.get(each, []))) for each in refs]

    async def load_inboxes(self, refs: Sequence[ActorRef]) -> Sequence[Sequence[InboxRow]]:
        self.looks.append(list(refs))
        rows = [list(self.inboxes.get(each, [])) for each in refs]
        await asyncio.sleep(0)
        if self.hold_looks is not None:
            await self.hold_looks.wait()
        if self.load_errors:
            raise self.load_errors.pop(0)
        return rows

    async def commit(self, fence: Fence, units: Sequence[UnitOfWork]) -> Sequence[Outcome]:
        assert fence is FENCE
        self.committing.set()
        await asyncio.sleep(0)
        if self.hold is not None:
            await self.hold.wait()
        told = self.commits.pop(0) if self.commits else {}
        if isinstance(told, Exception):
            raise told
        outcomes = [told.get(each.ref.id) for each in units]
        written = [each for each, error in zip(units, outcomes, strict=True) if error is None]
        self.batches.append(written)
        for each in written:
            rows = self.inboxes.get(each.ref, [])
            self.inboxes[each.ref] = [r for r in rows if r.message_id not in each.consumed]
        return outcomes

    async def scan_reminders(
        self, fence: Fence, before_us: int, limit: int
    ) -> Sequence[DueReminder]:
        assert fence is FENCE
        self.scanning.set()
        await asyncio.sleep(0)
        told = self.pages.get("reminders")
        if told:
            error = told.pop(0)
            assert isinstance(error, Exception)
            raise error
        due = sorted(self.reminders, key=lambda reminder: reminder.due_us)
        return [reminder for reminder in due if reminder.due_us < before_us][:limit]

    async def _scan(self, fence: Fence, kind: str, after: int) -> Page:
        assert fence is FENCE
        self.scanned.append((kind, after))
        await asyncio.sleep(0)
        told = self.pages.get(kind)
        page = told.pop(0) if told else ((), -1)
        if isinstance(page, Exception):
            raise page
        return page

    async def scan_work(self, fence: Fence, after: int, limit: int) -> Page:
        return await self._scan(fence, "work", after)

    async def scan_stalled(self, fence: Fence, after: int, limit: int) -> Page:
        return await self._scan(fence, "stalled", after)

    async def scan_inbox(self, fence: Fence, after: int, limit: int) -> Page:
        return await self._scan(fence, "inbox", after)

    async def reserve_keys(self, count: int) -> range:
        await asyncio.sleep(0)
        if self.key_blocks:
            raise self.key_blocks.pop(0)
        first, self.next_key = self.next_key, self.next_key + count
        return range(first, first + count)


Behave = Callable[["ToyActor", Delivery, Decision, UnitOfWork], None]


class ToyActor:
    """Answers each call with its body; `behave` of its type may do more."""

    def __init__(self, kind: ToyType, snapshot: Snapshot) -> None:
        self.kind = kind
        self.ref = snapshot.ref
        self.is_closed = False

    def decide(self, batch: Sequence[Delivery], now_us: int) -> Decision:
        assert not self.is_closed
        kind, name = self.kind, self.ref.id
        kind.turns.append((name, [delivery.body for delivery in batch]))
        decision = Decision()
        change = UnitOfWork(self.ref, 0, 1, 1)
        for delivery in batch:
            if delivery.message_id is not None:
                change.consumed.append(delivery.message_id)
            if delivery.reply is not None:
                decision.replies.append((delivery.reply, delivery.body))
            kind.behave(self, delivery, decision, change)
        if any(not isinstance(delivery.body, Quarantine) for delivery in batch):
            decision.unit = change
        return decision

    def name_of_turn(self, batch: Sequence[Delivery]) -> str:
        return self.ref.id.partition("-")[0]

    def close(self) -> None:
        self.is_closed = True
        self.kind.closed.append(self.ref.id)


@dataclass
class ToyType:
    behave: Behave = lambda actor, delivery, decision, change: None
    turns: list[tuple[str, list[object]]] = field(default_factory=list)
    activated: list[str] = field(default_factory=list)
    closed: list[str] = field(default_factory=list)

    def activate(self, snapshot: Snapshot, slot: int, epoch: int) -> ToyActor:
        self.activated.append(snapshot.ref.id)
        return ToyActor(self, snapshot)

    def decode(self, row: InboxRow) -> object:
        if row.body == b"damaged":
            raise Fault("undecodable")
        return row.body.decode()

    def bodies(self, actor_id: str) -> list[object]:
        """Everything that an actor was given, over all its turns."""
        return [body for name, turn in self.turns if name == actor_id for body in turn]


class Sink:
    """Outbound messages, as they come."""

    def __init__(self) -> None:
        self.told: list[tuple[ActorRef, object]] = []
        self.hinted: list[Outgoing] = []

    def tell(self, target: ActorRef, message: object) -> None:
        self.told.append((target, message))

    def hint(self, outgoing: Outgoing) -> None:
        self.hinted.append(outgoing)


@dataclass
class Hosted:
    """A host of toys with its committer, loader and neighbours, all running."""

    host: ActorHost
    committer: Committer
    toys: ToyType
    sink: Sink
    announced: list[tuple[ActorRef, object]]
    gate: Gate
    owned: set[str] | None = None
    """Ids that this node owns; None for all."""
    epoch: int = 1

    async def call(self, actor_id: str, body: object) -> Any:
        return await self.host.call(ref(actor_id), body)

    def tell(self, actor_id: str, body: object, message_id: str | None = None) -> None:
        self.host.deliver(ref(actor_id), Delivery(body, None, message_id))


@asynccontextmanager
async def hosting(
    store: ScriptedStore,
    env: FakeEnv,
    toys: ToyType | None = None,
    *,
    limits: Limits | None = None,
    **settings: Any,
) -> AsyncIterator[Hosted]:
    committer, gate = Committer(store, FENCE, env, CommitterConfig()), Gate(limits)
    loader = Loader(store)
    reminders = Reminders(store, FENCE, env, lambda ref, due: None, RemindersConfig())
    toys = toys or ToyType()
    config = HostConfig(**settings)
    found: list[Hosted] = []

    def owned(actor_id: str) -> tuple[int, int] | None:
        allowed = found[0].owned
        mine = allowed is None or actor_id in allowed
        return (slot_of(actor_id, SLOTS), found[0].epoch) if mine else None

    host = ActorHost(HostParts(env, committer, loader, reminders, gate), owned, config)
    hosted = Hosted(host, committer, toys, Sink(), [], gate)
    found.append(hosted)
    host.register(TOY, toys)
    host.connect(hosted.sink, lambda ref, news: hosted.announced.append((ref, news)))
    async with running(committer.run(), loader.run(), host.run()):
        yield hosted


@asynccontextmanager
async def running(*work: Coroutine[Any, Any, Any]) -> AsyncIterator[list[asyncio.Task[Any]]]:
    """The given coroutines as tasks, until the block ends; their errors end it."""
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(each) for each in work]
        yield tasks
        for task in tasks:
            task.cancel()


async def settled() -> None:
    """Let everything happen that can happen without time going on."""
    for _ in range(50):
        await asyncio.sleep(0)
