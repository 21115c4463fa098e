"""Work as a worker gets it: serialized `WorkItem`s. A value module.

A turn is put together from bytes that were encoded before; only what is new is encoded.
"""

from __future__ import annotations

from perdure.runtime.rpc import taskhub_pb2 as pb
from perdure.runtime.rpc.dialect import Dialect, WorkerTraits
from perdure.runtime.rpc.events import Run, encode_new, encode_past
from perdure.runtime.rpc.propagated import encode_propagated
from perdure.runtime.rpc.values import text, trace_context
from perdure.runtime.workflow import history as h
from perdure.runtime.workflow.messages import RunActivity
from perdure.runtime.workflow.workers.numbers import action_id
from perdure.runtime.workflow.workers.work import TurnWork

_WORKFLOW_REQUEST = b"\x0a"
"""The tag of field 1 of a `WorkItem`."""


def encode_turn(
    work: TurnWork, began_us: int, token: str, traits: WorkerTraits, cached_events: int = 0
) -> tuple[bytes, int]:
    """The item, and how many past events there are: `cached_events` of the next one.

    `began_us` is the time that the code reads as now. The first `cached_events` past events are
    left out, for a worker that has kept them from this instance's last item on the same stream.
    """
    dialect = traits.dialect
    events = encode_past(Run.of(work, traits.app_id), work.past_count, dialect)
    first = _first_to_send(work, dialect, cached_events)
    head = _head(work, dialect)
    if first:
        head.cachedHistory.eventCount = cached_events
    request = [
        head.SerializeToString(),
        *[work.past[index].wire[dialect][1] for index in range(first, work.past_count)],
        encode_new(work, began_us, dialect, traits.app_id),
    ]
    size = sum(map(len, request))  # Joined once, with what is around it: it may be long.
    tail = pb.WorkItem(completionToken=token).SerializeToString()
    return b"".join([_WORKFLOW_REQUEST, _varint(size), *request, tail]), events


def encode_activity(message: RunActivity, token: str, traits: WorkerTraits) -> bytes:
    request = pb.ActivityRequest(
        name=message.name,
        version=text(message.version),
        input=text(message.input),
        workflowInstance=pb.WorkflowInstance(instanceId=message.instance_id),
        taskId=action_id(message.task_id),
    )
    if traits.dialect is Dialect.DAPR:
        request.taskExecutionId = message.execution_id.encode()
        if message.propagated is not None:
            request.propagatedHistory = encode_propagated(message.propagated)
    if message.trace_parent is not None:
        request.parentTraceContext.CopyFrom(
            trace_context(h.Trace(message.trace_parent, message.trace_state))
        )
    return pb.WorkItem(activityRequest=request, completionToken=token).SerializeToString()


def encode_ping(field: int) -> bytes:
    """An empty message in that field of a `WorkItem`."""
    return _varint(field << 3 | 2) + b"\0"


def _head(work: TurnWork, dialect: Dialect) -> pb.WorkflowRequest:
    # Its own router, field 7, stays empty as in Dapr: its SDKs read that of the start event.
    head = pb.WorkflowRequest(instanceId=work.instance_id, executionId=text(work.execution_id))
    if work.propagated is not None and dialect is Dialect.DAPR:
        head.propagatedHistory = encode_propagated(work.propagated)
    if work.trace is not None and dialect is not Dialect.DAPR:
        # Where Microsoft's SDK wants back what it has told. Dapr's 0.17 does not know the field.
        head.propagatedHistory = work.trace
    return head


def _first_to_send(work: TurnWork, dialect: Dialect, cached_events: int) -> int:
    """The step after the first `cached_events` events, which end with a step; else 0."""
    if cached_events <= 0:
        return 0
    at = work.past_count
    while at and work.past[at - 1].wire[dialect][0] > cached_events:
        at -= 1
    # A count that ends in the middle of a step is not one of ours: then all is sent.
    return at if at and work.past[at - 1].wire[dialect][0] == cached_events else 0


def _varint(number: int) -> bytes:
    made = bytearray()
    while number > 0x7F:
        made.append(number & 0x7F | 0x80)
        number >>= 7
    made.append(number)
    return bytes(made)
