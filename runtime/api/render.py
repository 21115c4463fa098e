"""Instances, histories and lists as the documents that the API answers with. A value module."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, assert_never

from perdure.runtime.api.answers import (
    DaprStatus,
    FailureDetails,
    HistoryEvent,
    ListedWorkflow,
    ParentInstance,
    RerunParentInstance,
    Scope,
    Workflow,
)
from perdure.runtime.api.ports import View
from perdure.runtime.workflow import history as h
from perdure.runtime.workflow.history import Status
from perdure.runtime.workflow.records import Instance

NO_TIME = "0001-01-01T00:00:00Z"
"""Go's zero time, which Dapr gives where it has none."""

_WAITING = "perdure.waiting.reason"
"""The property that says that a worker is missing."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LATEST_US = (datetime.max.replace(tzinfo=UTC) - _EPOCH) // timedelta(microseconds=1)
_NAMES: dict[Status, DaprStatus] = {
    Status.RUNNING: "RUNNING",
    Status.COMPLETED: "COMPLETED",
    Status.CONTINUED_AS_NEW: "CONTINUED_AS_NEW",
    Status.FAILED: "FAILED",
    Status.CANCELED: "CANCELED",
    Status.TERMINATED: "TERMINATED",
    Status.PENDING: "PENDING",
    Status.SUSPENDED: "SUSPENDED",
    Status.STALLED: "STALLED",
}
_SCOPES: dict[int, Scope] = {1: "OWN_HISTORY", 2: "LINEAGE"}


def timestamp(us: int) -> str:
    """RFC 3339 in UTC with as many fraction digits as are needed: 0, 3 or 6."""
    shown = (_EPOCH + timedelta(microseconds=min(us, _LATEST_US))).isoformat()[:-6]
    return (shown[:-3] if len(shown) == 26 and shown.endswith("000") else shown) + "Z"


def workflow(view: View) -> Workflow:
    """An instance as Dapr shows it.

    Dapr has no name for STALLED here, and its clients match on the names they know: it is UNKNOWN,
    and the reason stands in the properties. Of a PENDING instance Dapr knows nothing yet; here it
    is told what it waits for if that may take for ever.
    """
    row = view.row
    if row.status is Status.PENDING:
        return Workflow(
            instance_id=row.instance_id,
            created_at=NO_TIME,
            last_updated_at=NO_TIME,
            runtime_status="PENDING",
            properties={} if view.waiting is None else {_WAITING: view.waiting},
        )
    status: DaprStatus = "UNKNOWN" if row.status is Status.STALLED else _NAMES[row.status]
    return _whole(view, status)


def awaited_workflow(view: View) -> Workflow:
    """An instance as a wait shows it: in Dapr's form, with everything that is known."""
    return _whole(view, _NAMES[view.row.status])


def _whole(view: View, status: DaprStatus) -> Workflow:
    row = view.row
    return Workflow(
        instance_id=row.instance_id,
        workflow_name=row.name,
        created_at=timestamp(row.created_us),
        last_updated_at=timestamp(row.updated_us),
        runtime_status=status,
        properties=_properties(view),
    )


def _properties(view: View) -> dict[str, str]:
    row = view.row
    found = {"dapr.workflow.custom_status": row.custom_status or ""}
    if view.input is not None:
        found["dapr.workflow.input"] = view.input
    if row.failure is not None:
        found["dapr.workflow.failure.error_type"] = row.failure.error_type
        found["dapr.workflow.failure.error_message"] = row.failure.message
        if row.failure.stack_trace:
            found["dapr.workflow.failure.stack_trace"] = row.failure.stack_trace
    elif row.output is not None:
        found["dapr.workflow.output"] = row.output
    if row.stalled is not None:
        found["perdure.stalled.reason"] = row.stalled
    if view.waiting is not None:
        found[_WAITING] = view.waiting
    return found


def listed(row: Instance) -> ListedWorkflow:
    """An instance as an entry of a list."""
    return ListedWorkflow(
        instance_id=row.instance_id,
        workflow_name=row.name,
        version=row.version,
        runtime_status=_NAMES[row.status],
        created_at=timestamp(row.created_us),
        last_updated_at=timestamp(row.updated_us),
        custom_status=row.custom_status,
        parent_instance_id=row.parent_id,
        error_type=None if row.failure is None else row.failure.error_type,
        error_message=None if row.failure is None else row.failure.message,
        stalled_reason=row.stalled,
    )


def status_name(status: Status) -> DaprStatus:
    return _NAMES[status]


def events(row: Instance, turns: Sequence[h.Turn]) -> Iterator[HistoryEvent]:
    """A history, one event after the other, each turn opened by Dapr's WorkflowStarted.

    Its version is the row's, or that which its worker has told.
    """
    timers: dict[int, str] = {}
    for turn in turns:
        at = timestamp(turn.at_us)
        yield HistoryEvent(
            event_id=-1,
            timestamp=at,
            type="WorkflowStarted",
            version=(turn.decided and turn.decided.version) or row.version,
            patches=turn.patches,
        )
        for incoming in turn.incoming:
            yield _incoming(incoming, at, timers)
        for outgoing in turn.outgoing:
            if isinstance(outgoing, h.TimerCreated):
                timers[outgoing.task_id] = timestamp(outgoing.fire_at_us)
            yield _outgoing(outgoing, at)


def _incoming(event: h.Incoming, at: str, timers: dict[int, str]) -> HistoryEvent:
    entry = partial(HistoryEvent, event_id=-1, timestamp=at)
    match event:
        case h.ExecutionStarted():
            return entry(
                type="ExecutionStarted",
                name=event.name,
                version=event.version,
                input=event.input,
                parent=_parent(event.parent),
                scheduled_start=_optional_timestamp(event.scheduled_us),
            )
        case h.TaskCompleted(task, result):
            return entry(type="TaskCompleted", task_scheduled_id=task, result=result)
        case h.TaskFailed(task, failure):
            return entry(
                type="TaskFailed", task_scheduled_id=task, failure_details=_failure(failure)
            )
        case h.TimerFired(task):
            return entry(type="TimerFired", timer_id=task, fire_at=timers.get(task))
        case h.ChildWorkflowInstanceCompleted(task, result):
            return entry(
                type="ChildWorkflowInstanceCompleted", task_scheduled_id=task, result=result
            )
        case h.ChildWorkflowInstanceFailed(task, child_failure):
            return entry(
                type="ChildWorkflowInstanceFailed",
                task_scheduled_id=task,
                failure_details=_failure(child_failure),
            )
        case h.EventRaised(name, data):
            return entry(type="EventRaised", name=name, input=data)
        case h.ExecutionSuspended(reason):
            return entry(type="ExecutionSuspended", reason=reason)
        case h.ExecutionResumed(reason):
            return entry(type="ExecutionResumed", reason=reason)
        case h.ExecutionTerminated(output, recursive, reason):
            return entry(
                type="ExecutionTerminated", result=output, recurse=recursive, reason=reason
            )
        case _:
            assert_never(event)


def _outgoing(event: h.Outgoing, at: str) -> HistoryEvent:
    entry = partial(HistoryEvent, timestamp=at)
    match event:
        case h.TaskScheduled():
            return entry(
                event_id=event.task_id,
                type="TaskScheduled",
                name=event.name,
                input=event.input,
                task_execution_id=event.execution_id,
                **_of_call(event),
            )
        case h.TimerCreated():
            return entry(
                event_id=event.task_id,
                type="TimerCreated",
                fire_at=timestamp(event.fire_at_us),
                origin=event.origin or None,
                source=event.source or None,
                rerun_parent=_rerun_parent(event.rerun_of),
            )
        case h.ChildWorkflowInstanceCreated():
            return entry(
                event_id=event.task_id,
                type="ChildWorkflowInstanceCreated",
                instance_id=event.instance_id,
                name=event.name,
                input=event.input,
                **_of_call(event),
            )
        case h.DetachedWorkflowInstanceCreated():
            return entry(
                event_id=event.task_id,
                type="DetachedWorkflowInstanceCreated",
                instance_id=event.instance_id,
                name=event.name,
                input=event.input,
                scheduled_start=_optional_timestamp(event.scheduled_us),
                source=event.source or None,
                app_id=event.app_id,
            )
        case h.EventSent():
            return entry(
                event_id=event.task_id,
                type="EventSent",
                instance_id=event.instance_id,
                name=event.name,
                input=event.data,
            )
        case h.ExecutionCompleted(status, output, failure):
            return entry(
                event_id=-1,
                type="ExecutionCompleted",
                runtime_status=_NAMES[status],
                result=output,
                failure_details=_failure(failure),
            )
        case _:
            assert_never(event)


def _of_call(event: h.TaskScheduled | h.ChildWorkflowInstanceCreated) -> dict[str, Any]:
    return {
        "source": event.source or None,
        "app_id": event.app_id,
        "rerun_parent": _rerun_parent(event.rerun_of),
        "propagation": _SCOPES.get(event.propagation),
    }


def _failure(failure: h.Failure | None) -> FailureDetails | None:
    if failure is None:
        return None
    return FailureDetails(
        error_type=failure.error_type,
        error_message=failure.message,
        stack_trace=failure.stack_trace,
        inner_failure=_failure(failure.inner),
        is_non_retriable=failure.non_retryable,
    )


def _parent(parent: h.Parent | None) -> ParentInstance | None:
    if parent is None:
        return None
    return ParentInstance(
        instance_id=parent.instance_id, task_scheduled_id=parent.task_id, app_id=parent.app_id
    )


def _rerun_parent(instance_id: str | None) -> RerunParentInstance | None:
    return None if instance_id is None else RerunParentInstance(instance_id=instance_id)


def _optional_timestamp(us: int | None) -> str | None:
    return None if us is None else timestamp(us)
