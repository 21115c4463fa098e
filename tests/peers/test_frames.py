"""What bytes become frames, and that all others are refused in one way."""

from __future__ import annotations

from typing import Any

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from perdure.runtime.api.peers.frames import (
    ANSWER,
    CALL,
    FRAMES_MAX,
    KINDS,
    TELL,
    MalformedMessage,
    body_bytes_max,
    decode,
    encode,
)

FRAMES = st.tuples(st.sampled_from(KINDS), st.integers(0, (1 << 62) - 1), st.binary(max_size=300))
PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers(-(1 << 63), (1 << 64) - 1) | st.floats() | st.text()
    | st.binary() | st.sampled_from([msgpack.ExtType(5, b"x"), msgpack.Timestamp(1)]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.binary(), inner, max_size=2),
    max_leaves=8,
)  # fmt: skip


def decoded(message: bytes) -> object:
    """The frames, or None for what is refused as it should be."""
    try:
        return decode(message)
    except MalformedMessage:
        return None


@given(st.lists(FRAMES))
def test_frames_come_out_as_they_went_in(frames: list[Any]) -> None:
    assert [tuple(frame) for frame in decode(encode(frames))] == frames


@given(st.binary())
def test_arbitrary_bytes_raise_nothing_but_the_one_error(message: bytes) -> None:
    decoded(message)


@given(PLAIN)
def test_arbitrary_values_raise_nothing_but_the_one_error(value: object) -> None:
    decoded(msgpack.packb(value))
    decoded(msgpack.packb([value]))
    decoded(msgpack.packb([[CALL, 1, value], [value, 1, b""], [CALL, value, b""]]))


@given(st.lists(FRAMES, min_size=1), st.data())
def test_damaged_messages_raise_nothing_but_the_one_error(
    frames: list[Any], data: st.DataObject
) -> None:
    message = bytearray(encode(frames))
    message[data.draw(st.integers(0, len(message) - 1))] = data.draw(st.integers(0, 255))
    decoded(bytes(message))
    cut = data.draw(st.integers(0, len(message) - 1))
    assert decoded(bytes(encode(frames)[:cut])) is None


@pytest.mark.parametrize(
    "value",
    [
        None,
        7,
        {},
        b"",
        [7],
        [[]],
        [[CALL, 1]],
        [[CALL, 1, b"", b""]],
        [[True, 1, b""]],
        [[CALL, 1.0, b""]],
        [[CALL, -1, b""]],
        [[CALL, 1 << 63, b""]],
        [[CALL, 1, "text"]],
        [[CALL, 1, None]],
        [[len(KINDS), 1, b""]],
        [[-1, 1, b""]],
        [[TELL, 0, b"good"], [TELL, 0, 5]],
        [{"kind": CALL}],
        [msgpack.ExtType(1, b"")],
    ],
)
def test_what_is_no_batch_of_frames_is_refused(value: object) -> None:
    with pytest.raises(MalformedMessage):
        decode(msgpack.packb(value))


@pytest.mark.parametrize(
    "message",
    [
        b"",
        b"\xdd\xff\xff\xff\xff",  # An array of 4 billion.
        b"\xc6\xff\xff\xff\xff",  # 4 GB of bytes.
        b"\x91" * 100_000,  # A deep nest.
        b"\xc1",  # No type at all.
        encode([(TELL, 0, b"")]) + b"\x00",
    ],
)
def test_bytes_that_promise_too_much_are_refused(message: bytes) -> None:
    with pytest.raises(MalformedMessage):
        decode(message)


def test_a_message_holds_so_many_frames_and_no_more() -> None:
    frame = (TELL, 0, b"")
    assert len(decode(encode([frame] * FRAMES_MAX))) == FRAMES_MAX
    with pytest.raises(MalformedMessage):
        decode(encode([frame] * (FRAMES_MAX + 1)))


def test_the_largest_body_fits_into_a_message() -> None:
    body = bytes(body_bytes_max(1 << 20))
    assert len(encode([(ANSWER, (1 << 62) - 1, body)])) <= 1 << 20
