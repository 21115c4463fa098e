"""Three activities, each fed by the one before, and a handler for when one fails."""

from typing import Any

import perdure.dapr as wf


def chain(ctx: wf.DaprWorkflowContext, start: int) -> Any:
    try:
        one = yield ctx.call_activity(add_one, input=start)
        two = yield ctx.call_activity(double, input=one)
        three = yield ctx.call_activity(flip, input=two)
    except Exception as error:
        yield ctx.call_activity(on_error, input=str(error))
        raise
    return [one, two, three]


def add_one(ctx: wf.WorkflowActivityContext, number: int) -> int:
    print(f"add_one got {number}")
    return number + 1


def double(ctx: wf.WorkflowActivityContext, number: int) -> int:
    print(f"double got {number}")
    if number < 0:
        raise ValueError("no negative numbers")
    return number * 2


def flip(ctx: wf.WorkflowActivityContext, number: int) -> int:
    print(f"flip got {number}")
    return number ^ 2


def on_error(ctx: wf.WorkflowActivityContext, error: str) -> None:
    print(f"handled: {error}")


if __name__ == "__main__":
    runtime = wf.WorkflowRuntime("localhost", "50001")
    runtime.register_workflow(chain)
    for activity in (add_one, double, flip, on_error):
        runtime.register_activity(activity)
    runtime.start()

    client = wf.DaprWorkflowClient()
    for number in (42, -10):
        instance_id = client.schedule_new_workflow(workflow=chain, input=number)
        state = client.wait_for_workflow_completion(instance_id)
        assert state is not None
        print(f"finished: {state.runtime_status}, result {state.serialized_output}")

    runtime.shutdown()
