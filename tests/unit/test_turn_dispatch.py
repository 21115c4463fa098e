"""Which worker of this node gets a turn, and what becomes of one that is lost, or late."""

from __future__ import annotations

import asyncio

from perdure.actors.errors import Retryable
from perdure.actors.gate import Limits
from perdure.actors.identity import ActorRef
from perdure.placement.errors import NodeUnreachable
from perdure.runtime.workflow.workers import wire
from perdure.runtime.workflow.workers.work import TURN
from tests.unit.turns_given import THERE, Desk, decided, scene, settle, turn

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
async def test_no_more_turns_are_out_than_the_limits_allow(desk: Desk) -> None:
    stream = desk.worker()
    desk.dispatch.limit(Limits(2, {"order": 1}))
    first = desk.want("a")
    desk.want("b")
    desk.want("c", name="bill")
    desk.want("d", name="bill")
    one, other = await stream.next(), await stream.next()
    assert [one.work.instance_id, other.work.instance_id] == ["a", "c"]
    assert not stream.take_unsent()
    desk.pool.answer(one, decided(first))
    await settle()
    assert await desk.offered(stream) == ["b"]
    desk.dispatch.limit(Limits())
    assert await desk.offered(stream) == ["d"]


@scene
async def test_a_turn_that_is_lost_counts_no_more(desk: Desk) -> None:
    desk.dispatch.limit(Limits(1))
    first, second = desk.worker(), desk.worker()
    desk.want("a")
    desk.pool.disconnect(first)
    await settle()
    assert await desk.offered(second) == ["a"]
    desk.dispatch.receive(ActorRef(TURN, "a"), turn("a", after=1))  # It was decided elsewhere.
    await settle()
    assert await desk.offered(second) == ["a"]


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
