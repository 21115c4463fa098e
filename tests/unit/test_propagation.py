from __future__ import annotations

import msgspec
import pytest

from perdure.runtime.workflow import history as h
from perdure.runtime.workflow.codec import CorruptHistory, encode_turn
from perdure.runtime.workflow.messages import RunActivity, decode, encode
from perdure.runtime.workflow.own_history import OwnHistory
from perdure.runtime.workflow.propagation import (
    Caller,
    Chunk,
    PropagationScope,
    decode_propagated,
    handed_on,
    turns_of_call,
)

CALLER = Caller("shop", "o-1", "x-1", "order")
CALL = h.TaskScheduled(1, "pay", None, "e-1", propagation=1)
PLAIN = h.TaskScheduled(2, "mail", None, "e-2")
STARTED = h.ExecutionStarted("order", seen_requests=("r-1",))
FIRST = h.Turn(5, (STARTED,), (PLAIN,))
SECOND = h.Turn(6, (h.TaskCompleted(2, None),), (CALL,))
ABOVE = handed_on(Caller("mall", "m-1", "x-0", "outer"), [h.Turn(4, (STARTED,))], 1)


def test_own_history_is_one_chunk_and_lineage_puts_the_received_ones_before_it() -> None:
    first = h.Turn(5, (msgspec.structs.replace(STARTED, propagated=ABOVE),), (CALL,))
    shown = h.Turn(5, (h.ExecutionStarted("order"),), (CALL,))
    own = Chunk("shop", "o-1", "x-1", "order", (encode_turn(shown),))
    assert decode_propagated(handed_on(CALLER, [first], 1)).chunks == (own,)
    above = decode_propagated(ABOVE).chunks
    found = decode_propagated(handed_on(CALLER, [first], 2))
    assert found.chunks == (*above, own)
    assert found.scope is PropagationScope.LINEAGE
    assert own.turns == [shown]


def test_the_turn_that_calls_is_the_last_to_go_along() -> None:
    later = h.Turn(7, (h.TaskCompleted(1, None),))
    assert turns_of_call([FIRST, SECOND, later], 1) == 2
    assert turns_of_call([FIRST, SECOND, later], 2) == 1


def test_damaged_bytes_are_corrupt_and_never_another_error() -> None:
    for place in range(len(ABOVE)):
        for byte in range(256):
            damaged = bytearray(ABOVE)
            damaged[place] = byte
            try:
                for chunk in decode_propagated(bytes(damaged)).chunks:
                    _ = chunk.turns
            except CorruptHistory:
                continue


def test_a_form_of_a_later_release_is_named() -> None:
    with pytest.raises(CorruptHistory, match="of format 2, this release reads 1"):
        decode_propagated(msgspec.msgpack.encode([2, 1, []]))


def test_it_comes_through_to_another_node() -> None:
    message = RunActivity("o-1", 1, 1, 1, "pay", None, "e-1", propagated=ABOVE)
    assert decode(encode(message)) == message


# ---- what is kept in memory


def test_a_run_that_hands_nothing_on_keeps_nothing() -> None:
    own = OwnHistory()
    own.begin()
    assert own.add(FIRST, None)
    assert not own.turns
    assert own.add(h.Turn(6, ()), None)


def test_a_run_that_hands_on_from_its_first_turn_keeps_all() -> None:
    own = OwnHistory()
    own.begin()
    assert own.add(h.Turn(5, (STARTED,), (CALL,)), None)
    assert own.add(h.Turn(6, ()), None)
    assert len(own.turns) == 2


def test_what_was_not_kept_has_to_be_loaded_and_is_kept_from_then_on() -> None:
    own = OwnHistory()
    own.begin()
    assert own.add(FIRST, None)
    assert not own.add(SECOND, None)
    own = OwnHistory()
    own.restore([FIRST])
    assert own.add(SECOND, None)
    assert own.turns == [FIRST, SECOND]
    assert own.add(h.Turn(7, ()), None)
    assert len(own.turns) == 3


def test_a_loaded_run_that_hands_nothing_on_keeps_nothing_either() -> None:
    own = OwnHistory()
    own.restore([FIRST])
    assert own.turns == [FIRST]
    assert own.add(h.Turn(6, ()), None)
    assert not own.turns
