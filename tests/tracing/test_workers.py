"""What workers are told of traces over gRPC, with spans and without."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from perdure.runtime import node
from perdure.runtime.rpc import taskhub_pb2 as pb
from perdure.runtime.workflow import history as h
from tests.support import scripted_worker as scripted
from tests.support.actions import child, end, task, timer
from tests.support.scripted_worker import ScriptedWorker, scripted_worker
from tests.support.two_apps import idle
from tests.support.world import World
from tests.tracing.tree import INCOMING, Spans, own, traceparent


@asynccontextmanager
async def working(live: World) -> AsyncIterator[ScriptedWorker]:
    """A worker whose code it is: `order` calls an activity, waits, and has a child."""
    await live.serve(idle, grpc_port=0)
    async with scripted_worker(live.node.grpc_address) as worker:
        worker.workflows |= {"order": order, "ship": ship}
        worker.activities["pack"] = lambda asked: '"packed"'
        yield worker


def order(turn: pb.WorkflowRequest) -> list[pb.WorkflowAction]:
    answered = scripted.answers(turn)
    steps = {1: task(1, "pack"), 2: timer(2), 3: child(3, "ship")}
    for number, action in steps.items():
        if number not in answered:
            return [action]
    return [end(4, '"done"')]


def ship(turn: pb.WorkflowRequest) -> list[pb.WorkflowAction]:
    if 1 not in scripted.answers(turn):
        return [task(1, "pack")]
    return [end(2, '"shipped"')]


async def test_a_workflow_of_workers_is_one_tree(live: World, spans: Spans) -> None:
    async with working(live):
        instance = await live.start("order", trace=h.Trace(INCOMING))
        assert await instance.result() == "done"
    assert spans.below(int("b7ad6b7169203331", 16)) == {
        "create_orchestration||order": {
            "orchestration||order": {
                "activity||pack": {},
                "orchestration||ship": {"activity||pack": {}},
                "timer": {},
            }
        }
    }


async def test_workers_are_told_the_spans_that_are_made(live: World, spans: Spans) -> None:
    async with working(live) as worker:
        await (await live.start("order", instance_id="o", trace=h.Trace(INCOMING, "s=1"))).result()
    run = spans.named("orchestration||order")
    last = [turn for turn in worker.turns if turn.instanceId == "o"][-1]
    told = scripted.started(last)
    span_id = f"{own(run).span_id:016x}"
    assert told.workflowSpanID.value == span_id
    context = pb.TraceContext(
        traceParent=traceparent(run), spanID=span_id, traceState=pb.StringValue(value="s=1")
    )
    assert told.parentTraceContext == context
    kinds = ("taskScheduled", "childWorkflowInstanceCreated")
    asked = [
        getattr(event, kind).parentTraceContext
        for event in scripted.events(last)
        for kind in kinds
        if event.HasField(kind)
    ]
    assert asked == [context] * 2
    ran = [span for span in spans.all() if span.name == "activity||pack"]
    assert [r.parentTraceContext.traceParent for r in worker.runs] == [*map(traceparent, ran)]
    assert [r.parentTraceContext.traceState.value for r in worker.runs] == ["s=1"] * 2


class TestWithoutOpenTelemetry:
    @pytest.fixture
    def spans(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(node, "tracer_if_there", lambda: None)

    async def test_workers_are_told_the_context_that_came_with_the_start(self, live: World) -> None:
        async with working(live) as worker:
            await (await live.start("order", trace=h.Trace(INCOMING, "s=1"))).result()
        context = pb.TraceContext(
            traceParent=INCOMING,
            spanID="b7ad6b7169203331",
            traceState=pb.StringValue(value="s=1"),
        )
        told = [scripted.started(turn) for turn in worker.turns]
        assert {started.name for started in told} == {"order", "ship"}
        assert all(started.parentTraceContext == context for started in told)
        assert not any(started.HasField("workflowSpanID") for started in told)
        assert [asked.parentTraceContext for asked in worker.runs] == [context] * 2

    async def test_workers_are_told_of_no_context_where_none_came(self, live: World) -> None:
        async with working(live) as worker:
            await (await live.start("order")).result()
        assert not any(asked.HasField("parentTraceContext") for asked in worker.runs)
        for turn in worker.turns:
            assert not scripted.started(turn).HasField("parentTraceContext")
            assert not any(
                event.taskScheduled.HasField("parentTraceContext")
                for event in scripted.events(turn)
            )
