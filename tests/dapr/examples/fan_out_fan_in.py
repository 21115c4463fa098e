"""A batch is split up, worked on in parallel, and summed up."""

import time
from typing import Any

import perdure.dapr as wf


def batch(ctx: wf.DaprWorkflowContext, size: int) -> Any:
    items = yield ctx.call_activity(split, input=size)
    outputs = yield wf.when_all([ctx.call_activity(work, input=item) for item in items])
    yield ctx.call_activity(report, input=sum(outputs))


def split(ctx: wf.WorkflowActivityContext, size: int) -> list[int]:
    return [number + 1 for number in range(size)]


def work(ctx: wf.WorkflowActivityContext, item: int) -> int:
    print(f"working on {item}")
    time.sleep(0.02)
    print(f"{item} gives {item * 2}")
    return item * 2


def report(ctx: wf.WorkflowActivityContext, total: int) -> None:
    print(f"the sum is {total}")


if __name__ == "__main__":
    runtime = wf.WorkflowRuntime("localhost", "50001")
    runtime.register_workflow(batch)
    runtime.register_activity(split)
    runtime.register_activity(work)
    runtime.register_activity(report)
    runtime.start()

    client = wf.DaprWorkflowClient()
    instance_id = client.schedule_new_workflow(workflow=batch, input=10)
    print(f"started {instance_id}")
    client.wait_for_workflow_completion(instance_id)

    runtime.shutdown()
