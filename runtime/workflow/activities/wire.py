"""What dispatchers of activities say to each other, as bytes. A value module.

* `run` [messages] → [taken on?, …]: run these.
* `known` [[instance id, [key, …]], …] → [key, …]: which of these calls are in your hands?
* `room` node id, generation, count, of these in threads, at workers: told: so many could begin
  here at once.
* `back` instance id, key: told: this call is in nobody's hands here any more.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgpack

from perdure.placement.membership import Membership
from perdure.placement.wire import NotUnderstood
from perdure.runtime.workflow.activities.queue import Key
from perdure.runtime.workflow.activities.rooms import Room
from perdure.runtime.workflow.codec import CorruptHistory
from perdure.runtime.workflow.messages import RunActivity, decode, encode

RUN, KNOWN, ROOM, BACK = "run", "known", "room", "back"
_PARCEL_COUNT = 200
_PARCEL_BYTES = 1 << 20
_AROUND_BYTES = 1024
"""What a line adds to a message, at most."""
_ILL_FORMED = (ValueError, TypeError, IndexError, OverflowError)


def encode_run(messages: Sequence[RunActivity]) -> bytes:
    return _pack(RUN, [encode(message) for message in messages])


def may_cross(message: RunActivity, bytes_max: int) -> bool:
    """Whether one alone fits into what nodes send to each other."""
    texts = (message.input, message.name, message.instance_id, message.trace_state)
    most = 4 * sum(len(text or "") for text in texts) + len(message.propagated or b"")
    # Nearly always that says it, without a copy of it all.
    return most + 2 * _AROUND_BYTES <= bytes_max or size_of(message) <= bytes_max


def size_of(message: RunActivity) -> int:
    """The bytes that it takes on its way to another node, or a little less."""
    return len(encode(message)) + _AROUND_BYTES


def parcels(messages: Sequence[RunActivity]) -> list[list[RunActivity]]:
    """The same, in portions that no line is too narrow for, unless a single one is."""
    found: list[list[RunActivity]] = []
    size = 0
    for message in messages:
        length = len(message.input or "") + len(message.propagated or b"")
        if not found or len(found[-1]) == _PARCEL_COUNT or size + length > _PARCEL_BYTES:
            found.append([])
            size = 0
        found[-1].append(message)
        size += length
    return found


def encode_known(wanted: Mapping[str, Sequence[Key]]) -> bytes:
    return _pack(KNOWN, list(wanted.items()))


def encode_room(node: Membership, room: Room) -> bytes:
    return _pack(ROOM, *node, *room)


def encode_back(message: RunActivity) -> bytes:
    return _pack(BACK, message.instance_id, message.key_of_call)


def encode_answer(values: Sequence[Any]) -> bytes:
    packed: bytes = msgpack.packb(list(values))
    return packed


def decode_answer(body: bytes) -> Sequence[Any]:
    """Raises `NotUnderstood`."""
    try:
        found = msgpack.unpackb(body, use_list=False, max_map_len=0)
    except (ValueError, msgpack.UnpackException) as error:
        raise NotUnderstood(f"an answer about activities cannot be read: {error}") from error
    if not isinstance(found, tuple):
        raise NotUnderstood("an answer about activities has another form")
    return found


def decode_keys(body: bytes) -> set[Key]:
    """The answer to `known`. Raises `NotUnderstood`."""
    try:
        return {(int(key), int(run), int(task)) for key, run, task in decode_answer(body)}
    except (ValueError, TypeError, OverflowError) as error:
        raise NotUnderstood(f"an answer about activities has another form: {error}") from error


def decode_request(body: bytes) -> tuple[str, Sequence[Any]]:
    """The verb and its arguments, in the types that the verb has. Raises `NotUnderstood`."""
    try:
        verb, *rest = msgpack.unpackb(body, use_list=False, max_map_len=0)
        if verb == RUN:
            messages = [decode(each) for each in rest[0]]
            if all(isinstance(message, RunActivity) for message in messages):
                return RUN, messages
        elif verb == KNOWN:
            return KNOWN, [(str(id_), [tuple(key) for key in keys]) for id_, keys in rest[0]]
        elif verb == ROOM:
            node_id, generation, *counts = rest
            room = Room(*map(int, counts))
            return ROOM, [Membership(str(node_id), int(generation)), room]
        elif verb == BACK:
            instance_id, (key, run, task) = rest
            return BACK, [str(instance_id), (int(key), int(run), int(task))]
    except (*_ILL_FORMED, msgpack.UnpackException, CorruptHistory) as error:
        raise NotUnderstood(f"a message about activities cannot be read: {error}") from error
    raise NotUnderstood(f"a message about activities of unknown kind {verb!r}")


def _pack(*fields: Any) -> bytes:
    packed: bytes = msgpack.packb(fields)
    return packed
