"""What workers may ask for, as they say it over gRPC. A support module."""

from __future__ import annotations

from perdure.runtime.rpc import taskhub_pb2 as pb
from perdure.runtime.workflow import history as h


def task(
    number: int, name: str, input: str | None = None, *, router: pb.TaskRouter | None = None
) -> pb.WorkflowAction:
    """An activity, of another app if there is a `router`."""
    asked = pb.ScheduleTaskAction(name=name)
    if input is not None:
        asked.input.value = input
    return _to(pb.WorkflowAction(id=number, scheduleTask=asked), router)


def child(
    number: int, name: str, input: str | None = None, *, router: pb.TaskRouter | None = None
) -> pb.WorkflowAction:
    asked = pb.CreateChildWorkflowAction(name=name)
    if input is not None:
        asked.input.value = input
    return _to(pb.WorkflowAction(id=number, createChildWorkflow=asked), router)


def timer(number: int, at_us: int = 1) -> pb.WorkflowAction:
    fire_at = pb.Timestamp(seconds=at_us // 1_000_000)
    return pb.WorkflowAction(id=number, createTimer=pb.CreateTimerAction(fireAt=fire_at))


def end(number: int, result: str = "1") -> pb.WorkflowAction:
    """The run has completed."""
    done = pb.CompleteWorkflowAction(
        workflowStatus=h.Status.COMPLETED, result=pb.StringValue(value=result)
    )
    return pb.WorkflowAction(id=number, completeWorkflow=done)


def _to(action: pb.WorkflowAction, router: pb.TaskRouter | None) -> pb.WorkflowAction:
    if router is not None:
        action.router = router.SerializeToString()
    return action
