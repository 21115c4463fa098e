"""Turns that workers of other nodes decide, and those that are decided here for others."""

from __future__ import annotations

import asyncio

import pytest
from msgspec.structs import replace

from perdure.actors.identity import ActorRef
from perdure.placement.errors import NodeUnreachable
from perdure.runtime.workflow import history as h
from perdure.runtime.workflow.messages import Completion
from perdure.runtime.workflow.workers import wire
from perdure.runtime.workflow.workers.lacking import RETURN_SECONDS
from perdure.runtime.workflow.workers.lookout import Names
from perdure.runtime.workflow.workers.stream import Item
from perdure.runtime.workflow.workers.work import TURN, TurnWork
from tests.unit.placement.given import record, view
from tests.unit.turns_given import HERE, THERE, YONDER, Desk, decided, scene, settle, turn

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
    names = Names(frozenset({"activity:", "workflow:"}))
    room = (wire.ROOM, (HERE.membership, 3, 1, names))
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


# ---- names that workers lack, or have no room for


def lacks(desk: Desk, item: Item) -> None:
    failure = h.Failure("NotRegistered", "it is not here")
    assert isinstance(item.work, TurnWork)
    end = h.ExecutionCompleted(h.Status.FAILED, None, failure)
    desk.pool.lack(item, replace(decided(item.work), outgoing=(end,)))


@scene
async def test_a_node_that_takes_nothing_of_one_name_is_asked_for_others(desk: Desk) -> None:
    await desk.say_room(THERE, 5)
    desk.routes.answers = [wire.NOT_TAKEN]
    desk.want("o", name="ship")
    await settle()
    desk.want("p", name="bill")
    desk.want("q", name="ship")
    await settle()
    assert desk.routes.asked == [("there", "o"), ("there", "p")]


@scene
async def test_others_are_told_at_once_what_a_worker_lacks_before_they_get_it_back(
    desk: Desk,
) -> None:
    await desk.say_room(YONDER, 1)
    stream, work = desk.worker(), turn("theirs")
    desk.hear(wire.encode_decide(THERE.membership, work))
    item = await stream.next()
    desk.routes.told.clear()
    lacks(desk, item)
    to_there = [said for node, said in desk.routes.told if node == "there"]
    assert [verb for verb, _ in to_there] == [wire.ROOM, wire.BACK]
    assert to_there[0][1][3].lacked == {"workflow:order"}
    # Asked again, by one that has not heard of it, it does not take it.
    assert desk.hear(wire.encode_decide(THERE.membership, work)) == [wire.NOT_TAKEN]


@scene
async def test_another_node_s_turn_that_nobody_has_the_code_for_fails_here(desk: Desk) -> None:
    stream, work = desk.worker(), turn("theirs")
    lacked = Names(frozenset({"workflow:"}), frozenset(), frozenset({"workflow:order"}))
    desk.hear(wire.encode_room(YONDER.membership, 1, 1, lacked))
    for _ in range(2):
        assert desk.hear(wire.encode_decide(THERE.membership, work)) == [wire.TAKEN]
        lacks(desk, await stream.next())
        await settle()
    assert len(desk.routes.decided) == 2


@scene
async def test_what_is_lacked_goes_to_no_node_that_lacks_it_while_one_has_it(desk: Desk) -> None:
    lacked = Names(frozenset({"workflow:"}), frozenset(), frozenset({"workflow:order"}))
    desk.hear(wire.encode_room(THERE.membership, 9, 1, lacked))
    await desk.say_room(YONDER, 1)
    desk.want("o")
    desk.want("p")
    await settle()
    assert desk.routes.asked == [("yonder", "o")]
    # Then nobody has it any more: who is asked says so.
    desk.routes.view = view(2, HERE, THERE)
    desk.dispatch.on_view(desk.routes.view)
    await settle()
    assert sorted(desk.routes.asked[1:]) == [("there", "o"), ("there", "p")]


@scene
async def test_a_worker_that_has_just_gone_is_waited_for_so_long_and_no_longer(desk: Desk) -> None:
    stays, goes = desk.worker(), desk.worker()
    desk.want()
    lacks(desk, await stays.next())
    await goes.next()
    desk.pool.disconnect(goes)
    await asyncio.sleep(RETURN_SECONDS - 1)
    assert not desk.routes.decided
    assert stays.load == 0
    await asyncio.sleep(2)
    lacks(desk, await stays.next())
    await settle()
    assert len(desk.routes.decided) == 1
