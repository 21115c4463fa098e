"""Messages to workflow actors, and their answers, as bytes between nodes. A value module.

Implements `placement.ports.MessageCodec`. An answer is msgpack `[0, value]` for the plain values
that calls return, or `[1, error name, argument, …]`: the errors that a caller can do something
about go over the line as themselves, any other as an `UnexpectedAnswer` with its text.
"""

from __future__ import annotations

from typing import Any

import msgpack

from perdure.actors import errors as actor_errors
from perdure.actors.errors import Fault, PerdureError, Retryable
from perdure.runtime.workflow import errors as workflow_errors
from perdure.runtime.workflow import messages as m
from perdure.runtime.workflow.codec import CorruptHistory

_BY_TEXT: tuple[type[PerdureError], ...] = (
    actor_errors.ActorTypeUnknown,
    actor_errors.CommitUnknown,
    actor_errors.MailboxFull,
    actor_errors.NodeFenced,
    actor_errors.NodeStopping,
    actor_errors.NotOwner,
    actor_errors.StoreDamaged,
    actor_errors.StoreUnavailable,
    actor_errors.TurnConflict,
    CorruptHistory,
    Retryable,
)
_BY_FIELDS: dict[type[PerdureError], tuple[str, ...]] = {
    workflow_errors.InstanceNotFound: ("instance_id",),
    workflow_errors.InstanceExists: ("instance_id",),
    workflow_errors.InstanceNotUnique: ("instance_id",),
    workflow_errors.InstanceCreatedBefore: ("instance_id",),
    workflow_errors.ChildNotFinished: ("instance_id", "child_id"),
    workflow_errors.NotCompleted: ("instance_id",),
    workflow_errors.InstanceStalled: ("instance_id", "reason"),
}
_KNOWN: dict[str, type[PerdureError]] = {kind.__name__: kind for kind in (*_BY_TEXT, *_BY_FIELDS)}


class UnexpectedAnswer(Fault):
    """An actor on another node failed in a way that has no name between nodes."""


class WorkflowMessages:
    """The codec; it has no state."""

    def encode(self, message: Any) -> bytes:
        return m.encode(message)

    def decode(self, body: bytes) -> object:
        return m.decode(body)

    def encode_answer(self, answer: object) -> bytes:
        if not isinstance(answer, Exception):
            return bytes(msgpack.packb((0, answer)))
        # What a store calls it is not known on the other side, but what it is a case of.
        kind = next((k for k in type(answer).__mro__ if k.__name__ in _KNOWN), type(answer))
        if kind in _BY_FIELDS:
            values = [getattr(answer, field) for field in _BY_FIELDS[kind]]
        else:
            values = [str(answer)]
        return bytes(msgpack.packb((1, kind.__name__, *values)))

    def decode_answer(self, body: bytes) -> object:
        try:
            kind, *fields = msgpack.unpackb(body, use_list=False, max_map_len=0)
            if kind == 0:
                (value,) = fields
                return value
            name, *values = fields
            error = _KNOWN.get(name)
            if error is None:
                return UnexpectedAnswer(f"{name}: {values[0]}")
            return error(*values)
        except (ValueError, TypeError, IndexError, msgpack.UnpackException) as error:
            return UnexpectedAnswer(f"an answer that cannot be read: {error}")
