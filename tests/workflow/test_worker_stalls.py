"""A run whose code is in a worker stops, for whatever reason, and goes on when it can.

Only a worker can say whether its code is the right one by now: a run that has something to be
decided is asked about again. One that has nothing to be decided needs no worker to go on.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Awaitable

import pytest

from perdure.actors.errors import Refused
from perdure.runtime.environment import SystemEnv
from perdure.runtime.workflow import history as h
from perdure.runtime.workflow import resumes
from perdure.runtime.workflow.errors import InstanceNotFound, InstanceStalled
from perdure.runtime.workflow.registry import Registry
from tests.support.workers import Worker, call
from tests.support.world import PATIENCE, Handle, World

SERVING = {"grpc_port": 0}


async def _stalled(world: World) -> tuple[Handle, Worker]:
    """An instance whose second turn could not be decided, after its first had asked for a task."""
    await world.serve(Registry(), **SERVING)
    worker = Worker(world.node)
    order = await world.start("order", instance_id="o")
    (await worker.next()).decide(call(1))
    await worker.next()
    await order.raise_event("go")
    (await worker.next()).decide(stalled="it is too large")
    row = await order.until(h.Status.STALLED)
    assert row.stalled == "it is too large"
    return order, worker


def _die(world: World, times: int) -> None:
    """As if the node had died so often with the instance at work."""
    with sqlite3.connect(world.path) as connection:
        connection.execute("UPDATE workflows SET attempts = ?", [times])
    connection.close()


async def test_a_stalled_run_goes_on_by_itself_when_a_worker_comes_that_can_decide_it(
    live: World,
) -> None:
    order, _ = await _stalled(live)  # Its first worker is still at an activity of it.
    asked = await Worker(live.node, activities=0).next()
    assert asked.news == ["go"]
    asked.end("done")
    assert await order.result() == "done"


async def test_what_is_asked_of_a_stalled_run_is_refused_and_has_it_looked_at_again(
    live: World,
) -> None:
    order, worker = await _stalled(live)
    with pytest.raises(InstanceStalled):
        await order.raise_event("more")
    asked = await worker.next()
    assert asked.news == ["go"]
    with pytest.raises(InstanceStalled):
        await order.suspend()
    asked.end()
    await order.result()


async def test_a_resume_says_what_the_worker_makes_of_the_turn(live: World) -> None:
    order, worker = await _stalled(live)
    async with asyncio.TaskGroup() as group:
        first = group.create_task(_answer_to(order.resume()))
        (await worker.next()).decide(stalled="it is too large")
        assert isinstance(await first, InstanceStalled)
        second = group.create_task(_answer_to(order.resume()))
        asked = await worker.next()
        assert not second.done()
        asked.end("done")
        assert await second is None
    assert await order.result() == "done"


async def test_a_resume_also_ends_a_pause_from_before_the_stall(live: World) -> None:
    await live.serve(Registry(), **SERVING)
    worker = Worker(live.node)
    order = await live.start("order", instance_id="o")
    (await worker.next()).decide()
    await order.suspend()
    (await worker.next()).decide(stalled="it is too large")
    await order.until(h.Status.STALLED)
    async with asyncio.TaskGroup() as group:
        answer = group.create_task(_answer_to(order.resume()))
        (await worker.next()).decide()
        assert await answer is None
        assert (await worker.next()).news == ["ExecutionResumed"]
    assert await order.status() is h.Status.RUNNING
    await order.terminate()


async def test_a_resume_without_any_worker_finds_the_run_stalled_still(
    live: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resumes, "WORKER_SECONDS", PATIENCE)
    order, worker = await _stalled(live)
    worker.leave()
    with pytest.raises(InstanceStalled, match="it is too large"):
        await order.resume()


async def test_a_resume_waits_no_longer_for_a_worker_that_says_nothing(
    live: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resumes, "LOOK_SECONDS", 0.01)
    monkeypatch.setattr(resumes, "WORKER_SECONDS", 0.02)
    order, worker = await _stalled(live)
    with pytest.raises(InstanceStalled, match="it is too large"):
        await order.resume()
    (await worker.next()).end("done")
    assert await order.result() == "done"


async def test_a_resume_of_a_run_that_is_purged_meanwhile_finds_none(live: World) -> None:
    order, worker = await _stalled(live)
    async with asyncio.TaskGroup() as group:
        answer = group.create_task(_answer_to(order.resume()))
        await worker.next()
        await order.purge(force=True)
        assert isinstance(await answer, InstanceNotFound)


async def _answer_to(call: Awaitable[None]) -> Exception | None:
    try:
        await call
    except Refused as error:
        return error
    return None


async def test_activities_that_were_lost_in_a_stall_run_again_once_it_is_over(live: World) -> None:
    order, _ = await _stalled(live)
    await live.restart()
    worker = Worker(live.node)
    asked = await worker.next()
    assert asked.news == ["go"]
    asked.decide()
    again = await worker.next()
    assert again.activity.task_id == 1
    again.complete("paid")
    last = await worker.next()
    assert last.news == ["TaskCompleted"]
    last.end()
    await order.result()


async def test_a_run_set_aside_for_the_deaths_of_its_node_is_resumed_without_a_worker(
    live: World,
) -> None:
    """It waits for an activity: there is nothing that a worker could decide."""
    await live.serve(Registry(), **SERVING)
    worker = Worker(live.node)
    order = await live.start("order", instance_id="o")
    (await worker.next()).decide(call(1))
    await worker.next()
    await live.stop()
    _die(live, 6)
    await live.restart()
    row = await order.until(h.Status.STALLED)
    assert row.stalled is not None
    assert "died" in row.stalled
    await live.restart()
    await order.resume()
    assert await order.status() is h.Status.RUNNING
    worker = Worker(live.node)
    again = await worker.next()
    assert again.activity.task_id == 1
    again.complete()
    (await worker.next()).end()
    await order.result()


async def test_a_timer_that_fired_in_a_stall_was_due_though_the_clock_was_set_back(
    live: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    await live.serve(Registry(), **SERVING)
    worker = Worker(live.node)
    order = await live.start("order", instance_id="o")
    now_us, hour_us = SystemEnv.now_us, 3_600_000_000
    due_us = live.now_us() + hour_us
    (await worker.next()).decide(h.TimerCreated(1, due_us, "createTimer"), call(2))
    await worker.next()
    await live.stop()
    _die(live, 6)
    monkeypatch.setattr(SystemEnv, "now_us", lambda env: now_us(env) + 2 * hour_us)
    await live.restart()
    await order.until(h.Status.STALLED)
    async with asyncio.timeout(PATIENCE):
        while not live.rows("inbox"):
            await asyncio.sleep(0.01)
    monkeypatch.setattr(SystemEnv, "now_us", now_us)
    await order.resume()
    given = await Worker(live.node, activities=0).next()
    assert given.news == ["TimerFired"]
    assert given.turn.floor_us >= due_us
    await order.terminate()
