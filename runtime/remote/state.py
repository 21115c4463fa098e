"""Workflow instances as a client sees them. A value module."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, TypeVar, overload

from perdure.runtime.remote.errors import ResultNotReady, WorkflowFailed
from perdure.runtime.remote.status import FailureDetails, WorkflowStatus
from perdure.runtime.workflow import payload

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkflowState:
    """What a node knew of one instance when it was asked. Payloads are JSON text."""

    instance_id: str
    name: str = ""
    runtime_status: WorkflowStatus
    created_at: datetime | None = None
    last_updated_at: datetime | None = None
    serialized_input: str | None = None
    serialized_output: str | None = None
    serialized_custom_status: str | None = None
    failure_details: FailureDetails | None = None
    stalled_reason: str | None = None
    """Why the instance cannot go on, while it is STALLED."""
    waiting_reason: str | None = None
    """Why it does not go on, if no worker is connected that has its code."""
    parent_instance_id: str | None = None
    """In lists only, of a child workflow."""

    def raise_if_failed(self) -> None:
        """Raise `WorkflowFailed` if the workflow failed, was terminated or was cancelled."""
        status = self.runtime_status
        if status.is_terminal and status is not WorkflowStatus.COMPLETED:
            raise WorkflowFailed(self.instance_id, status, self.failure_details)

    @overload
    def result(self) -> Any: ...
    @overload
    def result(self, type: type[T]) -> T: ...
    def result(self, type: Any = None) -> Any:
        """The workflow's return value, decoded as `type` if one is given.

        Raises `WorkflowFailed` if it ended otherwise, and `ResultNotReady` before its end.
        """
        self.raise_if_failed()
        if not self.runtime_status.is_terminal:
            raise ResultNotReady(self.instance_id, self.runtime_status)
        return decode(self.serialized_output, type)

    def without_payloads(self) -> WorkflowState:
        return replace(
            self,
            serialized_input=None,
            serialized_output=None,
            serialized_custom_status=None,
        )


@dataclass(frozen=True, slots=True)
class StartWorkflowResponse:
    """The answer to `start_workflow`, in the form of Dapr's older client."""

    instance_id: str


@dataclass(frozen=True, slots=True)
class StateListing:
    """One page of a list. `cursor` asks for the next page; None on the last one."""

    instances: list[WorkflowState]
    cursor: str | None = None
    counts: Mapping[WorkflowStatus, int] | None = None


@dataclass(frozen=True, slots=True)
class HistoryEvent:
    """One event of an instance's history; `details` are the fields of its type."""

    event_id: int
    type: str
    timestamp: datetime | None
    details: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class ListFilter:
    """Which instances to list, newest first unless `newest_first` is False."""

    statuses: tuple[str, ...] = ()
    name: str | None = None
    created_from: datetime | None = None
    created_before: datetime | None = None
    prefix: str | None = None
    newest_first: bool = True
    page_size: int = 100


def state_of(fields: Mapping[str, Any]) -> WorkflowState:
    """The state in the JSON of one instance: Dapr's form, or the entry of a list."""
    properties: Mapping[str, str] = fields.get("properties") or {}
    custom_status = properties.get("dapr.workflow.custom_status") or fields.get("customStatus")
    return WorkflowState(
        instance_id=str(fields["instanceID"]),
        name=fields.get("workflowName", ""),
        runtime_status=WorkflowStatus(fields.get("runtimeStatus", "UNKNOWN")),
        created_at=moment(fields.get("createdAt")),
        last_updated_at=moment(fields.get("lastUpdatedAt")),
        serialized_input=properties.get("dapr.workflow.input"),
        serialized_output=properties.get("dapr.workflow.output"),
        # Dapr sends an empty string where no custom status was ever set.
        serialized_custom_status=custom_status or None,
        failure_details=_failure_of(properties, fields),
        stalled_reason=properties.get("perdure.stalled.reason") or fields.get("stalledReason"),
        waiting_reason=properties.get("perdure.waiting.reason"),
        parent_instance_id=fields.get("parentInstanceID"),
    )


def _failure_of(properties: Mapping[str, str], fields: Mapping[str, Any]) -> FailureDetails | None:
    stem = "dapr.workflow.failure."
    error_type = properties.get(f"{stem}error_type", fields.get("errorType"))
    message = properties.get(f"{stem}error_message", fields.get("errorMessage"))
    if error_type is None and message is None:
        return None
    return FailureDetails(error_type or "", message or "", properties.get(f"{stem}stack_trace"))


def event_of(fields: Mapping[str, Any]) -> HistoryEvent:
    """The event in the JSON of one history entry."""
    known = ("eventId", "type", "timestamp")
    details = {name: value for name, value in fields.items() if name not in known}
    return HistoryEvent(
        int(fields.get("eventId", -1)),
        str(fields["type"]),
        moment(fields.get("timestamp")),
        details,
    )


def moment(text: str | None) -> datetime | None:
    """A point in time from RFC 3339 text; fractions beyond microseconds are cut off.

    None also for Go's zero time, which Dapr gives where it has none.
    """
    if not text or text.startswith("0001-01-01T00:00:00"):
        return None
    return datetime.fromisoformat(text)


def rfc3339(when: datetime) -> str:
    """RFC 3339 text in UTC. A time without a zone is local, as everywhere in Python."""
    return when.astimezone(UTC).isoformat().replace("+00:00", "Z")


def decode(text: str | None, type: Any = None) -> Any:
    """A payload's value; as `type` if one is given."""
    return payload.decode(text or None, Any if type is None else type)
