"""Instances as the messages that tell their state; fields of requests as values. A value module."""

from __future__ import annotations

from collections.abc import Iterable

from google.protobuf.message import Message

from perdure.runtime.api.parsing import BAD_REQUEST
from perdure.runtime.api.ports import View
from perdure.runtime.rpc import taskhub_pb2 as pb
from perdure.runtime.rpc.values import failure_details, microseconds, text, timestamp
from perdure.runtime.workflow.errors import InvalidRequest
from perdure.runtime.workflow.history import Status
from perdure.runtime.workflow.records import Instance
from perdure.runtime.workflow.restore import worker_run_of

_EARLIEST, _LATEST = -62_135_596_800, 253_402_300_799
"""Seconds of the years 1 to 9999, which is what protobuf's timestamps may tell."""


def state(row: Instance) -> pb.WorkflowState:
    """What its row tells of an instance beside its payloads, custom status and failure.

    There is no `startedAt`, which is optional: no row has when a worker took the first turn.
    """
    return pb.WorkflowState(
        instanceId=row.instance_id,
        name=row.name,
        version=text(row.version),
        workflowStatus=int(row.status),
        createdTimestamp=timestamp(row.created_us),
        lastUpdatedTimestamp=timestamp(row.updated_us),
        executionId=text(worker_run_of(row).execution_id),
        completedTimestamp=timestamp(row.updated_us) if row.status.is_terminal else None,
        parentInstanceId=text(row.parent_id),
        parentAppId=text(row.parent_app),
    )


def whole_state(view: View) -> pb.WorkflowState:
    """All that is known of an instance."""
    row = view.row
    told = _begun_state(view)
    told.MergeFrom(
        pb.WorkflowState(
            input=text(view.input),
            output=text(row.output),
            customStatus=text(row.custom_status),
            failureDetails=None if row.failure is None else failure_details(row.failure),
        )
    )
    return told


def _begun_state(view: View) -> pb.WorkflowState:
    """What its row tells, and how it began, its input aside."""
    told = state(view.row)
    start = view.start
    if start is not None:
        told.tags.update(start.tags)
        if start.scheduled_us is not None and not start.continued:
            told.scheduledStartTimestamp.CopyFrom(timestamp(start.scheduled_us))
    return told


def found(view: View, *, with_payloads: bool) -> pb.GetInstanceResponse:
    """The answer to whoever asks for an instance that exists."""
    told = whole_state(view) if with_payloads else _begun_state(view)
    return pb.GetInstanceResponse(exists=True, workflowState=told)


def time(message: Message, field: str) -> int | None:
    """A time in microseconds since the epoch; None if it is not set. Raises `InvalidRequest`."""
    if not message.HasField(field):
        return None
    given: pb.Timestamp = getattr(message, field)
    if not (_EARLIEST <= given.seconds <= _LATEST and 0 <= given.nanos < 1_000_000_000):
        problem = f"{field} is no time: {given.seconds} s and {given.nanos} ns"
        raise InvalidRequest(BAD_REQUEST, problem)
    return microseconds(given)[0]


def statuses(numbers: Iterable[int]) -> tuple[Status, ...]:
    """Statuses by their numbers, none twice. Raises `InvalidRequest`."""
    wanted = set(numbers)
    unknown = wanted - set(map(int, Status))
    if unknown:
        raise InvalidRequest(BAD_REQUEST, f"there is no workflow status {min(unknown)}")
    return tuple(sorted(map(Status, wanted)))
