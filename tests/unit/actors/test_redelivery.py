"""What becomes of the messages of a turn that could not be committed."""

from __future__ import annotations

import asyncio

import pytest

from perdure.actors.errors import (
    CommitUnknown,
    NodeFenced,
    NodeStopping,
    NotOwner,
    StoreUnavailable,
    TurnConflict,
)
from perdure.actors.messages import WAKE, Delivery, Quarantine, ReminderDue
from perdure.actors.redelivery import after_failure


def _call(body: object = "call") -> Delivery:
    loop = asyncio.new_event_loop()
    try:
        return Delivery(body, loop.create_future())
    finally:
        loop.close()


@pytest.mark.parametrize("error", [TurnConflict("c"), CommitUnknown("u"), ZeroDivisionError()])
def test_messages_are_taken_again_after_a_failure_that_may_pass(error: Exception) -> None:
    batch = [_call(), Delivery("tell")]
    found = after_failure(batch, error, 5)
    assert (found.refused, found.repeated) == ([], batch)
    assert [delivery.attempts for delivery in batch] == [1, 1]


def test_a_reminder_and_a_quarantine_are_not_repeated() -> None:
    batch = [Delivery(ReminderDue("r")), Delivery(Quarantine("q"))]
    found = after_failure(batch, TurnConflict("c"), 5)
    assert (found.refused, found.repeated) == ([], [])


def test_a_reminder_that_no_turn_can_take_ends_in_a_quarantine_too() -> None:
    due = Delivery(ReminderDue("r"))
    for _ in range(5):
        assert after_failure([due], ZeroDivisionError("x"), 5).repeated == [due]
    first, *_ = after_failure([due], ZeroDivisionError("x"), 5).repeated
    assert isinstance(first.body, Quarantine)


def test_after_a_doubtful_commit_somebody_always_looks() -> None:
    call = _call()
    assert call.reply is not None
    call.reply.cancel()
    batch = [call, Delivery(ReminderDue("r"))]
    (found,) = after_failure(batch, CommitUnknown("u"), 5).repeated
    assert found.body is WAKE
    tell = Delivery("tell")
    assert after_failure([tell], CommitUnknown("u"), 5).repeated == [tell]


def test_while_the_store_cannot_write_calls_are_refused_and_tells_repeated() -> None:
    call, tell = _call(), Delivery("tell")
    found = after_failure([call, tell], StoreUnavailable("full"), 5)
    assert (found.refused, found.repeated) == ([call], [tell])


def test_a_node_that_stops_repeats_nothing() -> None:
    call, tell = _call(), Delivery("tell")
    found = after_failure([call, tell], NodeStopping("bye"), 5)
    assert (found.refused, found.repeated) == ([call], [])


def test_a_call_whose_caller_is_gone_is_not_repeated() -> None:
    call = _call()
    assert call.reply is not None
    call.reply.cancel()
    assert after_failure([call], TurnConflict("c"), 5).repeated == []


def test_a_turn_that_always_fails_ends_in_a_quarantine() -> None:
    tell = Delivery("tell")
    for _ in range(5):
        assert after_failure([tell], ZeroDivisionError("x"), 5).repeated == [tell]
    first, *rest = after_failure([tell], ZeroDivisionError("x"), 5).repeated
    assert isinstance(first.body, Quarantine)
    assert first.body.reason == "its turn failed 6 times, at last with ZeroDivisionError: x"
    assert rest == [tell]


def test_no_number_of_retryable_failures_is_a_quarantine() -> None:
    tell = Delivery("tell")
    for _ in range(50):
        found = after_failure([tell], TurnConflict("c"), 5)
        assert found.repeated == [tell]
        assert found.delay_seconds <= 1.0


def test_the_waits_grow_and_are_bounded() -> None:
    tell = Delivery("tell")
    waits = [after_failure([tell], OSError(), 100).delay_seconds for _ in range(9)]
    assert waits == sorted(waits)
    assert (waits[0], waits[-1]) == (0.04, 16.0)


@pytest.mark.parametrize("error", [NotOwner("moved"), NodeFenced("declared dead")], ids=str)
def test_what_is_another_node_s_by_now_is_not_repeated_here(error: Exception) -> None:
    call, tell, row = _call(), Delivery("tell"), Delivery("row", None, "m1")
    found = after_failure([call, tell, row], error, 5)
    assert (found.refused, found.repeated) == ([call], [])
