"""What a message between two nodes says: a batch of frames, as msgpack. A value module.

A message is an array of frames, and a frame is `[kind, call, body]`. Each end numbers its own
calls; all kinds but `CALL` and `TELL` end the call of that number at the end that made it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import msgpack

from perdure.actors.errors import Fault

Frame = tuple[int, int, bytes]

CALL: Final = 0
TELL: Final = 1
ANSWER: Final = 2
BUSY: Final = 3
"""The call was not looked at, as too much waits already."""
LOST: Final = 4
"""The call was carried out, but there is no room for its answer."""
TOO_LARGE: Final = 5
"""The call was carried out, but its answer is larger than a message may be."""

KINDS: Final = range(TOO_LARGE + 1)
FRAMES_MAX: Final = 10_000
"""In one message."""
FRAME_OVERHEAD_BYTES: Final = 24
"""More than a frame takes up in its message beside its body."""
MESSAGE_OVERHEAD_BYTES: Final = 8
_CALL_MAX: Final = 1 << 62


class MalformedMessage(Fault):
    """What another node sent is not what nodes say to each other."""


def body_bytes_max(message_bytes_max: int) -> int:
    """The largest body that fits into a message."""
    return message_bytes_max - FRAME_OVERHEAD_BYTES - MESSAGE_OVERHEAD_BYTES


def encode(frames: Sequence[Frame]) -> bytes:
    packed: bytes = msgpack.packb(frames)
    return packed


def decode(message: bytes) -> list[Frame]:
    """The frames of a message, whose length the receiver has limited.

    Raises `MalformedMessage`.
    """
    frames = unpacked(message, array_max=FRAMES_MAX)
    for frame in frames:
        if type(frame) is not list or len(frame) != 3:
            raise MalformedMessage("a frame is no array of three")
        kind, call, body = frame
        # By exact type: True is an int too.
        if type(kind) is not int or type(call) is not int or type(body) is not bytes:
            raise MalformedMessage("the parts of a frame are not of their types")
        if kind not in KINDS or not 0 <= call < _CALL_MAX:
            raise MalformedMessage(f"a frame is of the unknown kind {kind}, or of no call")
    return frames


def unpacked(message: bytes, *, array_max: int, text_max: int = 0) -> list[Any]:
    """An array of plain values, without maps and extensions. Raises `MalformedMessage`."""
    try:
        value = msgpack.unpackb(
            message,
            raw=False,
            strict_map_key=True,
            max_array_len=array_max,
            max_bin_len=len(message),
            max_str_len=text_max,
            max_map_len=0,
            max_ext_len=0,
        )
    except (ValueError, msgpack.UnpackException) as error:
        raise MalformedMessage(
            f"a message is not the msgpack that was expected: {error}"
        ) from error
    if type(value) is not list:
        raise MalformedMessage("a message is no array")
    return value
