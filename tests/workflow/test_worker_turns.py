"""Turns that a worker decides: which decisions count, and what may happen while one is out.

What comes meanwhile is written before it is answered, and belongs to the next turn.
"""

from __future__ import annotations

import json
from typing import Any

import pytest

from perdure.actors.identity import ActorRef
from perdure.runtime.workflow import history as h
from perdure.runtime.workflow.errors import InstanceNotFound
from perdure.runtime.workflow.messages import WORKFLOW
from perdure.runtime.workflow.registry import Registry
from perdure.runtime.workflow.workers.work import TurnDecided
from tests.support.workers import Given, Worker, call
from tests.support.world import Handle, World


async def serve(world: World) -> Worker:
    await world.serve(Registry(), grpc_port=0)
    return Worker(world.node, activities=0)


async def first_turn(world: World, input: Any = None) -> tuple[Handle, Worker, Given]:
    """An instance whose first turn a worker has."""
    worker = await serve(world)
    order = await world.start("order", input, instance_id="o")
    return order, worker, await worker.next()


async def tell(world: World, decided: TurnDecided) -> None:
    """A decision reaches the instance, wherever it may come from."""
    await world.node.engine.router.call(ActorRef(WORKFLOW, "o"), decided)


async def commands(order: Handle) -> list[str]:
    return [type(event).__name__ for turn in await order.turns() for event in turn.outgoing]


# ---- which decisions count


async def test_a_run_is_what_its_worker_decides(live: World) -> None:
    order, worker, given = await first_turn(live, {"cents": 5})
    assert await order.status() is h.Status.PENDING
    assert (given.turn.name, given.turn.after, given.past) == ("order", 0, [])
    given.decide(call(1), custom_status="half")
    row = await order.until(h.Status.RUNNING)
    assert row.custom_status == "half"
    assert row.has_work
    await order.raise_event("go")
    given = await worker.next()
    assert (given.news, given.turn.after, given.turn.covers) == (["go"], 1, 2)
    assert [step.outgoing for step in given.past] == [(call(1),)]
    given.end("done")
    assert await order.result() == "done"


def changed(decided: TurnDecided, **changes: int) -> TurnDecided:
    fields = {name: getattr(decided, name) for name in TurnDecided.__struct_fields__}
    return TurnDecided(**{**fields, **changes})


@pytest.mark.parametrize(
    "changes",
    [
        {"after": 1},
        {"covers": 0},
        {"covers": 2},
        {"key": 999},
        {"execution": 2},
        {"after": 1, "covers": 2},
    ],
    ids=str,
)
async def test_a_decision_counts_only_on_what_has_been_decided_and_written(
    live: World, changes: dict[str, int]
) -> None:
    order, _, given = await first_turn(live)
    await tell(live, changed(given.decision(call(1)), **changes))
    assert await commands(order) == []
    assert await order.status() is h.Status.PENDING
    given.end("the right one")
    assert await order.result() == "the right one"


async def test_a_decision_that_is_told_again_changes_nothing(live: World) -> None:
    order, worker, given = await first_turn(live)
    decided = given.decision(call(1))
    for _ in range(3):
        await tell(live, decided)
    await order.raise_event("go")
    await tell(live, decided)
    given = await worker.next()
    assert await commands(order) == ["TaskScheduled"]
    given.end()
    await order.result()
    await tell(live, decided)
    assert await commands(order) == ["TaskScheduled", "ExecutionCompleted"]


async def test_of_two_decisions_on_one_turn_the_first_counts(live: World) -> None:
    order, _, given = await first_turn(live)
    await tell(live, given.decision(call(1, "pay")))
    await tell(live, given.decision(call(1, "steal"), call(2, "run")))
    [asked] = await order.of(h.TaskScheduled)
    assert asked.name == "pay"


async def test_a_decision_for_an_instance_that_is_gone_changes_nothing(live: World) -> None:
    order, worker, given = await first_turn(live)
    decided = given.decision(call(1))
    await order.terminate()
    await tell(live, decided)
    assert await order.status() is h.Status.TERMINATED
    await order.purge()
    await tell(live, decided)
    with pytest.raises(InstanceNotFound):
        await live.service.get("o")
    await live.start("order", instance_id="o")
    await tell(live, decided)
    assert await commands(order) == []
    again = await worker.next()
    assert again.turn.key != given.turn.key
    again.end("the new one")
    assert await order.result() == "the new one"


async def test_a_decision_of_a_run_before_changes_nothing(live: World) -> None:
    order, worker, given = await first_turn(live, 1)
    stale = given.decision(call(1))
    given.again(2)
    given = await worker.next()
    assert given.turn.execution == 2
    await tell(live, stale)
    assert await commands(order) == []
    given.end()
    await order.result()


async def test_a_number_that_a_worker_uses_again_is_another_task(live: World) -> None:
    """Some ask under the same number when they try again."""
    order, worker, given = await first_turn(live)
    given.decide(call(1))
    await order.raise_event("again")
    (await worker.next()).decide(call(1))
    await order.raise_event("end")
    (await worker.next()).end()
    await order.result()
    first, second = await order.of(h.TaskScheduled)
    assert first.task_id != second.task_id


# ---- while a turn is out


async def test_what_comes_while_a_turn_is_out_is_written_and_belongs_to_the_next_one(
    live: World,
) -> None:
    order, worker, given = await first_turn(live)
    for name in ("a", "b"):
        await order.raise_event(name)
        assert [event.name for event in await order.of(h.EventRaised)][-1] == name
    assert given.news == ["ExecutionStarted"]
    given.decide()
    given = await worker.next()
    assert given.news == ["a", "b"]
    given.end()
    await order.result()


async def test_what_was_answered_while_a_turn_was_out_survives_the_node(live: World) -> None:
    order, _, given = await first_turn(live)
    await order.raise_event("a")
    stale = given.decision(call(1))
    await live.restart()
    worker = Worker(live.node, activities=0)
    given = await worker.next()
    assert given.news == ["ExecutionStarted", "a"]
    await tell(live, stale)  # It is the next one all the same, on less.
    assert await commands(order) == ["TaskScheduled"]
    given.end()  # Too late: another decision was faster.
    given = await worker.next()
    assert (given.news, given.turn.after) == (["a"], 1)
    given.end("both")
    assert await order.result() == "both"


async def test_a_pause_and_a_resume_reach_the_code_in_their_order(live: World) -> None:
    order, worker, given = await first_turn(live)
    given.decide()
    await order.until(h.Status.RUNNING)
    await order.suspend("why")
    assert await order.status() is h.Status.SUSPENDED
    given = await worker.next()
    await order.raise_event("go")
    await order.resume()
    assert await order.status() is h.Status.RUNNING
    given.decide()
    given = await worker.next()
    assert given.news == ["go", "ExecutionResumed"]
    given.end()
    await order.result()


async def test_a_termination_while_a_turn_is_out_needs_no_worker(live: World) -> None:
    order, worker, given = await first_turn(live)
    await order.terminate("enough")
    row = await order.row()
    assert (row.status, row.output) == (h.Status.TERMINATED, '"enough"')
    given.end("too late")
    worker.leave()
    assert (await order.row()).output == '"enough"'


async def test_a_termination_before_any_worker_has_come_is_the_end(live: World) -> None:
    worker = await serve(live)
    worker.leave()
    order = await live.start("order", instance_id="o")
    await order.terminate()
    assert await order.status() is h.Status.TERMINATED
    other = await live.start("order", instance_id="p")
    assert (await Worker(live.node).next()).turn.instance_id == other.id
    await other.terminate()


async def test_a_new_run_has_the_events_that_were_kept_and_those_that_came_meanwhile(
    live: World,
) -> None:
    order, worker, given = await first_turn(live, 1)
    await order.raise_event("late")
    given.again(2, h.EventRaised("kept", '"k"', "r-kept"))
    given = await worker.next()
    assert given.news == ["ExecutionStarted", "kept", "late"]
    started = given.turn.incoming[0]
    assert isinstance(started, h.ExecutionStarted)
    assert (started.input, started.continued) == ("2", True)
    assert (given.turn.after, given.past, given.turn.execution) == (0, [], 2)
    given.end()
    await order.result()
    assert live.rows("history") == len(await order.turns())


async def test_a_new_run_is_there_after_a_restart(live: World) -> None:
    order, worker, given = await first_turn(live, 1)
    given.again(2, h.EventRaised("kept", None, "r-kept"))
    await worker.next()
    await live.restart()
    given = await Worker(live.node).next()
    assert (given.turn.execution, given.news) == (2, ["ExecutionStarted", "kept"])
    given.end()
    await order.result()


async def test_a_delayed_start_reaches_no_worker_before_its_time(live: World) -> None:
    worker = await serve(live)
    await live.start("order", instance_id="o", start_at_us=live.now_us() + 3_600_000_000)
    await live.handle("o").raise_event("early")
    await live.start("order", instance_id="p")
    assert (await worker.next()).turn.instance_id == "p"
    await live.handle("o").terminate()
    await live.handle("p").terminate()


# ---- restored in every state


async def test_an_undecided_run_is_asked_about_again_after_a_restart(live: World) -> None:
    order, _, given = await first_turn(live)
    for _ in range(2):
        await live.restart()
        worker = Worker(live.node, activities=0)
        again = await worker.next()
        assert (again.news, again.turn.key) == (given.news, given.turn.key)
    again.end()
    await order.result()


async def test_a_run_that_waits_goes_on_after_a_restart_where_it_was(live: World) -> None:
    order, worker, given = await first_turn(live)
    given.decide(call(1), custom_status="s")
    await order.until(h.Status.RUNNING)
    await live.restart()
    worker = Worker(live.node)
    activity = await worker.next()
    assert activity.activity.task_id == 1
    activity.complete("paid")
    given = await worker.next()
    assert given.turn.incoming == (h.TaskCompleted(1, json.dumps("paid")),)
    assert [step.incoming[0].__class__ for step in given.past] == [h.ExecutionStarted]
    assert (await order.row()).custom_status == "s"
    given.end()
    await order.result()


@pytest.mark.parametrize("status", ["PENDING", "RUNNING", "SUSPENDED"])
async def test_every_status_survives_a_restart(live: World, status: str) -> None:
    order, worker, given = await first_turn(live)
    if status != "PENDING":
        given.decide()
        await order.until(h.Status.RUNNING)
    if status == "SUSPENDED":
        await order.suspend()
        (await worker.next()).decide()
    await live.restart()
    assert (await order.status()).name == status
    await order.terminate()


async def test_the_code_reads_no_time_before_what_has_happened(live: World) -> None:
    """Not even by the clock of another node: a timer that has fired would not be due."""
    order, worker, given = await first_turn(live)
    given.decide()
    await order.raise_event("go")
    for _ in range(2):
        given = await worker.next()
        assert given.news == ["go"]
        assert given.turn.floor_us >= (await order.turns())[-1].at_us
        await live.restart()
        worker = Worker(live.node)
    (await worker.next()).end()
    await order.result()
