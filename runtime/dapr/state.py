"""Instances and their histories as Dapr's SDK shows them. A value module.

Times are in UTC and carry no zone; payloads are JSON text.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import Any

from perdure.runtime.dapr.context import naive
from perdure.runtime.remote import state as remote
from perdure.runtime.remote import status as remote_status
from perdure.runtime.remote.errors import WorkflowFailed
from perdure.runtime.workflow.failure import FailureDetails


class WorkflowStatus(Enum):
    """Runtime status of an instance, with the numbers of Dapr's Python SDK."""

    UNKNOWN = 0
    RUNNING = 1
    COMPLETED = 2
    FAILED = 3
    TERMINATED = 4
    PENDING = 5
    SUSPENDED = 6
    STALLED = 7


@dataclass(frozen=True, slots=True)
class WorkflowState:
    """What was known of one instance when it was asked for."""

    instance_id: str
    name: str
    runtime_status: WorkflowStatus
    created_at: datetime | None
    last_updated_at: datetime | None
    serialized_input: str | None = None
    serialized_output: str | None = None
    serialized_custom_status: str | None = None
    failure_details: FailureDetails | None = None

    def raise_if_failed(self) -> None:
        """Raise `perdure.runtime.remote.errors.WorkflowFailed` if the workflow failed."""
        if self.failure_details is not None:
            details = self.failure_details
            raise WorkflowFailed(
                self.instance_id,
                remote_status.WorkflowStatus.FAILED,
                remote_status.FailureDetails(
                    details.error_type, details.message, details.stack_trace
                ),
            )

    def to_json(self) -> dict[str, Any]:
        """The fields as a dict; despite its name, no text."""
        fields: dict[str, Any] = {
            "instance_id": self.instance_id,
            "name": self.name,
            "runtime_status": self.runtime_status.name,
            "created_at": self.created_at,
            "last_updated_at": self.last_updated_at,
            "serialized_input": self.serialized_input,
            "serialized_output": self.serialized_output,
            "serialized_custom_status": self.serialized_custom_status,
        }
        if self.failure_details is not None:
            fields["failure_details"] = {
                "message": self.failure_details.message,
                "error_type": self.failure_details.error_type,
                "stack_trace": self.failure_details.stack_trace,
            }
        return fields

    def __str__(self) -> str:
        return json.dumps(self.to_json(), indent=4, sort_keys=True, default=str)


def state_of(found: remote.WorkflowState, with_payloads: bool) -> WorkflowState:
    """The state that a client of perdure's has found."""
    status = WorkflowStatus.__members__.get(found.runtime_status, WorkflowStatus.UNKNOWN)
    if found.stalled_reason is not None:  # Over HTTP, Dapr's API has no name for it.
        status = WorkflowStatus.STALLED
    state = WorkflowState(
        found.instance_id,
        found.name,
        status,
        _naive(found.created_at),
        _naive(found.last_updated_at),
    )
    if not with_payloads:
        return state
    failure = found.failure_details
    return WorkflowState(
        state.instance_id,
        state.name,
        state.runtime_status,
        state.created_at,
        state.last_updated_at,
        found.serialized_input,
        found.serialized_output,
        found.serialized_custom_status,
        None
        if failure is None
        else FailureDetails(failure.error_type, failure.message, failure.stack_trace),
    )


@dataclass(frozen=True, slots=True)
class WorkflowInstanceIdPage:
    """One page of instance ids; the token asks for the next one, None on the last."""

    instance_ids: list[str]
    continuation_token: str | None


class WorkflowHistoryEventType(Enum):
    """The kind of an event in a history."""

    UNKNOWN = "unknown"
    EXECUTION_STARTED = "executionStarted"
    EXECUTION_COMPLETED = "executionCompleted"
    EXECUTION_TERMINATED = "executionTerminated"
    EXECUTION_SUSPENDED = "executionSuspended"
    EXECUTION_RESUMED = "executionResumed"
    EXECUTION_STALLED = "executionStalled"
    TASK_SCHEDULED = "taskScheduled"
    TASK_COMPLETED = "taskCompleted"
    TASK_FAILED = "taskFailed"
    CHILD_WORKFLOW_INSTANCE_CREATED = "childWorkflowInstanceCreated"
    CHILD_WORKFLOW_INSTANCE_COMPLETED = "childWorkflowInstanceCompleted"
    CHILD_WORKFLOW_INSTANCE_FAILED = "childWorkflowInstanceFailed"
    DETACHED_WORKFLOW_INSTANCE_CREATED = "detachedWorkflowInstanceCreated"
    TIMER_CREATED = "timerCreated"
    TIMER_FIRED = "timerFired"
    EVENT_SENT = "eventSent"
    EVENT_RAISED = "eventRaised"
    CONTINUE_AS_NEW = "continueAsNew"
    WORKFLOW_STARTED = "workflowStarted"
    WORKFLOW_COMPLETED = "workflowCompleted"

    @classmethod
    def _missing_(cls, value: object) -> WorkflowHistoryEventType:
        return cls.UNKNOWN


_RERUNNABLE = frozenset(
    {
        WorkflowHistoryEventType.TASK_SCHEDULED,
        WorkflowHistoryEventType.TIMER_CREATED,
        WorkflowHistoryEventType.CHILD_WORKFLOW_INSTANCE_CREATED,
    }
)


@dataclass(frozen=True, slots=True)
class WorkflowHistoryEvent:
    """One event of an instance's history. Fields that its type does not have are None."""

    event_id: int
    timestamp: datetime | None
    event_type: WorkflowHistoryEventType
    name: str | None
    task_scheduled_id: int | None
    failure_details: FailureDetails | None

    @property
    def is_rerunnable(self) -> bool:
        """Whether the workflow can be run again from here."""
        return self.event_type in _RERUNNABLE


def event_of(found: remote.HistoryEvent) -> WorkflowHistoryEvent:
    """The event that a client of perdure's has found."""
    failure: Mapping[str, Any] = found.details.get("failureDetails") or {}
    details = None
    if failure:
        details = FailureDetails(
            failure.get("errorType", ""), failure.get("errorMessage", ""), failure.get("stackTrace")
        )
    return WorkflowHistoryEvent(
        found.event_id,
        _naive(found.timestamp),
        WorkflowHistoryEventType(found.type[:1].lower() + found.type[1:]),
        found.details.get("name"),
        found.details.get("taskScheduledId"),
        details,
    )


def _naive(moment: datetime | None) -> datetime | None:
    return None if moment is None else naive(moment)
