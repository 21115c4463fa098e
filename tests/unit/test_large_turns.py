"""Turns that are too large to be given to another node."""

from __future__ import annotations

import asyncio

from perdure.placement.errors import MessageTooLarge
from tests.unit.turns_given import THERE, Desk, decided, scene, settle

TOO_LARGE = MessageTooLarge("a request of 9 bytes is too large for a message between nodes")
REASON = (
    "Workflow payload size exceeds what nodes send to each other (a request of 9 bytes is too "
    "large for a message between nodes): connect a worker to the node of the instance, or increase "
    "--max-body-size and restart to resume"
)


@scene
async def test_one_that_only_another_node_could_have_decided_stalls_its_instance(
    desk: Desk,
) -> None:
    desk.routes.answers = [TOO_LARGE]
    await desk.say_room(THERE, 5)
    work = desk.want()
    await settle()
    (answer,) = desk.routes.decided
    assert answer.stalled == REASON
    assert (answer.key, answer.execution, answer.after) == (work.key, work.execution, work.after)
    await asyncio.sleep(60)
    assert desk.routes.asked == [("there", "o")]


@scene
async def test_one_that_a_busy_worker_here_can_decide_waits_for_it(desk: Desk) -> None:
    stream = desk.worker(turns=1)
    first = desk.want("first")
    desk.routes.answers = [TOO_LARGE]
    await desk.say_room(THERE, 5)
    desk.want("large")
    await settle()
    assert desk.routes.asked == [("there", "large")]
    desk.want("small")
    await settle()
    assert desk.routes.asked == [("there", "large"), ("there", "small")]
    desk.pool.answer(await stream.next(), decided(first))
    assert await desk.offered(stream) == ["large"]
    assert not any(answer.stalled for answer in desk.routes.decided)


@scene
async def test_one_that_waits_for_a_worker_here_stalls_when_that_has_gone(desk: Desk) -> None:
    stream = desk.worker(turns=0)
    desk.routes.answers = [TOO_LARGE]
    await desk.say_room(THERE, 5)
    desk.want()
    await settle()
    assert not desk.routes.decided
    desk.pool.disconnect(stream)
    await settle()
    assert [answer.stalled for answer in desk.routes.decided] == [REASON]
