"""A workflow without end: it looks at a job now and then, and begins again as new."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import perdure.dapr as wf

runtime = wf.WorkflowRuntime()
LOOKS_PER_START = 4


@dataclass
class Job:
    job_id: str
    is_healthy: bool
    looks: int = 0


@runtime.workflow(name="status_monitor")
def monitor(ctx: wf.DaprWorkflowContext, job: Job) -> Any:
    status = yield ctx.call_activity(check, input=job)
    if not ctx.is_replaying:
        print(f"job '{job.job_id}' is {status}")
    if status == "healthy":
        job.is_healthy = True
        pause = 20
    else:
        if job.is_healthy:
            job.is_healthy = False
            ctx.call_activity(alert, input=f"job '{job.job_id}' is unhealthy!")
        pause = 5
    job.looks += 1
    yield ctx.create_timer(fire_at=timedelta(milliseconds=pause))
    if job.looks % LOOKS_PER_START == 0:
        ctx.set_custom_status(f"looked {job.looks} times")
        yield ctx.wait_for_external_event("next shift")
    ctx.continue_as_new(job)


@runtime.activity
def check(ctx: wf.WorkflowActivityContext, job: Job) -> str:
    return "unhealthy" if job.looks % 3 == 1 else "healthy"


@runtime.activity
def alert(ctx: wf.WorkflowActivityContext, message: str) -> None:
    print(f"alert: {message}")


if __name__ == "__main__":
    runtime.start()
    client = wf.DaprWorkflowClient()
    status = client.get_workflow_state("job1")
    if not status or status.runtime_status.name != "RUNNING":
        client.schedule_new_workflow(
            workflow=monitor, input=Job(job_id="job1", is_healthy=True), instance_id="job1"
        )
        print("started job1")
    else:
        print("job1 is being monitored already")
        client.raise_workflow_event("job1", "next shift")

    seen = status.serialized_custom_status if status else None
    while (state := client.get_workflow_state("job1")) is not None:
        if state.serialized_custom_status not in (None, seen):
            print(state.serialized_custom_status)
            break
    runtime.shutdown()
