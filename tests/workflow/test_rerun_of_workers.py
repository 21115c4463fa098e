"""The same, of instances whose code is in workers: their code is told a history that it could have.

The workers here are functions over events, connected where gRPC's streams are.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest

import perdure
from perdure import WorkflowContext
from perdure.actors.errors import Refused
from perdure.runtime.workflow import history as h
from perdure.runtime.workflow.executor import ContinuedAsNew
from perdure.runtime.workflow.fork import Rerun
from perdure.runtime.workflow.messages import RunActivity
from perdure.runtime.workflow.workers.capacity import Capacity
from perdure.runtime.workflow.workers.numbers import ROUND
from perdure.runtime.workflow.workers.pool import WorkerPool
from perdure.runtime.workflow.workers.stream import Item, WorkerGone
from perdure.runtime.workflow.workers.work import TurnDecided, TurnWork
from tests.support.world import Handle, World

Code = Callable[[list[h.Event]], Sequence[h.Outgoing]]
"""From all that a worker is told to what it asks for now, under its own numbers."""


class Worker:
    """Decides by `codes`, adds one as every activity, and notes what it was told and given."""

    def __init__(self, codes: dict[str, Code]) -> None:
        self.codes = codes
        self.told: dict[str, list[h.Event]] = {}
        self.given: list[Any] = []
        self.held: dict[str, asyncio.Event] = {}
        """Activities of these names wait."""

    @asynccontextmanager
    async def on(self, world: World) -> AsyncIterator[None]:
        pool = world.node.engine.pool
        stream = pool.connect(Capacity(), "a test")
        async with asyncio.TaskGroup() as group:

            async def work() -> None:
                while True:
                    try:
                        item = await stream.next()
                    except WorkerGone:
                        return
                    group.create_task(self._do(item, pool))

            group.create_task(work())
            try:
                yield
            finally:
                pool.disconnect(stream)

    async def _do(self, item: Item, pool: WorkerPool) -> None:
        work = item.work
        if isinstance(work, RunActivity):
            if work.name in self.held:
                await self.held[work.name].wait()
            number = None if work.input is None else json.loads(work.input)
            self.given.append((work.name, number))
            result = 100 if number is None else number + 1
            pool.answer(item, h.TaskCompleted(work.task_id, json.dumps(result)))
        else:
            pool.answer(item, self._decide(work))

    def _decide(self, work: TurnWork) -> TurnDecided:
        past = [step.turn for step in work.past[: work.past_count]]
        told: list[h.Event] = []
        for turn in past:
            told += [*turn.incoming, *turn.outgoing]
        told += work.incoming
        self.told[work.instance_id] = told
        outgoing = tuple(self.codes[work.name](told))
        began_us = max(work.floor_us, 1)
        head = (work.key, work.execution, work.after, work.covers, began_us)
        if outgoing and isinstance(outgoing[0], h.EventSent) and outgoing[0].name == "again":
            return TurnDecided(*head, continued=ContinuedAsNew(outgoing[0].data))
        return TurnDecided(*head, outgoing)


def input_of(told: list[h.Event]) -> Any:
    (started,) = [event for event in told if isinstance(event, h.ExecutionStarted)]
    return None if started.input is None else json.loads(started.input)


def results(told: list[h.Event]) -> list[Any]:
    answers = (h.TaskCompleted, h.ChildWorkflowInstanceCompleted)
    return [json.loads(e.result or "null") for e in told if isinstance(e, answers)]


def completed(value: Any) -> h.ExecutionCompleted:
    return h.ExecutionCompleted(h.Status.COMPLETED, json.dumps(value))


def scheduled(number: int, name: str, given: Any) -> h.TaskScheduled:
    return h.TaskScheduled(number, name, json.dumps(given), f"key-{number}")


def chain(told: list[h.Event], *, first: int = 1) -> list[h.Outgoing]:
    """Three activities one after the other, numbered from `first`."""
    found = [input_of(told), *results(told)]
    asked = [event for event in told if isinstance(event, h.TaskScheduled)]
    if len(asked) >= len(found):
        return []
    if len(found) == 4:
        return [completed(found)]
    return [scheduled(first + len(asked), "add", found[-1])]


def from_zero(told: list[h.Event]) -> list[h.Outgoing]:
    return chain(told, first=0)


def mother(told: list[h.Event]) -> list[h.Outgoing]:
    """One child, with a number that begins at 0 as in Go."""
    if not any(isinstance(event, h.ChildWorkflowInstanceCreated) for event in told):
        return [h.ChildWorkflowInstanceCreated(0, "fixed", "chain", json.dumps(input_of(told)))]
    return [completed(results(told)[0])] if results(told) else []


def fans_out(told: list[h.Event]) -> list[h.Outgoing]:
    """Two activities and a timer at once, then one activity, then all results."""
    found = results(told)
    asked = [event for event in told if isinstance(event, h.TaskScheduled)]
    if not asked:
        timer = h.TimerCreated(3, 4_000_000_000_000_000, "createTimer")
        return [scheduled(1, "slow", 10), scheduled(2, "add", 20), timer]
    if len(asked) == 2 and 21 in found:
        return [scheduled(4, "add", 30)]
    return [completed(sorted(found))] if len(found) == 3 else []


def retries(told: list[h.Event]) -> list[h.Outgoing]:
    """The same number again after a failure, as Dapr's SDK for Python has it."""
    asked = [event for event in told if isinstance(event, h.TaskScheduled)]
    if len(asked) <= len(results(told)) and len(asked) < 2:
        return [scheduled(1, "add", len(asked))]
    return [completed(results(told))] if len(results(told)) == 2 else []


def loops(told: list[h.Event]) -> list[h.Outgoing]:
    found = results(told)
    if not found:
        asked = any(isinstance(event, h.TaskScheduled) for event in told)
        return [] if asked else [scheduled(1, "add", input_of(told))]
    if found[-1] < 4:
        return [h.EventSent(9, "", "again", json.dumps(found[-1]))]
    return [completed(found[-1])]


@perdure.workflow
async def unused(ctx: WorkflowContext) -> None: ...


CODES: dict[str, Code] = {
    "chain": chain,
    "zero": from_zero,
    "mother": mother,
    "fan": fans_out,
    "retries": retries,
    "loops": loops,
}


@pytest.fixture
async def worker(live: World) -> AsyncIterator[Worker]:
    await live.serve(unused, grpc_port=0)
    found = Worker(CODES)
    async with found.on(live):
        yield found


async def rerun(world: World, source: str, event_id: int, **options: Any) -> Handle:
    return world.handle(await world.service.rerun(source, Rerun(event_id=event_id, **options)))


async def test_a_worker_is_told_the_past_and_decides_what_comes_after(
    live: World, worker: Worker
) -> None:
    source = await live.start("chain", 1, instance_id="a")
    assert await source.result() == [1, 2, 3, 4]
    worker.given.clear()
    again = await rerun(live, "a", 2, new_id="b", input="10", overwrite_input=True)
    assert await again.result() == [1, 2, 11, 12]
    assert worker.given == [("add", 10), ("add", 11)]
    asked = [event for event in worker.told["b"] if isinstance(event, h.TaskScheduled)]
    assert [(e.task_id, e.input, e.rerun_of) for e in asked] == [
        (1, "1", None),
        (2, "10", "a"),
        (3, "11", None),
    ]
    assert (await source.row()).output == "[1, 2, 3, 4]"


async def test_a_worker_may_number_from_zero(live: World, worker: Worker) -> None:
    await (await live.start("zero", 1, instance_id="a")).result()
    for number in (0, ROUND):  # A worker's number, and that of the HTTP API.
        again = await rerun(live, "a", number, input="5", overwrite_input=True)
        assert await again.result() == [1, 6, 7, 8]


async def test_of_two_tries_under_one_number_the_first_is_meant(
    live: World, worker: Worker
) -> None:
    assert await (await live.start("retries", instance_id="a")).result() == [1, 2]
    worker.given.clear()
    assert await (await rerun(live, "a", 1)).result() == [1, 2]
    assert worker.given == [("add", 0), ("add", 1)]
    worker.given.clear()
    assert await (await rerun(live, "a", 1 + ROUND)).result() == [1, 2]
    assert worker.given == [("add", 1)]


async def test_a_child_of_a_worker_runs_again_by_its_number(live: World, worker: Worker) -> None:
    assert await (await live.start("mother", 1, instance_id="a")).result() == [1, 2, 3, 4]
    again = await rerun(live, "a", 0, new_id="b", input="5", overwrite_input=True)
    assert await again.result() == [5, 6, 7, 8]
    named = await rerun(live, "a", 0, new_id="c", child_id="kid")
    assert await named.result() == [1, 2, 3, 4]
    assert await live.ids() == ["a", "fixed", "b", "b:0000", "c", "kid"]
    (made,) = await again.of(h.ChildWorkflowInstanceCreated)
    assert (made.instance_id, made.rerun_of) == ("b:0000", "a")


async def test_what_a_worker_had_not_got_yet_runs_again_too(live: World, worker: Worker) -> None:
    slow = worker.held["slow"] = asyncio.Event()
    source = await live.start("fan", instance_id="a")
    await source.when(lambda row: row.next_seq >= 3)
    slow.set()
    assert await source.result() == [11, 21, 31]
    assert live.rows("reminders") == 0
    worker.given.clear()
    slow.clear()
    again = await rerun(live, "a", 4, new_id="b")
    await again.saw("TaskCompleted")
    assert live.rows("reminders") == 1
    slow.set()
    assert await again.result() == [11, 21, 31]
    assert sorted(worker.given) == [("add", 30), ("slow", 10)]
    (timer,) = await again.of(h.TimerCreated)
    assert timer.rerun_of == "a"


async def test_a_rerun_of_a_worker_can_be_run_again(live: World, worker: Worker) -> None:
    await (await live.start("chain", 1, instance_id="a")).result()
    await (await rerun(live, "a", 2, new_id="b", input="10", overwrite_input=True)).result()
    last = await rerun(live, "b", 3, new_id="c", input="20", overwrite_input=True)
    assert await last.result() == [1, 2, 11, 21]


async def test_a_loop_in_a_worker_runs_again_from_its_last_run(live: World, worker: Worker) -> None:
    assert await (await live.start("loops", 1, instance_id="a")).result() == 4
    again = await rerun(live, "a", 1, input="2", overwrite_input=True)
    assert await again.result() == 4
    assert (await again.row()).execution == 2


async def test_an_event_that_a_worker_had_not_seen_comes_after(live: World, worker: Worker) -> None:
    worker.held["add"] = asyncio.Event()
    source = await live.start("chain", 1, instance_id="a")
    await source.saw("TaskScheduled")
    await source.raise_event("late")
    worker.held.pop("add").set()
    await source.result()
    again = await rerun(live, "a", 1, new_id="b")
    await again.result()
    assert any(isinstance(event, h.EventRaised) for event in worker.told["a"])
    assert not any(isinstance(event, h.EventRaised) for event in worker.told["b"])


async def test_it_survives_that_no_worker_is_there(live: World) -> None:
    await live.serve(unused, grpc_port=0)
    worker = Worker(CODES)
    async with worker.on(live):
        await (await live.start("chain", 1, instance_id="a")).result()
    again = await rerun(live, "a", 2, new_id="b")
    assert await again.status() is h.Status.RUNNING
    await live.restart()
    async with worker.on(live):
        assert await again.result() == [1, 2, 3, 4]


async def test_the_number_of_the_end_is_the_last_one(live: World, worker: Worker) -> None:
    await (await live.start("zero", 1, instance_id="a")).result()
    with pytest.raises(Refused, match="HistoryEvent_ExecutionCompleted' with ID '3' is not an"):
        await rerun(live, "a", 3)
    with pytest.raises(Refused, match="does not have history event with ID '4'"):
        await rerun(live, "a", 4)


async def test_local_code_and_workers_may_run_each_others_children_again(
    live: World,
) -> None:
    @perdure.workflow
    async def local(ctx: WorkflowContext, number: int) -> Any:
        return await ctx.call_child_workflow("chain", input=number)

    await live.serve(local, grpc_port=0)
    worker = Worker(CODES)
    async with worker.on(live):
        await (await live.start("local", 1, instance_id="a")).result()
        again = await rerun(live, "a", 1, input="7", overwrite_input=True)
        assert await again.result() == [7, 8, 9, 10]
