"""Which worker gets a turn, here or on another node, and what becomes of one that is lost."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, cast

import pytest

from perdure.actors.errors import Retryable
from perdure.actors.identity import ActorRef
from perdure.placement.errors import NodeUnreachable
from perdure.placement.membership import ClusterView, Membership, NodeRecord
from perdure.placement.router import Router
from perdure.runtime.workflow import history as h
from perdure.runtime.workflow.messages import Completion
from perdure.runtime.workflow.workers import wire
from perdure.runtime.workflow.workers.dispatch import (
    TurnDispatch,
    TurnDispatchConfig,
    TurnDispatchParts,
)
from perdure.runtime.workflow.workers.pool import Capacity, WorkerPool, WorkerStream
from perdure.runtime.workflow.workers.work import TURN, TurnDecided, TurnWork
from tests.support.virtual_time import virtually
from tests.unit.actors.given import FakeEnv
from tests.unit.placement.given import APP, record, view

HERE, THERE, YONDER = record("here"), record("there"), record("yonder")
END = h.ExecutionCompleted(h.Status.COMPLETED, "1")


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
        self.hear(wire.encode_room(node.membership, room, workers))
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


# ---- the workers of this node


@scene
async def test_a_turn_goes_to_the_least_busy_worker(desk: Desk) -> None:
    first, second = desk.worker(), desk.worker()
    for number in range(4):
        desk.want(f"o{number}")
    assert [first.turns, second.turns] == [2, 2]


@scene
async def test_a_turn_that_is_told_twice_is_given_out_once(desk: Desk) -> None:
    stream = desk.worker()
    desk.want()
    desk.want()
    assert await desk.offered(stream) == ["o"]


@scene
async def test_a_turn_that_waits_has_what_has_come_since(desk: Desk) -> None:
    desk.want()
    more = turn()
    desk.dispatch.receive(ActorRef(TURN, "o"), more)
    item = await desk.worker().next()
    assert item.work is more


@scene
async def test_a_turn_for_which_no_worker_has_room_waits_for_one(desk: Desk) -> None:
    stream = desk.worker(turns=1, turn_names=frozenset({"order"}))
    first, _ = desk.want("a"), desk.want("b")
    desk.want("c", name="other")
    item = await stream.next()
    assert not stream.take_unsent()
    desk.pool.answer(item, decided(first))
    await settle()
    assert await desk.offered(stream) == ["b"]
    assert await desk.offered(desk.worker()) == ["c"]


@scene
async def test_a_decision_is_brought_until_it_is_taken(desk: Desk) -> None:
    stream, work = desk.worker(), desk.want()
    desk.routes.failures = [Retryable("full"), NodeUnreachable("gone")]
    desk.pool.answer(await stream.next(), decided(work))
    await settle()
    assert not desk.routes.decided
    assert desk.dispatch.works_for(ActorRef(TURN, "o"))
    await asyncio.sleep(1)
    assert desk.routes.decided == [decided(work)]
    assert not desk.dispatch.works_for(ActorRef(TURN, "o"))


@scene
async def test_while_a_decision_is_being_brought_the_turn_is_not_given_out_again(
    desk: Desk,
) -> None:
    stream, work = desk.worker(), desk.want()
    desk.routes.failures = [Retryable("full")] * 3
    desk.pool.answer(await stream.next(), decided(work))
    await settle()
    desk.want()
    assert not await desk.offered(stream)


@scene
async def test_an_answer_counts_once(desk: Desk) -> None:
    stream, work = desk.worker(), desk.want()
    item = await stream.next()
    desk.pool.answer(item, decided(work))
    desk.pool.answer(item, decided(work))
    await settle()
    assert len(desk.routes.decided) == 1
    assert desk.pool.find(item.token, is_turn=True, instance_id="o", task_id=0) is None


@scene
async def test_what_a_lost_stream_had_goes_to_another_worker_under_another_token(
    desk: Desk,
) -> None:
    first = desk.worker()
    work = desk.want()
    item = await first.next()
    second = desk.worker()
    desk.pool.disconnect(first)
    again = await second.next()
    assert again.work is work
    assert again.token != item.token
    assert desk.pool.find(item.token, is_turn=True, instance_id="o", task_id=0) is None


@scene
async def test_a_turn_survives_the_last_worker(desk: Desk) -> None:
    first = desk.worker()
    desk.want()
    desk.pool.disconnect(first)
    await asyncio.sleep(100)
    assert await desk.offered(desk.worker()) == ["o"]


@scene
async def test_what_a_worker_would_not_do_is_offered_again_a_little_later(desk: Desk) -> None:
    stream = desk.worker()
    desk.want()
    desk.pool.refuse(await stream.next())
    await settle()
    assert not await desk.offered(stream)
    await asyncio.sleep(2)
    assert await desk.offered(stream) == ["o"]


@scene
async def test_nobody_waits_any_more_for_a_turn_of_an_instance_that_is_over(desk: Desk) -> None:
    desk.want()
    desk.dispatch.receive(ActorRef(TURN, "o"), None)
    assert not desk.dispatch.works_for(ActorRef(TURN, "o"))
    assert not await desk.offered(desk.worker())


@scene
async def test_the_next_turn_takes_the_place_of_the_one_before(desk: Desk) -> None:
    stream = desk.worker()
    desk.want()
    desk.want(after=1)
    assert await desk.offered(stream) == ["o", "o"]
    assert repr(desk.dispatch).startswith("<TurnDispatch turns=1 ")


# ---- late ones


@scene
async def test_a_worker_that_hangs_loses_its_turn_to_another_one(desk: Desk) -> None:
    hung = desk.worker()
    work = desk.want()
    item = await hung.next()
    other = desk.worker()
    await asyncio.sleep(59)
    assert not await desk.offered(other)
    await asyncio.sleep(2)
    again = (await hung.next()) if hung.turns else (await other.next())
    assert again.work is work
    desk.pool.answer(item, decided(work))  # Too late.
    await settle()
    assert not desk.routes.decided
    desk.pool.answer(again, decided(work))
    await settle()
    assert desk.routes.decided == [decided(work)]


@scene
async def test_a_late_turn_of_another_node_does_not_keep_a_worker_busy_for_ever(
    desk: Desk,
) -> None:
    stream = desk.worker(turns=1)
    assert desk.hear(wire.encode_decide(THERE.membership, turn("theirs"))) == [wire.TAKEN]
    await stream.next()
    desk.want("ours")
    await asyncio.sleep(62)
    assert (await stream.next()).work.instance_id == "ours"


@scene
async def test_nor_does_one_whose_instance_has_another_owner_by_now(desk: Desk) -> None:
    stream = desk.worker(turns=1)
    desk.want("gone")
    await stream.next()
    desk.routes.foreign = {"gone"}
    desk.dispatch.on_view(desk.routes.view)
    desk.want("ours")
    await asyncio.sleep(62)
    assert (await stream.next()).work.instance_id == "ours"


# ---- the workers of other nodes


@scene
async def test_a_turn_goes_to_the_node_with_most_room_if_there_is_none_here(desk: Desk) -> None:
    await desk.say_room(THERE, 1)
    await desk.say_room(YONDER, 2)
    for number in range(4):
        desk.want(f"o{number}")
    await settle()
    assert desk.routes.asked == [("yonder", "o0"), ("there", "o1"), ("yonder", "o2")]
    assert desk.dispatch.given == 3
    await desk.say_room(THERE, 1)
    assert desk.routes.asked[3:] == [("there", "o3")]


@scene
async def test_a_worker_of_this_node_comes_first(desk: Desk) -> None:
    await desk.say_room(THERE, 100)
    stream = desk.worker()
    desk.want()
    await settle()
    assert await desk.offered(stream) == ["o"]
    assert not desk.routes.asked
    assert desk.dispatch.workers == 2


@pytest.mark.parametrize("answer", [wire.NOT_TAKEN, NodeUnreachable("gone")], ids=str)
def test_a_node_that_does_not_take_a_turn_is_not_asked_again_until_it_tells_of_room(
    answer: bytes | Exception,
) -> None:
    @scene
    async def run(desk: Desk) -> None:
        await desk.say_room(THERE, 5)
        desk.routes.answers = [answer]
        desk.want()
        await settle()
        desk.want("p")
        await settle()
        assert desk.routes.asked == [("there", "o")]
        await desk.say_room(THERE, 5)
        assert sorted(desk.routes.asked[1:]) == [("there", "o"), ("there", "p")]

    run()


@scene
async def test_a_turn_that_another_node_has_is_not_given_out_again(desk: Desk) -> None:
    await desk.say_room(THERE, 5)
    desk.want()
    await settle()
    desk.want()
    assert not await desk.offered(desk.worker())


@scene
async def test_a_turn_that_comes_back_goes_to_somebody_else(desk: Desk) -> None:
    await desk.say_room(THERE, 1)
    work = desk.want()
    await settle()
    stream = desk.worker()
    desk.hear(wire.encode_back(turn(after=7)))  # Another one.
    assert not await desk.offered(stream)
    desk.hear(wire.encode_back(work))
    assert await desk.offered(stream) == ["o"]
    desk.hear(wire.encode_back(work))  # Told twice.
    assert not await desk.offered(stream)


@scene
async def test_what_a_node_had_that_is_gone_goes_to_somebody_else(desk: Desk) -> None:
    await desk.say_room(THERE, 1)
    desk.want()
    await settle()
    stream = desk.worker()
    desk.routes.view = view(2, HERE, YONDER)
    desk.dispatch.on_view(desk.routes.view)
    assert await desk.offered(stream) == ["o"]
    assert desk.dispatch.workers == 1


@scene
async def test_a_node_that_hangs_loses_its_turn_to_somebody_else(desk: Desk) -> None:
    await desk.say_room(THERE, 1)
    desk.want()
    await settle()
    stream = desk.worker()
    await asyncio.sleep(62)
    assert await desk.offered(stream) == ["o"]


@scene
async def test_a_decision_that_another_node_has_brought_ends_the_turn(desk: Desk) -> None:
    await desk.say_room(THERE, 1)
    work = desk.want()
    await settle()
    desk.dispatch.answered(Completion(1, 1, h.TaskCompleted(1, None)))
    assert desk.dispatch.works_for(ActorRef(TURN, "o"))
    desk.dispatch.answered(decided(work))
    assert not desk.dispatch.works_for(ActorRef(TURN, "o"))


# ---- for other nodes


@scene
async def test_another_node_s_turn_is_taken_if_there_is_room_and_its_decision_brought(
    desk: Desk,
) -> None:
    stream, work = desk.worker(turns=1), turn("theirs")
    assert desk.hear(wire.encode_decide(THERE.membership, work)) == [wire.TAKEN]
    assert desk.hear(wire.encode_decide(THERE.membership, turn("more"))) == [wire.NOT_TAKEN]
    desk.pool.answer(await stream.next(), decided(work))
    await settle()
    assert desk.routes.decided == [decided(work)]


@scene
async def test_another_node_s_turn_goes_back_if_its_worker_goes(desk: Desk) -> None:
    stream, work = desk.worker(), turn("theirs")
    desk.hear(wire.encode_decide(THERE.membership, work))
    await settle()
    desk.routes.told.clear()
    desk.pool.disconnect(stream)
    assert desk.routes.told == [("there", (wire.BACK, wire.id_of(work)))]


@scene
async def test_nobody_is_told_of_a_lost_turn_whose_node_is_gone(desk: Desk) -> None:
    stream = desk.worker()
    desk.hear(wire.encode_decide(THERE.membership, turn("theirs")))
    desk.routes.view = view(2, HERE)
    desk.routes.told.clear()
    desk.pool.disconnect(stream)
    assert not desk.routes.told


@scene
async def test_others_are_told_of_room_when_it_changes_and_now_and_then(desk: Desk) -> None:
    desk.routes.told.clear()
    desk.worker(turns=3)
    await asyncio.sleep(0.3)
    room = (wire.ROOM, (HERE.membership, 3, 1))
    assert desk.routes.told == [("there", room), ("yonder", room)]
    await asyncio.sleep(1)
    assert len(desk.routes.told) == 2
    await asyncio.sleep(5)
    assert len(desk.routes.told) == 4


@scene
async def test_what_a_stranger_says_of_its_room_is_not_believed(desk: Desk) -> None:
    await desk.say_room(record("stranger"), 100)
    desk.want()
    await settle()
    assert not desk.routes.asked
    assert desk.dispatch.workers == 0
