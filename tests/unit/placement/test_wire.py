"""Messages between nodes: what goes out comes in again, and what is no message is refused."""

from __future__ import annotations

from typing import Any

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from perdure.actors.identity import ActorRef
from perdure.placement import wire
from tests.unit.events import text

requests = st.builds(
    wire.Request, text, st.builds(ActorRef, text, text), st.binary(max_size=20), st.booleans()
)
replies = st.builds(
    wire.Reply, st.sampled_from([wire.ANSWERED, wire.MOVED, wire.FAILED]), st.binary(max_size=20)
)


@given(requests)
def test_every_request_comes_back_as_it_was(request: wire.Request) -> None:
    assert wire.decode_request(wire.encode_request(request)) == request


@given(replies)
def test_every_reply_comes_back_as_it_was(reply: wire.Reply) -> None:
    assert wire.decode_reply(wire.encode_reply(reply)) == reply


@given(st.binary(max_size=40))
def test_bytes_of_anything_are_refused_or_understood(data: bytes) -> None:
    for decode in (wire.decode_request, wire.decode_reply):
        try:
            decode(data)
        except wire.NotUnderstood:
            continue


def test_a_changed_byte_is_refused_or_understood() -> None:
    data = wire.encode_request(wire.Request("shop", ActorRef("workflow", "o1"), b"body", True))
    for place in range(len(data)):
        for byte in range(256):
            changed = bytearray(data)
            changed[place] = byte
            try:
                wire.decode_request(bytes(changed))
            except wire.NotUnderstood:
                continue


@pytest.mark.parametrize(
    "content",
    [
        5,
        [],
        ["shop", "workflow", "o1", 0],
        ["shop", "workflow", "o1", 0, b"", b""],
        ["shop", "workflow", "o1", "0", b""],
        ["shop", "workflow", 1, 0, b""],
        [b"shop", "workflow", "o1", 0, b""],
        ["shop", "workflow", "o1", 0, "text"],
        ["shop", "workflow", "o1", 0, None],
        ["shop", "workflow", "o" * (wire.ID_BYTES_MAX + 1), 0, b""],
        {"a": 1},
        [[[[[]]]], 1, 2, 3, 4],
    ],
)
def test_what_has_another_form_is_no_request(content: Any) -> None:
    with pytest.raises(wire.NotUnderstood):
        wire.decode_request(bytes(msgpack.packb(content)))


@pytest.mark.parametrize("content", [3, [7, b""], ["0", b""], [0, "text"], [0], [0, b"", 1]])
def test_what_has_another_form_is_no_reply(content: Any) -> None:
    with pytest.raises(wire.NotUnderstood):
        wire.decode_reply(bytes(msgpack.packb(content)))


def test_a_flag_of_a_later_release_does_no_harm() -> None:
    request = wire.decode_request(bytes(msgpack.packb(["shop", "workflow", "o1", 1 | 64, b"x"])))
    assert request == wire.Request("shop", ActorRef("workflow", "o1"), b"x", True)


def test_what_is_too_long_is_not_even_read() -> None:
    with pytest.raises(wire.NotUnderstood, match="has 67371009 bytes"):
        wire.decode_request(bytes(wire.BODY_BYTES_MAX + 4 * wire.ID_BYTES_MAX + 1))
