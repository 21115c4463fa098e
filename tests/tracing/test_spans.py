"""Which spans a workflow makes, of code that is in the node itself."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest
from opentelemetry import trace as otel
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ParentBased
from opentelemetry.trace import SpanKind, StatusCode

import perdure
from perdure import WorkflowContext
from perdure.runtime.workflow import history as h
from perdure.runtime.workflow.errors import InstanceExists
from tests.support.world import World
from tests.tracing.tree import INCOMING, Spans, own, traceparent


@perdure.activity
def charge(cents: int) -> int:
    return cents


@perdure.activity
async def pack(item: str) -> str:
    return item


@perdure.activity
def decline() -> None:
    raise ValueError("no money")


@perdure.workflow
async def ship(ctx: WorkflowContext) -> Any:
    return await ctx.call_activity(pack, input="desk")


@perdure.workflow
async def order(ctx: WorkflowContext) -> list[Any]:
    paid = await ctx.call_activity(charge, input=3)
    await asyncio.sleep(0.001)
    return [paid, await ctx.call_child_workflow(ship)]


async def test_a_workflow_with_all_that_it_calls_is_one_tree(world: World, spans: Spans) -> None:
    await world.serve(order, ship, charge, pack)
    instance = await world.start("order", trace=h.Trace(INCOMING, "s=1"))
    assert await instance.result() == [3, "desk"]
    tree: dict[str, Any] = {
        "create_orchestration||order": {
            "orchestration||order": {
                "activity||charge": {},
                "orchestration||ship": {"activity||pack": {}},
                "timer": {},
            }
        }
    }
    await world.stop()
    assert spans.below(int("b7ad6b7169203331", 16)) == tree
    assert {own(span).trace_id for span in spans.all()} == {int(INCOMING.split("-")[1], 16)}
    assert {own(span).trace_state.to_header() for span in spans.all()} == {"s=1"}


async def test_the_spans_say_what_they_are(live: World, spans: Spans) -> None:
    await live.serve(order, ship, charge, pack)
    instance = await live.start("order", instance_id="o")
    await instance.result()
    assert spans.attributes("create_orchestration||order") == {
        "durabletask.type": "orchestration",
        "durabletask.task.name": "order",
        "durabletask.task.instance_id": "o",
    }
    assert spans.attributes("orchestration||ship") == {
        "durabletask.type": "orchestration",
        "durabletask.task.name": "ship",
        "durabletask.task.instance_id": "o:0003",
    }
    assert spans.attributes("activity||charge") == {
        "durabletask.type": "activity",
        "durabletask.task.name": "charge",
        "durabletask.task.instance_id": "o",
        "durabletask.task.task_id": 1,
    }
    timer = spans.attributes("timer")
    assert timer.pop("durabletask.fire_at").endswith("Z")
    assert timer == {
        "durabletask.type": "timer",
        "durabletask.task.instance_id": "o",
        "durabletask.task.task_id": 2,
    }
    kinds = {span.name.partition("||")[0]: span.kind for span in spans.all()}
    assert kinds == {
        "create_orchestration": SpanKind.CLIENT,
        "orchestration": SpanKind.SERVER,
        "activity": SpanKind.SERVER,
        "timer": SpanKind.INTERNAL,
    }


async def test_a_run_and_a_timer_take_from_their_first_turn_to_their_last(
    world: World, spans: Spans
) -> None:
    await world.serve(order, ship, charge, pack)
    instance = await world.start("order")
    await instance.result()
    await world.step()
    turns = await instance.turns()
    run, timer = spans.named("orchestration||order"), spans.named("timer")
    assert (run.start_time, run.end_time) == (turns[0].at_us * 1000, turns[-1].at_us * 1000)
    created = next(t for t in turns if any(isinstance(e, h.TimerCreated) for e in t.outgoing))
    fired = next(t for t in turns if any(isinstance(e, h.TimerFired) for e in t.incoming))
    assert (timer.start_time, timer.end_time) == (created.at_us * 1000, fired.at_us * 1000)


async def test_a_version_is_part_of_the_name(live: World, spans: Spans) -> None:
    @perdure.workflow(name="greet", version="v2")
    async def greet(ctx: WorkflowContext) -> str:
        return "hi"

    await live.serve(greet)
    await (await live.start("greet")).result()
    assert spans.attributes("orchestration||greet||v2")["durabletask.task.version"] == "v2"


async def test_what_fails_says_why(live: World, spans: Spans) -> None:
    @perdure.workflow
    async def buy(ctx: WorkflowContext) -> None:
        await ctx.call_activity(decline)

    await live.serve(buy, decline)
    await (await live.start("buy")).failure()
    await (await live.start("nobody knows")).failure()
    activity, run = spans.named("activity||decline"), spans.named("orchestration||buy")
    assert (activity.status.status_code, run.status.status_code) == (StatusCode.ERROR,) * 2
    assert activity.status.description == "ValueError: no money"
    unknown = spans.named("orchestration||nobody knows")
    assert unknown.status.description is not None
    assert "nobody knows" in unknown.status.description


async def test_each_run_after_continue_as_new_is_a_trace_that_points_to_the_one_before(
    world: World, spans: Spans
) -> None:
    @perdure.workflow
    async def count(ctx: WorkflowContext, left: int) -> int:
        await ctx.call_activity(charge, input=left)
        if left:
            ctx.continue_as_new(left - 1)
        return left

    await world.serve(count, charge)
    await (await world.start("count", 2, trace=h.Trace(INCOMING))).result()
    await world.stop()
    first, second, third = [s for s in spans.all() if s.name == "orchestration||count"]
    assert (second.parent, third.parent) == (None, None)
    assert len({own(span).trace_id for span in (first, second, third)}) == 3
    for before, after in ((first, second), (second, third)):
        assert [link.context.span_id for link in after.links] == [own(before).span_id]
        assert spans.below(own(before).span_id) == {"activity||charge": {}}


async def test_a_terminated_run_has_a_span(world: World, spans: Spans) -> None:
    @perdure.workflow
    async def waits(ctx: WorkflowContext) -> None:
        await ctx.wait_for_external_event("never", timeout=timedelta(days=1))

    await world.serve(waits)
    instance = await world.start("waits")
    await instance.running()
    await instance.terminate()
    await instance.until(h.Status.TERMINATED)
    assert spans.names() == ["create_orchestration||waits", "orchestration||waits"]


async def test_code_of_an_activity_is_below_its_span(
    live: World, spans: Spans, provider: TracerProvider
) -> None:
    tracer = provider.get_tracer("the user's own")

    @perdure.activity
    def in_thread() -> None:
        with tracer.start_as_current_span("thread"):
            pass

    @perdure.activity
    async def on_loop() -> None:
        with tracer.start_as_current_span("loop"):
            pass

    @perdure.workflow
    async def both(ctx: WorkflowContext) -> None:
        await ctx.call_activity(in_thread)
        await ctx.call_activity(on_loop)

    await live.serve(both, in_thread, on_loop)
    await (await live.start("both")).result()
    for inner, outer in (("thread", "activity||in_thread"), ("loop", "activity||on_loop")):
        parent = spans.named(inner).parent
        assert parent is not None
        assert parent.span_id == own(spans.named(outer)).span_id


async def test_a_start_in_this_process_belongs_to_the_span_that_is_current(
    live: World, spans: Spans, provider: TracerProvider
) -> None:
    await live.serve(ship, pack)
    with provider.get_tracer("the user's own").start_as_current_span("request") as request:
        await live.service.run("ship")
    created = spans.named("create_orchestration||ship")
    assert created.parent is not None
    assert created.parent.span_id == request.get_span_context().span_id


async def test_a_start_that_is_refused_has_a_span_with_the_error(live: World, spans: Spans) -> None:
    @perdure.workflow
    async def waits(ctx: WorkflowContext) -> None:
        await ctx.wait_for_external_event("never")

    await live.serve(waits)
    await live.service.start("waits", instance_id="w")
    with pytest.raises(InstanceExists):
        await live.service.start("waits", instance_id="w")
    statuses = [span.status.status_code for span in spans.all()]
    assert statuses == [StatusCode.UNSET, StatusCode.ERROR]


async def test_what_is_not_sampled_is_said_to_be_so(live: World, spans: Spans) -> None:
    await live.serve(order, ship, charge, pack)
    instance = await live.start("order", trace=h.Trace(INCOMING[:-2] + "00"))
    await instance.result()
    assert spans.all() == []
    (started,) = await instance.of(h.ExecutionStarted)
    assert started.span.trace.parent.startswith("00-0af7651916cd43dd8448eb211c80319c-")
    assert started.span.trace.parent.endswith("-00")


class TestWithoutRoots:
    @pytest.fixture
    def provider(self) -> TracerProvider:
        return TracerProvider(sampler=ParentBased(ALWAYS_OFF))

    async def test_the_sampler_decides_about_a_whole_tree(self, live: World, spans: Spans) -> None:
        await live.serve(order, ship, charge, pack)
        await (await live.start("order")).result()
        assert spans.all() == []


async def test_the_child_is_told_the_span_of_its_parent(live: World, spans: Spans) -> None:
    await live.serve(order, ship, charge, pack)
    await (await live.start("order", instance_id="o")).result()
    (started,) = await live.handle("o:0003").of(h.ExecutionStarted)
    assert started.trace.parent == traceparent(spans.named("orchestration||order"))


async def test_without_an_sdk_a_trace_context_is_handed_on_as_it_came(
    live: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    from perdure.runtime import node
    from perdure.runtime.tracing import OpenTelemetryTracer

    no_sdk = OpenTelemetryTracer(otel.NoOpTracerProvider)
    for tracer in (None, no_sdk):
        monkeypatch.setattr(node, "tracer_if_there", lambda tracer=tracer: tracer)
        await live.serve(order, ship, charge, pack)
        name = f"with {tracer}"
        await (await live.start("order", instance_id=name, trace=h.Trace(INCOMING, "s=1"))).result()
        for instance_id in (name, f"{name}:0003"):
            (started,) = await live.handle(instance_id).of(h.ExecutionStarted)
            assert (started.trace, started.span) == (h.Trace(INCOMING, "s=1"), None)
