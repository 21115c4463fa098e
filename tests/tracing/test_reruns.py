"""A run from an event of another one has a start and a span of its own."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

import perdure
from perdure import WorkflowContext
from perdure.runtime.workflow import history as h
from perdure.runtime.workflow.errors import NothingToRerun
from perdure.runtime.workflow.fork import Rerun
from tests.support.rerunning import Calls, chain, rerun
from tests.support.world import World
from tests.tracing.tree import INCOMING, Spans, own, traceparent

ABOVE = int(INCOMING.split("-")[2], 16)
OTHER = "00-11111111111111111111111111111111-2222222222222222-01"


async def test_it_is_a_tree_of_its_own_below_its_caller(world: World, spans: Spans) -> None:
    await world.serve(chain, Calls().add)
    await (await world.start("chain", 1, instance_id="a", trace=h.Trace(OTHER))).result()
    await world.step()
    spans.exporter.clear()
    again = await rerun(world, "a", 2, new_id="b", trace=h.Trace(INCOMING, "s=1"))
    assert await again.result() == [1, 2, 3, 4]
    await world.stop()
    run: dict[str, Any] = {"orchestration||chain": {"activity||add": {}}}
    assert spans.below(ABOVE) == {"create_orchestration||chain": run}
    assert spans.names() == [
        *["activity||add"] * 2,
        "create_orchestration||chain",
        "orchestration||chain",
    ]
    assert spans.attributes("orchestration||chain")["durabletask.task.instance_id"] == "b"
    assert {own(span).trace_id for span in spans.all()} == {int(INCOMING.split("-")[1], 16)}


async def test_it_takes_from_the_rerun_to_its_end(world: World, spans: Spans) -> None:
    @perdure.workflow
    async def nap(ctx: WorkflowContext) -> None:
        await asyncio.sleep(0.001)
        await asyncio.sleep(0.001)

    await world.serve(nap)
    source = await world.start("nap", instance_id="a")
    await source.result()
    ended_us = (await source.turns())[-1].at_us
    await world.step()
    spans.exporter.clear()
    again = await rerun(world, "a", 2, new_id="b")
    row = await again.finished()
    await world.stop()
    run, timer = spans.named("orchestration||nap"), spans.named("timer")
    for span in (run, timer):
        assert span.start_time is not None
        assert span.start_time >= ended_us * 1000
        assert span.start_time == row.created_us * 1000
    assert run.end_time == row.updated_us * 1000


async def test_without_a_caller_it_is_below_its_own_start(live: World, spans: Spans) -> None:
    await live.serve(chain, Calls().add)
    await (await live.start("chain", 1, instance_id="a", trace=h.Trace(INCOMING))).result()
    spans.exporter.clear()
    again = await rerun(live, "a", 3)
    await again.result()
    start = spans.named("create_orchestration||chain")
    started = (await again.of(h.ExecutionStarted))[0]
    assert start.parent is None
    assert started.trace is not None
    assert started.trace.parent[:-3] == traceparent(start)[:-3]  # All but the flags.


async def test_one_of_a_continued_run_belongs_to_its_start_too(live: World, spans: Spans) -> None:
    @perdure.workflow
    async def twice(ctx: WorkflowContext, again: bool = True) -> Any:
        if again:
            ctx.continue_as_new(False)
            return None
        return await ctx.call_activity("add", input=1)

    await live.serve(twice, Calls().add)
    await (await live.start("twice", True, instance_id="a")).result()
    spans.exporter.clear()
    await (await rerun(live, "a", 1, new_id="b", trace=h.Trace(INCOMING))).result()
    run: dict[str, Any] = {"orchestration||twice": {"activity||add": {}}}
    assert spans.below(ABOVE) == {"create_orchestration||twice": run}


async def test_one_that_is_refused_has_no_run(live: World, spans: Spans) -> None:
    await live.serve(chain, Calls().add)
    await (await live.start("chain", 1, instance_id="a")).result()
    spans.exporter.clear()
    with pytest.raises(NothingToRerun):
        await live.service.rerun("a", Rerun(event_id=99))
    assert spans.names() == ["create_orchestration||chain"]
