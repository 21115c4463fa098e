"""Beginning again with another input and an empty history."""

from __future__ import annotations

from collections.abc import Generator
from datetime import timedelta
from typing import Any

import pytest

import perdure.dapr as wf
from tests.dapr.conftest import finished

Steps = Generator[Any, Any, Any]


def test_a_workflow_can_begin_again_thirty_times(
    runtime: wf.WorkflowRuntime, client: wf.DaprWorkflowClient
) -> None:
    counted: list[int] = []

    @runtime.workflow
    def again(ctx: wf.DaprWorkflowContext, number: int) -> Steps:
        yield ctx.call_activity(count, input=number)
        if number < 30:
            ctx.set_custom_status("not the last")
            ctx.continue_as_new(number + 1)
            return None
        return number

    @runtime.activity
    def count(ctx: wf.WorkflowActivityContext, number: int) -> None:
        counted.append(number)

    runtime.start()
    state = finished(client, client.schedule_new_workflow(again, input=0, instance_id="again"))
    assert state.serialized_output == "30"
    assert state.serialized_input == "30"
    assert state.serialized_custom_status is None
    assert counted == list(range(31))
    kinds = [event.event_type.name for event in client.get_workflow_history("again")]
    assert kinds.count("TASK_SCHEDULED") == 1


def test_a_workflow_can_begin_again_in_one_go_more_often_than_a_turn_lasts(
    runtime: wf.WorkflowRuntime, client: wf.DaprWorkflowClient
) -> None:
    @runtime.workflow
    def again(ctx: wf.DaprWorkflowContext, number: int) -> int | None:
        if number < 50:
            ctx.continue_as_new(number + 1)
            return None
        return number

    runtime.start()
    state = finished(client, client.schedule_new_workflow(again, input=0))
    assert state.serialized_output == "50"


@pytest.mark.parametrize("kept", [True, False])
def test_events_that_nobody_took_are_kept_if_that_is_asked_for(
    kept: bool, runtime: wf.WorkflowRuntime, client: wf.DaprWorkflowClient
) -> None:
    @runtime.workflow
    def collect(ctx: wf.DaprWorkflowContext, got: list[int]) -> Steps:
        if not got:
            yield ctx.wait_for_external_event("begin")
        wait = timedelta(seconds=10) if kept and len(got) < 30 else timedelta(milliseconds=5)
        try:
            number = yield ctx.wait_for_external_event("number", timeout=wait)
        except TimeoutError:
            return got
        ctx.continue_as_new([*got, number], save_events=kept)

    runtime.start()
    instance_id = client.schedule_new_workflow(collect, input=[])
    for number in range(1, 31):
        client.raise_workflow_event(instance_id, "NUMBER", data=number)
    client.raise_workflow_event(instance_id, "begin")
    everything = list(range(1, 31))
    expected = everything if kept else [1]
    assert finished(client, instance_id).serialized_output == str(expected)


def test_dataclasses_stay_namespaces_from_run_to_run(
    runtime: wf.WorkflowRuntime, client: wf.DaprWorkflowClient
) -> None:
    @runtime.workflow
    def monitor(ctx: wf.DaprWorkflowContext, job: Any) -> Steps:
        job.rounds += 1
        yield ctx.create_timer(timedelta(milliseconds=1))
        if job.rounds == 3:
            return job
        ctx.continue_as_new(job)

    runtime.start()
    job = {"rounds": 0, "__durabletask_autoobject__": True}
    state = finished(client, client.schedule_new_workflow(monitor, input=job))
    assert state.serialized_output == '{"rounds": 3, "__durabletask_autoobject__": true}'
