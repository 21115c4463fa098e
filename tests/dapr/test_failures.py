"""Failures, and how often a call is tried again."""

from __future__ import annotations

from collections.abc import Generator
from datetime import timedelta
from itertools import pairwise
from typing import Any

import pytest

import perdure.dapr as wf
from tests.dapr.conftest import finished

MS = timedelta(milliseconds=1)
Steps = Generator[Any, Any, Any]


class Declined(Exception):
    pass


def test_a_failed_activity_tells_its_type_message_and_trace(
    runtime: wf.WorkflowRuntime, client: wf.DaprWorkflowClient
) -> None:
    @runtime.workflow
    def pay(ctx: wf.DaprWorkflowContext) -> Steps:
        try:
            yield ctx.call_activity(charge)
        except wf.TaskFailedError as error:
            details = error.details
            assert isinstance(details, wf.FailureDetails)
            assert "raise Declined" in (details.stack_trace or "")
            return [str(error), details.error_type, details.message]

    @runtime.activity
    def charge(ctx: wf.WorkflowActivityContext) -> None:
        raise Declined("no cover")

    runtime.start()
    state = finished(client, client.schedule_new_workflow(pay, instance_id="p"))
    assert state.serialized_output == (
        '["p: Activity task #1 failed: no cover", "Declined", "no cover"]'
    )


def test_a_failure_nobody_handles_fails_the_workflow_and_its_parent(
    runtime: wf.WorkflowRuntime, client: wf.DaprWorkflowClient
) -> None:
    @runtime.workflow
    def parent(ctx: wf.DaprWorkflowContext) -> Steps:
        yield ctx.call_child_workflow(child, instance_id="the-child")

    @runtime.workflow
    def child(ctx: wf.DaprWorkflowContext) -> Steps:
        yield ctx.create_timer(MS)
        raise Declined("enough")

    runtime.start()
    state = finished(client, client.schedule_new_workflow(parent))
    assert state.runtime_status is wf.WorkflowStatus.FAILED
    assert state.serialized_output is None
    assert state.failure_details is not None
    assert state.failure_details.error_type == "TaskFailedError"
    assert state.failure_details.message.endswith("failed: enough")
    child_failure = finished(client, "the-child").failure_details
    assert child_failure is not None
    assert (child_failure.error_type, child_failure.message) == ("Declined", "enough")
    assert "raise Declined" in (child_failure.stack_trace or "")


def test_names_that_nobody_registered_fail(
    runtime: wf.WorkflowRuntime, client: wf.DaprWorkflowClient
) -> None:
    @runtime.workflow
    def call(ctx: wf.DaprWorkflowContext, what: str) -> Steps:
        if what == "activity":
            yield ctx.call_activity("unheard of")
        else:
            yield ctx.call_child_workflow("unheard of")

    runtime.start()
    direct = finished(client, client.schedule_new_workflow("unheard of")).failure_details
    assert direct is not None
    assert direct.message == "A 'unheard of' orchestrator was not registered."
    for what in ("activity", "child"):
        failure = finished(client, client.schedule_new_workflow(call, input=what)).failure_details
        assert failure is not None
        assert "unheard of" in failure.message
        assert "was" in failure.message
        assert "registered" in failure.message


def test_an_activity_is_tried_again_with_growing_pauses(
    runtime: wf.WorkflowRuntime, client: wf.DaprWorkflowClient
) -> None:
    executions: list[str] = []
    policy = wf.RetryPolicy(
        first_retry_interval=4 * MS,
        max_number_of_attempts=5,
        backoff_coefficient=2,
        max_retry_interval=10 * MS,
        retry_timeout=timedelta(minutes=1),
    )
    assert policy.first_retry_interval == 4 * MS
    assert policy.max_number_of_attempts == 5

    @runtime.workflow
    def persist(ctx: wf.DaprWorkflowContext) -> Steps:
        return (yield ctx.call_activity(flaky, input=1, retry_policy=policy))

    @runtime.activity
    def flaky(ctx: wf.WorkflowActivityContext, number: int) -> str:
        executions.append(ctx.get_inner_context().task_execution_id)
        if len(executions) < 5:
            raise ValueError("again")
        return f"{ctx.workflow_id} {ctx.task_id} {number}"

    runtime.start()
    state = finished(client, client.schedule_new_workflow(persist, instance_id="p"))
    # Each retry is a timer and a call: tasks 2 and 3, 4 and 5 …
    assert state.serialized_output == '"p 9 1"'
    assert len(executions) == 5
    assert len(set(executions)) == 1
    events = client.get_workflow_history("p")
    failed = [e.timestamp for e in events if e.event_type.name == "TASK_FAILED"]
    tried = [e.timestamp for e in events if e.event_type.name == "TASK_SCHEDULED"][1:]
    pauses = [
        (again - then) // MS for then, again in zip(failed, tried, strict=True) if then and again
    ]
    for pause, least in zip(pauses, (4, 8, 10, 10), strict=True):
        assert pause >= least
    assert all(earlier <= later for earlier, later in pairwise(tried) if earlier and later)


@pytest.mark.parametrize(
    ("policy", "tries"),
    [
        (wf.RetryPolicy(first_retry_interval=MS, max_number_of_attempts=3), 3),
        (wf.RetryPolicy(first_retry_interval=MS, max_number_of_attempts=1), 1),
        (
            wf.RetryPolicy(
                first_retry_interval=4 * MS, max_number_of_attempts=99, retry_timeout=3 * MS
            ),
            1,
        ),
    ],
)
def test_the_last_failure_counts_when_the_policy_is_at_its_end(
    policy: wf.RetryPolicy,
    tries: int,
    runtime: wf.WorkflowRuntime,
    client: wf.DaprWorkflowClient,
) -> None:
    count = 0

    @runtime.workflow
    def persist(ctx: wf.DaprWorkflowContext) -> Steps:
        yield ctx.call_activity(hopeless, retry_policy=policy)

    @runtime.activity
    def hopeless(ctx: wf.WorkflowActivityContext) -> None:
        nonlocal count
        count += 1
        raise ValueError(f"try {count}")

    runtime.start()
    failure = finished(client, client.schedule_new_workflow(persist)).failure_details
    assert failure is not None
    assert failure.message.endswith(f"failed: try {tries}")
    assert count == tries


def test_a_child_is_tried_again_under_the_id_that_was_chosen(
    runtime: wf.WorkflowRuntime, client: wf.DaprWorkflowClient
) -> None:
    runs: list[str] = []
    policy = wf.RetryPolicy(first_retry_interval=MS, max_number_of_attempts=3)

    @runtime.workflow
    def parent(ctx: wf.DaprWorkflowContext) -> Steps:
        return (yield ctx.call_child_workflow(child, instance_id="chosen", retry_policy=policy))

    @runtime.workflow
    def child(ctx: wf.DaprWorkflowContext) -> str:
        runs.append(ctx.instance_id)
        if len(runs) < 3:
            raise ValueError("again")
        return "at last"

    runtime.start()
    assert finished(client, client.schedule_new_workflow(parent)).serialized_output == '"at last"'
    assert runs == ["chosen"] * 3


def test_an_error_that_is_not_to_be_retried_is_not(
    runtime: wf.WorkflowRuntime, client: wf.DaprWorkflowClient
) -> None:
    count = 0
    policy = wf.RetryPolicy(first_retry_interval=MS, max_number_of_attempts=9)

    @runtime.workflow
    def persist(ctx: wf.DaprWorkflowContext) -> Steps:
        yield ctx.call_activity(final, retry_policy=policy)

    @runtime.activity
    async def final(ctx: wf.WorkflowActivityContext) -> None:
        nonlocal count
        count += 1
        raise wf.NonRetryableError("never")

    runtime.start()
    failure = finished(client, client.schedule_new_workflow(persist)).failure_details
    assert failure is not None
    assert count == 1


@pytest.mark.parametrize(
    "wrong",
    [
        {"first_retry_interval": -MS},
        {"max_number_of_attempts": 0},
        {"backoff_coefficient": 0.5},
        {"max_retry_interval": -MS},
        {"retry_timeout": -MS},
    ],
)
def test_a_policy_that_makes_no_sense_is_refused(wrong: dict[str, Any]) -> None:
    sound: dict[str, Any] = {"first_retry_interval": MS, "max_number_of_attempts": 2}
    with pytest.raises(ValueError, match=next(iter(wrong))):
        wf.RetryPolicy(**{**sound, **wrong})


def test_a_workflow_that_yields_anything_but_a_task_fails(
    runtime: wf.WorkflowRuntime, client: wf.DaprWorkflowClient
) -> None:
    @runtime.workflow
    def wrong(ctx: wf.DaprWorkflowContext) -> Steps:
        yield 3

    runtime.start()
    failure = finished(client, client.schedule_new_workflow(wrong)).failure_details
    assert failure is not None
    assert failure.error_type == "TypeError"


def test_what_is_not_supported_is_refused_by_name(
    runtime: wf.WorkflowRuntime, client: wf.DaprWorkflowClient
) -> None:
    @runtime.workflow
    def far(ctx: wf.DaprWorkflowContext, option: str) -> Steps:
        yield ctx.call_activity("anything", **{option: "over there"})  # type: ignore[arg-type]

    runtime.start()
    for option, error in (("app_id", "ValueError"), ("propagation", "TypeError")):
        failure = finished(client, client.schedule_new_workflow(far, input=option)).failure_details
        assert failure is not None
        assert failure.error_type == error
        assert option in failure.message


def test_a_rerun_is_no_request_of_the_http_api(client: wf.DaprWorkflowClient) -> None:
    with pytest.raises(NotImplementedError, match="not part of the HTTP API"):
        client.rerun_workflow_from_event("x", 1)
