"""A stall as an event of the history that clients are told. A value module.

It is no event of ours: an instance is stalled for as long as its row says so, once, with the
latest reason. Workers are never told.
"""

from __future__ import annotations

from perdure.runtime.rpc import taskhub_pb2 as pb
from perdure.runtime.rpc.values import NOT_A_TASK, timestamp
from perdure.runtime.workflow.history import Status
from perdure.runtime.workflow.records import Instance

PATCH_MISMATCH, VERSION_NOT_AVAILABLE, PAYLOAD_SIZE_EXCEEDED = range(3)
"""Dapr's reasons."""

_REASONS = (
    ("Version not available:", VERSION_NOT_AVAILABLE),
    ("Workflow payload size", PAYLOAD_SIZE_EXCEEDED),
    ("activity '", PAYLOAD_SIZE_EXCEEDED),
)
"""By what a description begins with. Of all others the nearest is that the code does not fit."""


def stalled_event(row: Instance) -> pb.HistoryEvent | None:
    """The last event of the history of a stalled instance; None of any other."""
    if row.status is not Status.STALLED:
        return None
    text = row.stalled or ""
    found = [reason for start, reason in _REASONS if text.startswith(start)]
    made = pb.HistoryEvent(eventId=NOT_A_TASK, timestamp=timestamp(row.updated_us))
    made.executionStalled.reason = found[0] if found else PATCH_MISMATCH
    made.executionStalled.description = text
    return made
