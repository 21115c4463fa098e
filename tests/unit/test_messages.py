from typing import Any

import msgpack
import pytest
from hypothesis import given

from perdure.runtime.workflow import history as h
from perdure.runtime.workflow import messages as m
from perdure.runtime.workflow.codec import CorruptHistory
from tests.unit import events

FAILED = m.Completion(7, 3, h.TaskFailed(1, h.Failure("ValueError", "boom", "stack")))


@given(events.messages)
def test_every_message_comes_back_as_it_was(message: Any) -> None:
    found = m.decode(m.encode(message))
    assert found == message
    assert repr(found) == repr(message)


def test_a_message_that_ends_early_is_corrupt() -> None:
    body = m.encode(FAILED)
    for length in range(len(body)):
        with pytest.raises(CorruptHistory):
            m.decode(body[:length])


def test_a_changed_byte_is_corrupt_or_another_message_but_never_another_error() -> None:
    body = m.encode(FAILED)
    for place in range(len(body)):
        for byte in range(256):
            damaged = bytearray(body)
            damaged[place] = byte
            try:
                m.decode(bytes(damaged))
            except CorruptHistory:
                continue


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([2, 0], "message of format 2, this release reads 1"),
        ([1, 99], "message of unknown kind 99"),
        ([1, 0], "undecodable message"),
        ([1, 9], "undecodable message"),
        ([1, 9, "w", None, [], [[99]], "r"], "unknown event"),
        ([1, 1, 3], "undecodable message"),
        ([1, 1, 7, 3, [99]], "unknown event"),
        ([1], "undecodable message"),
        (5, "undecodable message"),
    ],
)
def test_a_form_that_is_not_known_is_corrupt(content: Any, message: str) -> None:
    with pytest.raises(CorruptHistory, match=message):
        m.decode(bytes(msgpack.packb(content)))


def test_an_older_start_gets_the_defaults_of_what_it_lacks() -> None:
    body = bytes(msgpack.packb([1, 0, [3, "order"], "r1"]))
    assert m.decode(body) == m.StartWorkflow(h.ExecutionStarted("order"), "r1", False, False)
