"""Counters, retries, a child with retries, an event or a timer, pause and resume, purge."""

from collections.abc import Callable
from datetime import timedelta
from time import sleep
from typing import Any

from perdure.dapr import (
    DaprWorkflowClient,
    DaprWorkflowContext,
    RetryPolicy,
    WorkflowActivityContext,
    WorkflowRuntime,
    when_any,
)

counter = 0
tries = 0
children = 0
child_tries = 0
trail = ""

patiently = RetryPolicy(
    first_retry_interval=timedelta(milliseconds=5),
    max_number_of_attempts=3,
    backoff_coefficient=2,
    max_retry_interval=timedelta(milliseconds=50),
    retry_timeout=timedelta(seconds=100),
)
runtime = WorkflowRuntime()


@runtime.workflow(name="hello_world_wf")
def hello(ctx: DaprWorkflowContext, greeting: str) -> Any:
    print(greeting)
    yield ctx.call_activity(add, input=1)
    yield ctx.call_activity(add, input=10)
    yield ctx.call_activity(flaky, retry_policy=patiently)
    yield ctx.call_child_workflow(flaky_child, retry_policy=patiently)

    event = ctx.wait_for_external_event("event1")
    timeout = ctx.create_timer(timedelta(seconds=30))
    winner = yield when_any([event, timeout])
    if winner == timeout:
        return "timeout"

    yield ctx.call_activity(add, input=100)
    yield ctx.call_activity(add, input=1000)
    return "done"


@runtime.activity(name="add")
def add(ctx: WorkflowActivityContext, amount: int) -> None:
    global counter
    counter += amount
    print(f"the counter is {counter}")


@runtime.activity(name="flaky")
def flaky(ctx: WorkflowActivityContext) -> None:
    global tries
    tries += 1
    print(f"try {tries}")
    if tries % 2 == 1:
        raise ValueError("try again")


@runtime.workflow(name="flaky_child")
def flaky_child(ctx: DaprWorkflowContext) -> Any:
    global trail, children
    if not ctx.is_replaying:
        children += 1
        trail += str(children)
    yield ctx.call_activity(leave_a_trace, input=children, retry_policy=patiently)
    if children < 3:
        raise ValueError("try again")


@runtime.activity(name="leave_a_trace")
def leave_a_trace(ctx: WorkflowActivityContext, number: int) -> None:
    global trail, child_tries
    trail += chr(96 + number)
    child_tries += 1
    if child_tries % 2 == 1:
        raise ValueError("try again")


def until(reached: Callable[[], bool]) -> None:
    while not reached():
        sleep(0.005)


def main() -> None:
    runtime.start()
    client = DaprWorkflowClient()
    instance_id = client.schedule_new_workflow(
        workflow=hello, input="hi, counter", instance_id="exampleInstanceID"
    )
    client.wait_for_workflow_start(instance_id)
    until(lambda: child_tries == 6)
    assert counter == 11
    assert tries == 2
    assert trail == "1aa2bb3cc"

    client.pause_workflow(instance_id=instance_id)
    paused = client.get_workflow_state(instance_id=instance_id)
    assert paused is not None
    print(f"after pause: {paused.runtime_status.name}")

    client.resume_workflow(instance_id=instance_id)
    resumed = client.get_workflow_state(instance_id=instance_id)
    assert resumed is not None
    print(f"after resume: {resumed.runtime_status.name}")

    client.raise_workflow_event(instance_id=instance_id, event_name="event1", data="eventData")
    try:
        state = client.wait_for_workflow_completion(instance_id, timeout_in_seconds=30)
        assert state is not None
        print(f"{state.runtime_status.name}: {state.serialized_output}")
    except TimeoutError:
        print("too late")

    client.purge_workflow(instance_id=instance_id)
    print(f"after purge: {client.get_workflow_state(instance_id=instance_id)}")
    runtime.shutdown()


if __name__ == "__main__":
    main()
