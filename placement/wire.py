"""What nodes say to each other, as bytes. A value module.

A request is msgpack `[app id, actor type, actor id, flags, body]`, an answer `[kind, body]`. The
body of a request and of an answer belongs to the actor type; what is here only finds the way. A
message that is told is a request without a body: look into your inbox.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgpack

from perdure.actors.errors import Fault
from perdure.actors.identity import ActorRef

ID_BYTES_MAX = 64 << 10
BODY_BYTES_MAX = 64 << 20

_REPEAT = 1

ANSWERED, MOVED, FAILED = 0, 1, 2


class NotUnderstood(Fault):
    """Another node sent what this release cannot read."""


@dataclass(frozen=True, slots=True)
class Request:
    """A message on its way to an actor on another node."""

    app_id: str
    ref: ActorRef
    body: bytes
    is_repeat: bool = False
    """Sent before, and perhaps carried out."""


@dataclass(frozen=True, slots=True)
class Reply:
    """`ANSWERED` with the actor's answer; `MOVED`: not the owner, look for a newer table;
    `FAILED`: the request was not understood, the body says why in plain text."""

    kind: int
    body: bytes = b""


def encode_request(request: Request) -> bytes:
    flags = _REPEAT if request.is_repeat else 0
    packed: bytes = msgpack.packb((request.app_id, *request.ref, flags, request.body))
    return packed


def decode_request(data: bytes) -> Request:
    """Raises `NotUnderstood`."""
    app_id, type_, id_, flags, body = _fields(data, 5)
    texts = (app_id, type_, id_)
    if not all(isinstance(text, str) for text in texts) or not isinstance(flags, int):
        raise NotUnderstood("a request of another node has fields of wrong types")
    if not isinstance(body, bytes):
        raise NotUnderstood("a request of another node has no body")
    return Request(app_id, ActorRef(type_, id_), body, bool(flags & _REPEAT))


def encode_reply(reply: Reply) -> bytes:
    packed: bytes = msgpack.packb((reply.kind, reply.body))
    return packed


def decode_reply(data: bytes) -> Reply:
    """Raises `NotUnderstood`."""
    kind, body = _fields(data, 2)
    if kind not in (ANSWERED, MOVED, FAILED) or not isinstance(body, bytes):
        raise NotUnderstood("an answer of another node is of no known kind")
    return Reply(kind, body)


def _fields(data: bytes, count: int) -> Any:
    if len(data) > BODY_BYTES_MAX + 4 * ID_BYTES_MAX:
        raise NotUnderstood(f"a message of another node has {len(data)} bytes")
    try:
        found = msgpack.unpackb(
            data,
            use_list=False,
            max_str_len=ID_BYTES_MAX,
            max_bin_len=BODY_BYTES_MAX,
            max_array_len=count,
            max_map_len=0,
            max_ext_len=0,
        )
    except (ValueError, msgpack.UnpackException, RecursionError) as error:
        raise NotUnderstood(f"a message of another node is no msgpack of ours: {error}") from error
    if not isinstance(found, tuple) or len(found) != count:
        raise NotUnderstood("a message of another node has another form")
    return found
