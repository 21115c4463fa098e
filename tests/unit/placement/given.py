"""Members, views, a line between routers and a database without threads, for tests of placement."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import Any, ClassVar, TypeVar

from perdure.actors.errors import Fault
from perdure.actors.identity import ActorRef, slot_of
from perdure.actors.messages import Delivery
from perdure.actors.ports import Fence
from perdure.placement.agent import Agent, AgentConfig, AgentParts
from perdure.placement.errors import NodeUnreachable
from perdure.placement.membership import (
    ClusterView,
    Membership,
    NodeIdentity,
    NodeRecord,
    NodeState,
)
from perdure.placement.ports import Answer, HandOver, Joined
from perdure.placement.router import Router, RouterConfig, RouterParts
from perdure.placement.table import PlacementTable, SlotOwner
from perdure.runtime.storage.migrations import migrate
from perdure.runtime.storage.sqlite import SqliteStore
from tests.unit.actors.given import FakeEnv, running

T = TypeVar("T")

APP = "shop"
SLOTS = 8
ILLEGIBLE = "illegible"
"""A message that cannot be read where it arrives."""


def identity(node_id: str, incarnation: str = "", **changes: Any) -> NodeIdentity:
    fields: dict[str, Any] = {
        "app_id": APP,
        "address": "127.0.0.1:1",
        "pid": 1,
        "started": 1,
        "boot_id": "boot",
    }
    return NodeIdentity(
        node_id=node_id, incarnation=incarnation or f"of {node_id}", **{**fields, **changes}
    )


def record(node_id: str, generation: int = 1, **changes: Any) -> NodeRecord:
    fields: dict[str, Any] = {"heartbeat": 1, "state": NodeState.UP, "app_id": APP, **changes}
    app_id = fields.pop("app_id")
    return NodeRecord(
        identity=identity(node_id, f"of {node_id}", app_id=app_id), generation=generation, **fields
    )


def table(version: int, owners: Sequence[NodeRecord]) -> PlacementTable:
    """The slots go round among the owners; all have the version as their epoch."""
    slots = [owners[slot % len(owners)] for slot in range(SLOTS)]
    return PlacementTable(
        version, tuple(SlotOwner(n.node_id, n.generation, version) for n in slots)
    )


def view(version: int, *nodes: NodeRecord, owners: Sequence[NodeRecord] = ()) -> ClusterView:
    tables = {APP: table(version, owners or nodes)}
    return ClusterView(version=version, nodes=nodes, tables=tables)


def ref_in(slot: int) -> ActorRef:
    """An actor of that slot."""
    number = next(n for n in range(10_000) if slot_of(f"a{n}", SLOTS) == slot)
    return ActorRef("toy", f"a{number}")


# ---- a host and a codec


class Texts:
    """Messages and answers are texts; answers that are errors go by their names."""

    errors: ClassVar[dict[str, type[Exception]]] = {}

    def encode(self, message: Any) -> bytes:
        return str(message).encode()

    def decode(self, body: bytes) -> object:
        if body.decode() == ILLEGIBLE:
            raise Fault("no text")
        return body.decode()

    def encode_answer(self, answer: object) -> bytes:
        if isinstance(answer, Exception):
            Texts.errors[type(answer).__name__] = type(answer)
            return f"!{type(answer).__name__} {answer}".encode()
        return str(answer).encode()

    def decode_answer(self, body: bytes) -> object:
        text = body.decode()
        if not text.startswith("!"):
            return text
        name, _, about = text[1:].partition(" ")
        return Texts.errors[name](about)


class Host:
    """Answers each call at once, unless it is told to fail; keeps what came."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, object, bool]] = []
        """(actor id, message, is a repeat)"""
        self.delivered: list[tuple[ActorRef, Delivery]] = []
        self.looked: list[ActorRef] = []
        self.refusals: list[Exception] = []
        """What the next messages are refused with."""
        self.failures: list[Exception] = []
        """What the next calls come to that are not refused."""
        self.vacated: list[int] = []
        self.log: list[str] = []
        self.dropped_strangers = 0

    def call(
        self, ref: ActorRef, message: object, *, is_new: bool = False, is_repeat: bool = False
    ) -> asyncio.Future[Any]:
        if self.refusals:
            raise self.refusals.pop(0)
        self.calls.append((ref.id, message, is_repeat))
        reply = asyncio.get_running_loop().create_future()
        if self.failures:
            asyncio.get_running_loop().call_later(0.001, reply.set_exception, self.failures.pop(0))
        else:
            reply.set_result(f"answer to {message}")
        return reply

    def deliver(self, ref: ActorRef, delivery: Delivery) -> None:
        if self.refusals:
            raise self.refusals.pop(0)
        self.delivered.append((ref, delivery))

    def look(self, ref: ActorRef) -> None:
        if self.refusals:
            raise self.refusals.pop(0)
        self.looked.append(ref)

    async def vacate(self, slots: Iterable[int]) -> None:
        self.vacated += list(slots)
        self.log.append("vacate")
        await asyncio.sleep(0.01)

    def drop_strangers(self) -> None:
        self.dropped_strangers += 1


# ---- the line between nodes


class Line:
    """Hands messages to the routers that it knows. One `Peers` for all nodes of a test."""

    def __init__(self) -> None:
        self.routers: dict[str, Router] = {}
        self.troubles: list[Exception] = []
        """What the next calls come to, in place of an answer."""
        self.lost_answers = 0
        """So many calls are carried out, and their answers lost."""
        self.garbled: list[bytes] = []
        """What the next calls are answered with."""
        self.called: list[str] = []
        self.told: list[tuple[str, bytes]] = []
        self.adopted: list[list[str]] = []

    async def call(self, node: NodeRecord, request: bytes, seconds: float) -> bytes:
        self.called.append(node.node_id)
        await asyncio.sleep(0.001)
        if self.troubles:
            raise self.troubles.pop(0)
        if self.garbled:
            return self.garbled.pop(0)
        router = self.routers.get(node.node_id)
        if router is None:
            await asyncio.sleep(seconds)
            raise NodeUnreachable(f"no way to {node.node_id}")
        answer: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        router.received(request, answer.set_result)
        found = await answer
        if self.lost_answers:
            self.lost_answers -= 1
            raise NodeUnreachable("the line broke")
        return found

    def tell(self, node: NodeRecord, message: bytes) -> None:
        self.told.append((node.node_id, message))
        if node.node_id in self.routers:
            self.routers[node.node_id].received(message, None)

    def admit(self, node_id: str, incarnation: str, secret: str) -> None:
        pass

    def adopt(self, nodes: Sequence[NodeRecord]) -> None:
        self.adopted.append([node.node_id for node in nodes])


@dataclass
class Routed:
    """A router, its host, and how often it has asked for a newer view."""

    router: Router
    host: Host
    refreshed: int = 0
    on_refresh: Callable[[], None] = lambda: None


def routed(env: FakeEnv, line: Line, node: NodeRecord | None, app_id: str = APP) -> Routed:
    """The router of `node`, open under its membership; shut without a node."""
    found: list[Routed] = []

    def refresh() -> None:
        found[0].refreshed += 1
        found[0].on_refresh()

    router = Router(RouterParts(env, line, Texts(), refresh), RouterConfig(app_id=app_id))
    host = Host()
    found.append(Routed(router, host))
    if node is not None:
        router.open(host, Fence(node.node_id, node.identity.incarnation, node.generation))
        line.routers[node.node_id] = router
    return found[0]


# ---- a database without threads


class Direct:
    """A runner in the thread of the loop: each transaction whole, after a moment."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    async def write(self, fn: Callable[[sqlite3.Connection], T]) -> T:
        await asyncio.sleep(0.001)
        return fn(self._connection)

    async def read(self, fn: Callable[[sqlite3.Connection], T]) -> T:
        return await self.write(fn)

    async def close(self) -> None:
        pass


@dataclass
class Rows:
    """The real store on it, which fails when it is told to, and keeps what was asked of it."""

    store: SqliteStore
    troubles: dict[str, list[Exception]] = field(default_factory=dict)
    """What the next calls come to, by the name of the operation; nothing is done then."""
    asked: list[str] = field(default_factory=list)

    def __getattr__(self, name: str) -> Any:
        operation = getattr(self.store, name)

        async def call(*args: Any, **kwargs: Any) -> Any:
            self.asked.append(name)
            if self.troubles.get(name):
                raise self.troubles[name].pop(0)
            return await operation(*args, **kwargs)

        return call


@contextmanager
def database() -> Iterator[Direct]:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    migrate(connection)
    try:
        yield Direct(connection)
    finally:
        connection.close()


# ---- a node of agents


class Process:
    """A node as far as placement goes: it joins, beats, and looks at the rows."""

    def __init__(self, world: World, node_id: str, joined: Joined, lease_seconds: float) -> None:
        self.rows = world.rows_of(node_id)
        self.fence = joined.fence
        self.joined = joined
        self.routed = routed(world.env, world.line, None)
        self.router, self.host = self.routed.router, self.routed.host
        world.line.routers[node_id] = self.router
        self.wrote_at = asyncio.get_running_loop().time()
        self.is_frozen = False
        self.gained = 0
        self.views: list[int] = []
        store: Any = self.rows
        parts = AgentParts(
            store, world.env, self.router, world.line, self.host, world.is_alive, self._wrote_at
        )
        config = AgentConfig(
            app_id=APP, lease_seconds=lease_seconds, poll_seconds=lease_seconds / 5
        )
        self.agent = Agent(parts, self.fence, config)
        self.agent.on_gained = self._on_gained
        self.agent.on_view = lambda found: self.views.append(found.version)
        self.routed.on_refresh = self.agent.refresh
        self.router.serve("node", self)
        self.router.open(self.host, self.fence)
        self.agent.adopt(joined.view)

    def _wrote_at(self) -> float:
        return self.wrote_at

    def _on_gained(self) -> None:
        self.gained += 1

    @property
    def membership(self) -> Membership:
        return Membership(self.fence.node_id, self.fence.generation)

    @property
    def slots(self) -> set[int]:
        return set(self.router.owned_slots)

    def receive(self, ref: ActorRef, message: object) -> None:
        raise AssertionError

    def asked(self, body: bytes, answer: Callable[[bytes], None]) -> None:
        self.agent.refresh()

    async def beat(self) -> None:
        while True:
            began = asyncio.get_running_loop().time()
            if not self.is_frozen:
                await self.rows.store.commit(self.fence, [])
                self.wrote_at = began
            await asyncio.sleep(1.0)


class World:
    """One database, one line, and who is alive."""

    def __init__(self, env: FakeEnv, direct: Direct) -> None:
        self.env = env
        self.direct = direct
        self.line = Line()
        self.dead: set[str] = set()
        """Incarnations whose process is gone for certain."""

    def rows_of(self, node_id: str) -> Rows:
        return Rows(SqliteStore(self.direct, APP))

    def is_alive(self, who: NodeIdentity) -> bool:
        return who.incarnation not in self.dead

    async def joined(self, node_id: str, lease_seconds: float = 5.0, **changes: Any) -> Process:
        who = identity(node_id, **changes)
        store = SqliteStore(self.direct, APP)
        return Process(self, node_id, await store.join(who, SLOTS, self.is_alive), lease_seconds)

    @asynccontextmanager
    async def running(self, *processes: Process) -> AsyncIterator[list[asyncio.Task[Any]]]:
        """Agents and heartbeats of these, until the block ends; the agents' tasks first."""
        agents = [process.agent.run() for process in processes]
        async with running(*agents, *[process.beat() for process in processes]) as tasks:
            yield tasks

    async def owners(self) -> list[str]:
        """Who owns each slot by the rows."""
        found = await SqliteStore(self.direct, APP).read_cluster()
        return [owner.node_id for owner in found.tables[APP].owners]


def answered() -> tuple[list[bytes], Answer]:
    found: list[bytes] = []
    return found, found.append


def given_to(owner: Process, to: Process, *slots: int) -> list[HandOver]:
    owned = owner.joined.table.owned_by(*owner.membership)
    return [HandOver(slot, owned[slot], to.membership) for slot in slots]
