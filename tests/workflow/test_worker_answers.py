"""What a worker may decide besides tasks and ends, and workers that come and go."""

from __future__ import annotations

import asyncio

import pytest

from perdure.runtime.workflow import history as h
from perdure.runtime.workflow.workers.stream import WorkerGone
from perdure.runtime.workflow.workers.work import Termination
from tests.support.workers import Worker
from tests.support.world import World
from tests.workflow.test_worker_turns import first_turn

# ---- what else a decision may say


async def test_a_decision_may_end_other_instances(live: World) -> None:
    order, worker, given = await first_turn(live)
    other = await live.start("order", instance_id="p")
    await worker.next()
    ends = (Termination("p", '"by o"'), Termination("nobody"))
    given.decide(h.ExecutionCompleted(h.Status.COMPLETED), terminations=ends)
    await order.result()
    assert (await other.until(h.Status.TERMINATED)).output == '"by o"'


async def test_patches_must_begin_as_they_did(live: World) -> None:
    order, worker, given = await first_turn(live)
    given.decide(patches=("a", "b"))
    await order.raise_event("go")
    (await worker.next()).decide(patches=("a",))
    row = await order.until(h.Status.STALLED)
    assert row.stalled == "Patch mismatch. History patches: [a, b], current patches: [a]. "
    worker.leave()
    worker = Worker(live.node)
    given = await worker.next()
    assert given.news == ["go"]
    given.decide(h.ExecutionCompleted(h.Status.COMPLETED), patches=("a", "b", "c"))
    await order.result()
    assert [turn.patches for turn in await order.turns() if turn.patches] == [("a", "b"), ("c",)]


async def test_an_event_to_another_instance_arrives_there(live: World) -> None:
    order, worker, given = await first_turn(live)
    other = await live.start("order", instance_id="p")
    (await worker.next()).decide()
    given.decide(
        h.EventSent(1, "p", "hello", '"o"'), h.ExecutionCompleted(h.Status.COMPLETED, None)
    )
    await order.result()
    told = await worker.next()
    assert (told.turn.instance_id, told.news) == ("p", ["hello"])
    told.end()
    await other.result()


# ---- workers that come and go


async def test_a_worker_that_leaves_has_its_turns_done_by_others(live: World) -> None:
    order, worker, given = await first_turn(live)
    worker.leave()
    with pytest.raises(WorkerGone):
        await worker.next()
    given.end("from beyond")
    await order.raise_event("go")
    again = await Worker(live.node).next()
    assert again.news == ["ExecutionStarted", "go"]
    again.end("alive")
    assert await order.result() == "alive"


async def test_a_drained_node_waits_for_its_workers_and_sends_them_no_more(live: World) -> None:
    order, worker, given = await first_turn(live)
    draining = asyncio.ensure_future(live.node.engine.pool.drain(10))
    await asyncio.sleep(0)
    await live.start("order", instance_id="p")
    assert not worker.stream.is_closed
    given.end("in time")
    assert await order.result() == "in time"
    with pytest.raises(WorkerGone):
        await worker.next()
    worker.leave()  # As its end of the line does.
    await draining
    late = Worker(live.node)
    with pytest.raises(WorkerGone):
        await late.next()
    late.leave()
    await live.handle("p").terminate()
