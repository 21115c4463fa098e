"""History that goes with a call: what is handed on, and its stored form. A value module.

A caller may hand its own history on to an activity or a child, with or without what its own callers
had handed to it (spec 2.18). It travels as opaque bytes and is only read where code asks for it:
msgpack `[1, scope, [[app, instance, run, workflow, [turn, …]], …]]`, with turns as `codec` stores
them, oldest caller first. Nothing is stored for an activity: what it gets is the history up to the
turn that asked for it, which any later owner finds in the same rows.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from enum import IntEnum
from typing import Any

import msgspec

from perdure.runtime.workflow import history as h
from perdure.runtime.workflow.codec import CorruptHistory, decode_turn, encode_turn

FORMAT = 1
_CALLS = (h.TaskScheduled, h.ChildWorkflowInstanceCreated)


class PropagationScope(IntEnum):
    """How much history goes with a call, with durabletask's numbers."""

    NONE = 0
    OWN_HISTORY = 1
    """The caller's events and no others: whoever is called learns nothing of the callers above."""
    LINEAGE = 2
    """Before them those that the caller was handed itself."""


class Chunk(msgspec.Struct, frozen=True, array_like=True):
    """The events of one workflow's run, up to a call."""

    app_id: str
    instance_id: str
    run_id: str
    """Tells it from the other runs under its instance id."""
    workflow_name: str
    blobs: tuple[bytes, ...]
    """Its turns, encoded."""

    @property
    def turns(self) -> list[h.Turn]:
        """Each decision with the events that it was made on. Raises `CorruptHistory`."""
        return [decode_turn(blob) for blob in self.blobs]


class Propagated(msgspec.Struct, frozen=True, array_like=True):
    """What came with a call."""

    format: int
    scope: PropagationScope
    chunks: tuple[Chunk, ...]
    """The furthest caller first."""


class Caller(msgspec.Struct, frozen=True):
    """Whose history is handed on."""

    app_id: str
    instance_id: str
    run_id: str
    workflow_name: str


def scope_of(propagation: Any) -> PropagationScope:
    """What code gave for it; None is none. Raises `TypeError`."""
    if propagation is None:
        return PropagationScope.NONE
    if not isinstance(propagation, PropagationScope):
        raise TypeError(f"propagation must be a PropagationScope or None, found {propagation!r}")
    return propagation


def is_wanted(events: Iterable[h.Outgoing]) -> bool:
    """Whether one of them is a call that history goes with."""
    return any(isinstance(event, _CALLS) and event.propagation for event in events)


def turns_of_call(turns: Sequence[h.Turn], task_id: int) -> int:
    """How many of the first turns go with the call `task_id`: the last one asks for it.

    So a repeat after a crash gets what the first try got.
    """
    for number in range(len(turns), 0, -1):  # It is mostly one of the last.
        for event in turns[number - 1].outgoing:
            if not isinstance(event, h.ExecutionCompleted) and event.task_id == task_id:
                return number
    return 0


def handed_on(caller: Caller, turns: Sequence[h.Turn], scope: int) -> bytes:
    """What goes with a call of that scope: `turns`, after what the caller was handed itself."""
    first, received = _without_received(turns[0])
    chunk = Chunk(
        caller.app_id,
        caller.instance_id,
        caller.run_id,
        caller.workflow_name,
        tuple([encode_turn(turn) for turn in (first, *turns[1:])]),
    )
    above: tuple[Chunk, ...] = ()
    if scope == PropagationScope.LINEAGE and received is not None:
        above = decode_propagated(received).chunks
    return _encoder.encode(Propagated(FORMAT, PropagationScope(scope), (*above, chunk)))


def decode_propagated(blob: bytes) -> Propagated:
    """Raises `CorruptHistory`."""
    try:
        found = _decoder.decode(blob)
    except ValueError as error:
        raise CorruptHistory(f"undecodable handed-on history: {error}") from error
    if found.format != FORMAT:
        raise CorruptHistory(f"handed-on history of format {found.format}, this release reads 1")
    return found


def _without_received(turn: h.Turn) -> tuple[h.Turn, bytes | None]:
    """A run's first turn as its callees may see it, and what the run was handed itself.

    INVARIANT: what a run was handed never stands inside of its own chunk. A callee that gets own
    history only must not find it there, and one that gets all of it has it once.
    """
    received: bytes | None = None
    incoming: list[h.Incoming] = []
    for event in turn.incoming:
        if isinstance(event, h.ExecutionStarted):
            received = event.propagated
            event = msgspec.structs.replace(event, propagated=None, seen_requests=())
        incoming.append(event)
    return msgspec.structs.replace(turn, incoming=tuple(incoming)), received


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Propagated)
