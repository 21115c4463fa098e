"""Events to stored bytes and back; the only module that knows the form. A value module.

A history blob is: 1 byte format version, 4 bytes CRC-32 of the rest (big endian), then msgpack
`[at_us, [event, …], [event, …], code, [patch, …]]`, of a run whose code is elsewhere also
`[covers, began_us, version]`, where an event is `[code, field, …]`. Event
codes and field positions are fixed for ever; new fields are appended with a default.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import Any

import msgpack
import msgspec

from perdure.actors.errors import Fault
from perdure.runtime.workflow import history as h

FORMAT = 1

_CODES: dict[int, type[h.Value]] = {
    3: h.ExecutionStarted,
    4: h.ExecutionCompleted,
    5: h.ExecutionTerminated,
    6: h.TaskScheduled,
    7: h.TaskCompleted,
    8: h.TaskFailed,
    9: h.ChildWorkflowInstanceCreated,
    10: h.ChildWorkflowInstanceCompleted,
    11: h.ChildWorkflowInstanceFailed,
    12: h.TimerCreated,
    13: h.TimerFired,
    16: h.EventSent,
    17: h.EventRaised,
    21: h.ExecutionSuspended,
    22: h.ExecutionResumed,
    32: h.DetachedWorkflowInstanceCreated,
}
"""Durabletask's numbers of the same events, so that no second list has to be remembered."""

_CODE_OF = {kind: code for code, kind in _CODES.items()}
_astuple = msgspec.structs.astuple


class CorruptHistory(Fault):
    """A stored row cannot be read: a damaged page, or a form that this release does not know."""


def plain(value: Any) -> Any:
    """What msgpack takes for a value within an event."""
    if isinstance(value, h.Value):
        return _astuple(value)
    raise TypeError(f"not storable: {value!r}")


def encode_event(event: h.Value) -> tuple[Any, ...]:
    """An event as the plain tuple that msgpack stores."""
    return (_CODE_OF[type(event)], *_astuple(event))


def decode_event(fields: Sequence[Any]) -> Any:
    """The event of a stored tuple. Raises `CorruptHistory`."""
    try:
        event = _CODES[fields[0]](*fields[1:])
        match event:
            case h.TaskFailed(task_id, failure):
                return h.TaskFailed(task_id, _failure(failure))
            case h.ChildWorkflowInstanceFailed(task_id, failure):
                return h.ChildWorkflowInstanceFailed(
                    task_id, None if failure is None else _failure(failure)
                )
            case h.ExecutionCompleted(status, output, failure):
                found = None if failure is None else _failure(failure)
                return h.ExecutionCompleted(h.Status(status), output, found)
            case h.ExecutionStarted() if len(fields) > 4:
                parent: Any = event.parent
                trace: Any = event.trace
                span: Any = event.span
                forks: Any = event.forks
                return msgspec.structs.replace(
                    event,
                    parent=None if parent is None else h.Parent(*parent),
                    seen_requests=tuple(event.seen_requests),
                    tags=_pairs(event.tags),
                    trace=None if trace is None else h.Trace(*trace),
                    span=None if span is None else h.Span(h.Trace(*span[0]), *span[1:]),
                    forks=tuple([h.Fork(*fork) for fork in forks]),
                )
            case h.DetachedWorkflowInstanceCreated() if event.tags:
                return msgspec.structs.replace(event, tags=_pairs(event.tags))
    except (KeyError, TypeError, IndexError, ValueError) as error:
        raise CorruptHistory(f"unknown event {fields!r}: {error}") from error
    return event


def _pairs(found: Any) -> tuple[tuple[str, str], ...]:
    return tuple([(name, value) for name, value in found])


def _failure(fields: Any) -> h.Failure:
    if isinstance(fields, h.Failure):
        return fields
    error_type, message, *rest = fields
    failure = h.Failure(error_type, message, *rest)
    if failure.inner is not None:
        failure = msgspec.structs.replace(failure, inner=_failure(failure.inner))
    return failure


def encode_failure(failure: h.Failure) -> bytes:
    return bytes(msgpack.packb(failure, default=plain))


def decode_failure(blob: bytes) -> h.Failure:
    try:
        return _failure(msgpack.unpackb(blob))
    except (ValueError, TypeError) as error:
        raise CorruptHistory(f"undecodable failure: {error}") from error


_packer = msgpack.Packer(default=plain, autoreset=True)


def encode_turn(turn: h.Turn) -> bytes:
    """The blob of one history row."""
    code_of, astuple = _CODE_OF, _astuple
    fields: tuple[Any, ...] = (
        turn.at_us,
        [(code_of[type(e)], *astuple(e)) for e in turn.incoming],
        [(code_of[type(e)], *astuple(e)) for e in turn.outgoing],
        turn.code,
        turn.patches,
    )
    if turn.decided is not None:
        fields = (*fields, astuple(turn.decided))
    body: bytes = _packer.pack(fields)
    return b"\x01" + zlib.crc32(body).to_bytes(4, "big") + body


def decode_turn(blob: bytes) -> h.Turn:
    """The turn of one history row. Raises `CorruptHistory` naming what is wrong."""
    if len(blob) < 6:
        raise CorruptHistory(f"history row of {len(blob)} bytes is too short")
    if blob[0] != FORMAT:
        raise CorruptHistory(f"history format {blob[0]}, this release reads {FORMAT}")
    body = blob[5:]
    if zlib.crc32(body) != int.from_bytes(blob[1:5], "big"):
        raise CorruptHistory("checksum of a history row does not match: the file is damaged")
    try:
        at_us, incoming, outgoing, code, patches, *more = msgpack.unpackb(body, use_list=False)
        return h.Turn(
            at_us,
            tuple([decode_event(fields) for fields in incoming]),
            tuple([decode_event(fields) for fields in outgoing]),
            code,
            patches,
            h.Decided(*more[0]) if more else None,
        )
    except (ValueError, TypeError, IndexError, msgpack.UnpackException) as error:
        raise CorruptHistory(f"undecodable history row: {error}") from error
