"""A dispatcher of turns at work, with a router that keeps what it was told. A support module."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, cast

from perdure.actors.identity import ActorRef
from perdure.placement.membership import ClusterView, Membership, NodeRecord
from perdure.placement.router import Router
from perdure.runtime.workflow import history as h
from perdure.runtime.workflow.workers import wire
from perdure.runtime.workflow.workers.capacity import Capacity
from perdure.runtime.workflow.workers.dispatch import TurnDispatch
from perdure.runtime.workflow.workers.dispatching import TurnDispatchConfig, TurnDispatchParts
from perdure.runtime.workflow.workers.lookout import WORKFLOW_NAME, Names
from perdure.runtime.workflow.workers.pool import WorkerPool
from perdure.runtime.workflow.workers.stream import WorkerStream
from perdure.runtime.workflow.workers.work import TURN, TurnDecided, TurnWork
from tests.support.virtual_time import virtually
from tests.unit.actors.given import FakeEnv
from tests.unit.placement.given import APP, record, view

HERE, THERE, YONDER = record("here"), record("there"), record("yonder")
END = h.ExecutionCompleted(h.Status.COMPLETED, "1")


ALL = Names(frozenset({WORKFLOW_NAME}))
"""Its workers take every workflow."""


class Routes:
    """A router that knows three nodes; what is told and asked is kept."""

    def __init__(self) -> None:
        self.view: ClusterView = view(1, HERE, THERE, YONDER)
        self.own_membership: Membership | None = HERE.membership
        self.foreign: set[str] = set()
        """Instances that have another owner."""
        self.asked: list[tuple[str, str]] = []
        """(node, instance) of each turn that was offered to a node."""
        self.answers: list[bytes | Exception] = []
        """To the next offers; else they are taken."""
        self.told: list[tuple[str, Any]] = []
        self.decided: list[TurnDecided] = []
        self.failures: list[Exception] = []
        """Of the next calls of workflows."""

    def is_self(self, node: NodeRecord) -> bool:
        return node.membership == HERE.membership

    def owned(self, instance_id: str) -> tuple[int, int] | None:
        return None if instance_id in self.foreign else (0, 1)

    async def ask(self, node: NodeRecord, type_: str, body: bytes, seconds: float) -> bytes:
        assert type_ == TURN
        _, (giver, work) = wire.decode(body)
        assert giver == HERE.membership
        self.asked.append((node.node_id, work.instance_id))
        answer = self.answers.pop(0) if self.answers else wire.TAKEN
        if isinstance(answer, Exception):
            raise answer
        return answer

    def tell_node(self, node: NodeRecord, ref: ActorRef, body: bytes) -> None:
        assert ref.type == TURN
        self.told.append((node.node_id, wire.decode(body)))

    async def call(self, ref: ActorRef, message: object) -> None:
        if self.failures:
            raise self.failures.pop(0)
        assert isinstance(message, TurnDecided)
        self.decided.append(message)


class Desk:
    """A dispatcher at work."""

    def __init__(self) -> None:
        self.env = FakeEnv()
        self.routes = Routes()
        self.pool = WorkerPool(self.env)
        parts = TurnDispatchParts(cast(Router, self.routes), self.pool, self.env)
        self.dispatch = TurnDispatch(parts, TurnDispatchConfig(app_id=APP))

    def want(self, instance_id: str = "o", **changes: Any) -> TurnWork:
        """An instance of this node wants its turn decided."""
        work = turn(instance_id, **changes)
        self.dispatch.receive(ActorRef(TURN, instance_id), work)
        return work

    def worker(self, **capacity: Any) -> WorkerStream:
        return self.pool.connect(Capacity(**capacity), "w")

    async def say_room(self, node: NodeRecord, room: int, workers: int = 1) -> None:
        self.hear(wire.encode_room(node.membership, room, workers, ALL))
        await settle()

    def hear(self, body: bytes) -> list[bytes]:
        """Another node says something; the answers to it."""
        answers: list[bytes] = []
        self.dispatch.asked(body, answers.append)
        return answers

    async def offered(self, stream: WorkerStream) -> list[str]:
        """The instances of the items that a worker has been sent."""
        return [item.work.instance_id for item in stream.take_unsent()]


def turn(instance_id: str = "o", *, name: str = "order", after: int = 0, key: int = 1) -> TurnWork:
    events = (h.EventRaised("go", None, "r"),)
    return TurnWork(instance_id, key, 1, "x", name, [], 0, events, after, 5)


def decided(work: TurnWork) -> TurnDecided:
    return TurnDecided(work.key, work.execution, work.after, work.covers, 5, (END,))


async def settle() -> None:
    """Let everything happen that needs no time."""
    for _ in range(20):
        await asyncio.sleep(0)


@asynccontextmanager
async def at_work() -> AsyncIterator[Desk]:
    desk = Desk()
    running = asyncio.ensure_future(desk.dispatch.run())
    await settle()
    try:
        yield desk
    finally:
        running.cancel()
        await asyncio.wait([running])


Scene = Callable[[Desk], Awaitable[None]]


def scene(test: Scene) -> Callable[[], None]:
    """Run a test with a dispatcher at work, in virtual time."""

    async def run() -> None:
        async with at_work() as desk, asyncio.timeout(1000):
            await test(desk)

    return virtually(run)
