import typing
import zlib
from typing import Any

import msgpack
import pytest
from hypothesis import given, settings

from perdure.actors.errors import Fault
from perdure.runtime.workflow import codec
from perdure.runtime.workflow import history as h
from perdure.runtime.workflow.codec import CorruptHistory
from tests.unit import events

SAMPLE = h.Turn(
    at_us=1_700_000_000_000_000,
    incoming=(
        h.ExecutionStarted("order", '{"id":1}', "v1", h.Parent(1, "p", 2, 3), 5, ("r1",)),
        h.TaskFailed(1, h.Failure("ValueError", "boom", "stack", h.Failure("KeyError", "k"))),
        h.ChildWorkflowInstanceFailed(2, None),
        h.EventRaised("go", None, "r2"),
    ),
    outgoing=(
        h.TaskScheduled(4, "pay", "1", "id", 500, "app.py:3"),
        h.ExecutionCompleted(h.Status.FAILED, None, h.Failure("ValueError", "boom")),
    ),
    code="abc",
    patches=("fix",),
)


@given(events.turns)
def test_every_turn_comes_back_as_it_was(turn: h.Turn) -> None:
    assert codec.decode_turn(codec.encode_turn(turn)) == turn


@given(events.incoming | events.outgoing)
def test_every_event_comes_back_in_its_own_types(event: Any) -> None:
    stored = msgpack.unpackb(codec.encode_turn(h.Turn(0, (event,)))[5:], use_list=False)[1][0]
    found = codec.decode_event(stored)
    assert found == event
    assert repr(found) == repr(event)


@settings(max_examples=50)
@given(events.failures)
def test_every_failure_comes_back_as_it_was(failure: h.Failure) -> None:
    assert codec.decode_failure(codec.encode_failure(failure)) == failure


def test_every_kind_of_event_has_a_code_of_its_own() -> None:
    kinds = typing.get_args(h.Event)
    assert {codec.encode_event(_example(kind))[0] for kind in kinds} == {
        *(3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 16, 17, 21, 22, 32)
    }


def _example(kind: type[h.Value]) -> h.Value:
    return kind(*[None] * len(kind.__struct_fields__))


def test_one_changed_byte_anywhere_is_noticed() -> None:
    blob = codec.encode_turn(SAMPLE)
    for place in range(len(blob)):
        for change in (0x01, 0x80, 0xFF):
            damaged = bytearray(blob)
            damaged[place] ^= change
            with pytest.raises(CorruptHistory):
                codec.decode_turn(bytes(damaged))


def test_a_blob_that_ends_early_is_noticed() -> None:
    blob = codec.encode_turn(SAMPLE)
    for length in range(len(blob)):
        with pytest.raises(CorruptHistory):
            codec.decode_turn(blob[:length])


def with_checksum(content: Any) -> bytes:
    body = msgpack.packb(content)
    return b"\x01" + zlib.crc32(body).to_bytes(4, "big") + bytes(body)


@pytest.mark.parametrize(
    "content",
    [
        (0, [(99, "x")], [], "", []),
        (0, [()], [], "", []),
        (0, [(7,)], [], "", []),
        (0, [(7, 1, None, "too", "many")], [], "", []),
        (0, [(8, 1, None)], [], "", []),
        (0, [(8, 1, ("type only",))], [], "", []),
        (0, [(4, 77)], [], "", []),
        (0, [(3, "name", None, None, (1,))], [], "", []),
        (0, 5, [], "", []),
        (0, [5], [], "", []),
        (0, [([],)], [], "", []),
        (0, [], []),
        "text",
        7,
    ],
    ids=repr,
)
def test_a_form_that_is_not_known_is_corrupt_whatever_its_checksum(content: Any) -> None:
    with pytest.raises(CorruptHistory):
        codec.decode_turn(with_checksum(content))


def test_another_format_version_is_named() -> None:
    blob = codec.encode_turn(SAMPLE)
    with pytest.raises(CorruptHistory, match="history format 2, this release reads 1"):
        codec.decode_turn(b"\x02" + blob[1:])


def test_rows_of_an_older_form_get_the_defaults_of_what_they_lack() -> None:
    turn = codec.decode_turn(
        with_checksum(
            (
                1,
                [(3, "order"), (8, 1, ("ValueError", "boom")), (5,), (21,)],
                [(6, 1, "pay", None, "id"), (12, 2, 9), (4, 1)],
                "",
                [],
            )
        )
    )
    assert turn.incoming == (
        h.ExecutionStarted("order", None, None, None, None, ()),
        h.TaskFailed(1, h.Failure("ValueError", "boom", None, None, False)),
        h.ExecutionTerminated(None, True, None),
        h.ExecutionSuspended(None),
    )
    assert turn.outgoing == (
        h.TaskScheduled(1, "pay", None, "id", None, ""),
        h.TimerCreated(2, 9, "", ""),
        h.ExecutionCompleted(h.Status.COMPLETED, None, None),
    )


def test_rows_from_before_there_were_several_apps_are_of_the_workflow_s_own_app() -> None:
    started = (3, "order", None, None, (1, "p", 2, 3), None, (), False)
    asked = [
        (6, 1, "pay", "1", "id", 500, "app.py:3"),
        (9, 2, "o1:0002", "pack", None, "app.py:4"),
        (32, 3, "o1-3", "log", None, 77, "app.py:5"),
    ]
    turn = codec.decode_turn(with_checksum((1, [started], asked, "abc", [])))
    assert turn.incoming == (h.ExecutionStarted("order", parent=h.Parent(1, "p", 2, 3)),)
    assert turn.outgoing == (
        h.TaskScheduled(1, "pay", "1", "id", 500, "app.py:3"),
        h.ChildWorkflowInstanceCreated(2, "o1:0002", "pack", None, "app.py:4"),
        h.DetachedWorkflowInstanceCreated(3, "o1-3", "log", None, 77, "app.py:5"),
    )


@pytest.mark.parametrize("blob", [b"", b"\xc1", b"\x91\x01", b"\x93\xa1a\xa1b", b"\x05"])
def test_a_damaged_failure_is_corrupt(blob: bytes) -> None:
    with pytest.raises(CorruptHistory):
        codec.decode_failure(blob)


def test_what_is_corrupt_is_a_fault() -> None:
    assert issubclass(CorruptHistory, Fault)


def test_only_what_is_a_value_can_be_stored() -> None:
    with pytest.raises(TypeError, match="not storable"):
        codec.encode_turn(h.Turn(0, (h.TaskCompleted(1, object()),)))  # type: ignore[arg-type]
