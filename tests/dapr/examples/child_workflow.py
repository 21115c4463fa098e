"""A workflow that calls another one, under an id of its choice."""

from typing import Any

import perdure.dapr as wf


def parent(ctx: wf.DaprWorkflowContext) -> Any:
    child_id = ctx.instance_id + "-child"
    print(f"calling {child_id}")
    try:
        yield ctx.call_child_workflow(workflow=child, input=None, instance_id=child_id)
    except Exception as error:
        print(f"the child failed: {error}")


def child(ctx: wf.DaprWorkflowContext) -> None:
    print(f"child {ctx.instance_id} called")


if __name__ == "__main__":
    runtime = wf.WorkflowRuntime("localhost", "50001")
    runtime.register_workflow(parent)
    runtime.register_workflow(child)
    runtime.start()

    client = wf.DaprWorkflowClient()
    instance_id = client.schedule_new_workflow(workflow=parent, instance_id="family")
    client.wait_for_workflow_completion(instance_id, timeout_in_seconds=10)

    runtime.shutdown()
