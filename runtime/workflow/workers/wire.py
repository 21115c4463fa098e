"""What nodes say to each other about turns that workers decide, as bytes. A value module.

* `decide` node id, generation, work → b"1" if it is taken on, else b"0".
* `back` instance id, key, run, number: told: that work is in nobody's hands here any more.
* `room` node id, generation, count, workers, taken, wanted, lacked: told: so many turns could begin
  here at once, and for which names workers are here, missed, and known not to have them.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import msgpack

from perdure.placement.membership import Membership
from perdure.placement.wire import NotUnderstood
from perdure.runtime.workflow.codec import (
    CorruptHistory,
    decode_event,
    decode_turn,
    encode_event,
    encode_turn,
    plain,
)
from perdure.runtime.workflow.workers.lookout import Names
from perdure.runtime.workflow.workers.work import Step, TurnWork

DECIDE, BACK, ROOM = "decide", "back", "room"
TAKEN, NOT_TAKEN = b"1", b"0"


class WorkId(NamedTuple):
    """What tells one decision from all others."""

    instance_id: str
    key: int
    execution: int
    after: int


def id_of(work: TurnWork) -> WorkId:
    return WorkId(work.instance_id, work.key, work.execution, work.after)


def encode_decide(giver: Membership, work: TurnWork) -> bytes:
    past = [encode_turn(step.turn) for step in work.past[: work.past_count]]
    return _pack(
        DECIDE,
        *giver,
        work.instance_id,
        work.key,
        work.execution,
        work.execution_id,
        work.name,
        past,
        [encode_event(event) for event in work.incoming],
        work.after,
        work.floor_us,
        work.propagated,
        work.trace,
    )


def encode_back(work: TurnWork) -> bytes:
    return _pack(BACK, *id_of(work))


def encode_room(node: Membership, room: int, workers: int, names: Names) -> bytes:
    return _pack(ROOM, *node, room, workers, *map(sorted, names))


def decode(body: bytes) -> tuple[str, Any]:
    """The verb, and its arguments in the types that it has. Raises `NotUnderstood`."""
    try:
        verb, *rest = msgpack.unpackb(body, use_list=False)
        if verb == DECIDE:
            node_id, generation, *fields = rest
            return DECIDE, (Membership(str(node_id), int(generation)), _work_of(fields))
        if verb == BACK:
            instance_id, *numbers = rest
            key, execution, after = map(int, numbers)
            return BACK, WorkId(str(instance_id), key, execution, after)
        if verb == ROOM:
            node_id, generation, room, workers, *lists = rest
            names = Names(*[frozenset(map(str, each)) for each in lists])
            return ROOM, (Membership(str(node_id), int(generation)), int(room), int(workers), names)
    except (
        ValueError,
        TypeError,
        IndexError,
        OverflowError,
        msgpack.UnpackException,
        CorruptHistory,
    ) as error:
        raise NotUnderstood(f"a message about turns cannot be read: {error}") from error
    raise NotUnderstood(f"a message about turns of unknown kind {verb!r}")


def _work_of(fields: list[Any]) -> TurnWork:
    instance_id, key, execution, execution_id, name, past, incoming, *rest = fields
    steps = [Step(decode_turn(blob)) for blob in past]
    events = tuple([decode_event(event) for event in incoming])
    return TurnWork(
        instance_id, key, execution, execution_id, name, steps, len(steps), events, *rest
    )


def _pack(*fields: Any) -> bytes:
    packed: bytes = msgpack.packb(fields, default=plain)
    return packed
