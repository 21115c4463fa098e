"""Chains, fan-outs, children, events and timers: what workflows wait for."""

from __future__ import annotations

from collections.abc import Generator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

import perdure.dapr as wf
from tests.dapr.conftest import eventually, finished, state_of

MS = timedelta(milliseconds=1)
Steps = Generator[Any, Any, Any]


def test_a_chain_runs_its_steps_in_order(
    runtime: wf.WorkflowRuntime, client: wf.DaprWorkflowClient
) -> None:
    @runtime.workflow
    def chain(ctx: wf.DaprWorkflowContext, count: int) -> Steps:
        total = 0
        for number in range(count):
            total = yield ctx.call_activity("add", input=[total, number])
        return total

    @runtime.activity
    def add(ctx: wf.WorkflowActivityContext, numbers: list[int]) -> int:
        return sum(numbers)

    runtime.start()
    state = finished(client, client.schedule_new_workflow("chain", input=20))
    assert state.serialized_output == "190"


def test_a_fan_out_of_a_hundred_gives_its_results_in_the_order_of_the_calls(
    runtime: wf.WorkflowRuntime, client: wf.DaprWorkflowClient
) -> None:
    @runtime.workflow
    def fan_out(ctx: wf.DaprWorkflowContext) -> Steps:
        results = yield wf.when_all([ctx.call_activity(square, input=n) for n in range(100)])
        assert results == [n * n for n in range(100)]
        return sum(results)

    @runtime.activity
    def square(ctx: wf.WorkflowActivityContext, number: int) -> int:
        return number * number

    runtime.start()
    state = finished(client, client.schedule_new_workflow(fan_out))
    assert state.serialized_output == str(sum(n * n for n in range(100)))


def test_children_of_children_hand_their_results_up(
    runtime: wf.WorkflowRuntime, client: wf.DaprWorkflowClient
) -> None:
    @runtime.workflow
    def nest(ctx: wf.DaprWorkflowContext, depth: int) -> Steps:
        below = []
        if depth > 0:
            below = yield ctx.call_child_workflow(nest, input=depth - 1)
        return [ctx.instance_id, *below]

    runtime.start()
    state = finished(client, client.schedule_new_workflow(nest, input=3, instance_id="a"))
    ids = ["a", "a:0001", "a:0001:0001", "a:0001:0001:0001"]
    assert state.serialized_output == str(ids).replace("'", '"')
    assert sorted(client.iter_workflow_instance_ids(page_size=2)) == ids


def test_events_are_matched_by_name_ignoring_case_and_kept_in_order(
    runtime: wf.WorkflowRuntime, client: wf.DaprWorkflowClient
) -> None:
    @runtime.workflow
    def listen(ctx: wf.DaprWorkflowContext) -> Steps:
        yield ctx.wait_for_external_event("begin")
        first = yield ctx.wait_for_external_event("straSSe")
        second = yield ctx.wait_for_external_event("STRASSE", timeout=timedelta(0))
        third = yield ctx.wait_for_external_event("other")
        return [first, second, third]

    runtime.start()
    instance_id = client.schedule_new_workflow(listen)
    client.raise_workflow_event(instance_id, "other", data="b")
    client.raise_workflow_event(instance_id, "Strasse", data=1)
    client.raise_workflow_event(instance_id, "straße", data={"two": 2})
    client.raise_workflow_event(instance_id, "BEGIN")
    assert finished(client, instance_id).serialized_output == '[1, {"two": 2}, "b"]'


def test_of_two_waiters_for_one_name_the_older_gets_the_first_event(
    runtime: wf.WorkflowRuntime, client: wf.DaprWorkflowClient
) -> None:
    @runtime.workflow
    def listen(ctx: wf.DaprWorkflowContext) -> Steps:
        older = ctx.wait_for_external_event("news")
        newer = ctx.wait_for_external_event("news")
        winner = yield wf.when_any([newer, older])
        assert winner is older
        assert not newer.is_complete
        with pytest.raises(ValueError, match="not complete"):
            newer.get_result()
        return [older.get_result(), (yield newer)]

    runtime.start()
    instance_id = client.schedule_new_workflow(listen)
    client.raise_workflow_event(instance_id, "news", data=1)
    client.raise_workflow_event(instance_id, "news", data=2)
    assert finished(client, instance_id).serialized_output == "[1, 2]"


@pytest.mark.parametrize("timeout", ["duration", "time", "zone", "past", "zero"])
def test_a_wait_for_an_event_ends_with_a_timeout_and_the_event_is_kept_for_the_next(
    timeout: str, runtime: wf.WorkflowRuntime, client: wf.DaprWorkflowClient
) -> None:
    @runtime.workflow
    def impatient(ctx: wf.DaprWorkflowContext) -> Steps:
        ways: dict[str, datetime | timedelta] = {
            "duration": 10 * MS,
            "time": ctx.current_utc_datetime + 10 * MS,
            "zone": ctx.current_utc_datetime.replace(tzinfo=UTC) + 10 * MS,
            "past": ctx.current_utc_datetime - 10 * MS,
            "zero": timedelta(0),
        }
        with pytest.raises(TimeoutError):
            yield ctx.wait_for_external_event("late", timeout=ways[timeout])
        ctx.set_custom_status("timed out")
        return (yield ctx.wait_for_external_event("late", timeout=timedelta(seconds=-1)))

    runtime.start()
    instance_id = client.schedule_new_workflow(impatient)
    eventually(lambda: state_of(client, instance_id).serialized_custom_status == "timed out")
    client.raise_workflow_event(instance_id, "late", data="better than never")
    assert finished(client, instance_id).serialized_output == '"better than never"'


def test_an_event_in_time_makes_its_timeout_void(
    runtime: wf.WorkflowRuntime, client: wf.DaprWorkflowClient
) -> None:
    @runtime.workflow
    def patient(ctx: wf.DaprWorkflowContext) -> Steps:
        got = yield ctx.wait_for_external_event("now", timeout=timedelta(hours=1))
        yield ctx.create_timer(MS)
        return got

    runtime.start()
    instance_id = client.schedule_new_workflow(patient)
    client.raise_workflow_event(instance_id, "now", data=[1])
    assert finished(client, instance_id).serialized_output == "[1]"


def test_data_that_is_false_is_sent_as_nothing(
    runtime: wf.WorkflowRuntime, client: wf.DaprWorkflowClient
) -> None:
    @runtime.workflow
    def listen(ctx: wf.DaprWorkflowContext) -> Steps:
        first = yield ctx.wait_for_external_event("event")
        second = yield ctx.wait_for_external_event("event")
        return [first, second]

    runtime.start()
    instance_id = client.schedule_new_workflow(listen)
    client.raise_workflow_event(instance_id, "event", data=0)
    client.raise_workflow_event(instance_id, "event", data=[])
    assert finished(client, instance_id).serialized_output == "[null, null]"


def test_timers_fire_in_the_order_of_their_times_and_never_early(
    runtime: wf.WorkflowRuntime, client: wf.DaprWorkflowClient
) -> None:
    @runtime.workflow
    def timers(ctx: wf.DaprWorkflowContext) -> Steps:
        began = ctx.current_utc_datetime
        assert began.tzinfo is None
        waits = {
            ctx.create_timer(20 * MS): 20 * MS,
            ctx.create_timer(began + 5 * MS): 5 * MS,
            ctx.create_timer(began.replace(tzinfo=UTC) + 10 * MS): 10 * MS,
            ctx.create_timer(began - 5 * MS): timedelta(0),
        }
        fired = []
        while waits:
            first = yield wf.when_any(list(waits))
            wait = waits.pop(first)
            assert ctx.current_utc_datetime - began >= wait
            fired.append(wait // MS)
        return fired

    runtime.start()
    state = finished(client, client.schedule_new_workflow(timers))
    assert state.failure_details is None
    assert state.serialized_output == "[0, 5, 10, 20]"


def test_a_workflow_can_be_scheduled_for_later(
    runtime: wf.WorkflowRuntime, client: wf.DaprWorkflowClient
) -> None:
    @runtime.workflow
    def later(ctx: wf.DaprWorkflowContext) -> str:
        return ctx.current_utc_datetime.isoformat()

    runtime.start()
    now = finished(client, client.schedule_new_workflow(later)).created_at
    assert now is not None
    start_at = now + 100 * MS
    instance_id = client.schedule_new_workflow(later, start_at=start_at)
    state = client.get_workflow_state(instance_id)
    assert state is not None
    assert state.runtime_status is wf.WorkflowStatus.PENDING
    with pytest.raises(TimeoutError):
        client.wait_for_workflow_start(instance_id, timeout_in_seconds=0.001)
    began = datetime.fromisoformat(str(finished(client, instance_id).serialized_output).strip('"'))
    assert began >= start_at


def test_when_all_waits_for_all_and_then_raises_the_first_failure(
    runtime: wf.WorkflowRuntime, client: wf.DaprWorkflowClient
) -> None:
    @runtime.workflow
    def combine(ctx: wf.DaprWorkflowContext) -> Steps:
        late = ctx.create_timer(10 * MS)
        early = ctx.call_activity(fail, input="early")
        both = wf.when_all([late, early])
        with pytest.raises(wf.TaskFailedError) as raised:
            yield both
        assert raised.value.details.message == "early"
        assert early.is_failed
        assert early.get_exception() is raised.value
        assert late.is_complete
        assert (both.pending_tasks, both.get_completed_tasks()) == (0, 2)
        assert both.get_tasks() == [late, early]
        return [(yield wf.when_all([])), (yield wf.when_any([]))]

    @runtime.activity
    def fail(ctx: wf.WorkflowActivityContext, message: str) -> None:
        raise ValueError(message)

    runtime.start()
    state = finished(client, client.schedule_new_workflow(combine))
    assert state.failure_details is None
    assert state.serialized_output == "[[], []]"


def test_when_any_gives_the_task_that_failed_first_without_raising(
    runtime: wf.WorkflowRuntime, client: wf.DaprWorkflowClient
) -> None:
    @runtime.workflow
    def combine(ctx: wf.DaprWorkflowContext) -> Steps:
        slow, bad = ctx.wait_for_external_event("never"), ctx.call_activity("not registered")
        winner = yield wf.when_any([slow, wf.when_all([bad])])
        assert winner.is_failed
        with pytest.raises(wf.TaskFailedError):
            winner.get_result()
        return type(winner).__name__

    runtime.start()
    state = finished(client, client.schedule_new_workflow(combine))
    assert state.serialized_output == '"WhenAllTask"'


def test_what_is_random_or_new_is_the_same_in_every_replay(
    runtime: wf.WorkflowRuntime, client: wf.DaprWorkflowClient
) -> None:
    seen: list[list[object]] = []

    @runtime.workflow
    def random(ctx: wf.DaprWorkflowContext) -> Steps:
        first, second = ctx.uuid4(), ctx.new_guid()
        assert isinstance(first, UUID)
        assert first != second
        text = ctx.random_string(8, alphabet="ab")
        assert set(text) <= {"a", "b"}
        times = [ctx.now_with_sequence(), ctx.current_utc_datetime_with_sequence()]
        assert times == [ctx.now(), ctx.now() + timedelta(microseconds=1)]
        choice = ctx.random_choice([1, 2, 3])
        seen.append([first, second, text, ctx.random_int(0, 9), choice, ctx.random().random()])
        yield ctx.wait_for_external_event("go")
        return ctx.is_replaying

    runtime.start()
    instance_id = client.schedule_new_workflow(random)
    runtime.shutdown()
    runtime.start()
    client.raise_workflow_event(instance_id, "go")
    state = finished(client, instance_id)
    assert state.failure_details is None
    assert len(seen) == 2
    assert seen[0] == seen[1]
