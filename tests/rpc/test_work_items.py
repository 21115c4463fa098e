from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perdure.runtime.rpc import taskhub_pb2 as pb
from perdure.runtime.rpc.dialect import Dialect
from perdure.runtime.rpc.events import encode_past
from perdure.runtime.rpc.work_items import (
    encode_activity,
    encode_ping,
    encode_turn,
)
from perdure.runtime.workflow import history as h
from perdure.runtime.workflow.messages import RunActivity
from perdure.runtime.workflow.workers.numbers import ROUND
from perdure.runtime.workflow.workers.work import Step
from tests.rpc.frames import field, text, time
from tests.rpc.samples import ANSWERS, FIRST, PROPAGATED, STARTED, T, run, steps, work, worker

ANY = tuple(Dialect)
GOLDEN = Path(__file__).parent / "golden"
BEGAN_US = (T + 5) * 1_000_000
_AT = field(1, -1) + time(2, T)
_EVENTS = (
    _AT + field(14, b""),
    _AT + field(3, field(1, "outer") + text(3, "1") + field(4, field(1, "out-1") + text(2, "x-0"))),
    field(1, 1) + time(2, T) + field(9, field(1, "order-1") + field(2, "order") + field(7, 2)),
)
TOLD = (
    field(1, 2)
    + field(2, field(2, "mall") + field(3, "top") + field(4, "top"))
    + field(
        2,
        b"".join(field(1, event) for event in _EVENTS)
        + field(2, "shop")
        + field(3, "out-1")
        + field(4, "outer"),
    )
)
"""`PROPAGATED` on the wire."""


def past() -> list[Step]:
    later: tuple[h.Outgoing, ...] = (h.TaskScheduled(7, "mail", None, "e-7"),)
    return steps(((STARTED,), FIRST), (ANSWERS, later), ((h.TaskCompleted(7, "1"),), ()))


def request_of(item: bytes) -> pb.WorkflowRequest:
    return pb.WorkItem.FromString(item).workflowRequest


@pytest.mark.parametrize("dialect", ANY)
def test_the_first_turn_is_these_bytes(dialect: Dialect) -> None:
    item, events = encode_turn(
        work([], (h.ExecutionStarted("order", "1"),)), BEGAN_US, "token-1", worker(dialect)
    )
    head = field(1, -1) + time(2, T + 5)
    started = field(1, "order") + text(3, "1") + field(4, field(1, "order-1") + text(2, "x-1"))
    request = (
        field(1, "order-1")
        + text(2, "x-1")
        + field(4, head + field(14, b""))
        + field(4, head + field(3, started))
    )
    assert item == field(1, request) + field(10, "token-1")
    assert events == 0


@pytest.mark.parametrize("dialect", ANY)
def test_a_turn_over_every_kind_of_event_is_the_bytes_on_record(dialect: Dialect) -> None:
    """`golden/<dialect>.txt`: one line for each field of the request, in hex."""
    item, _ = encode_turn(work(past(), propagated=PROPAGATED), BEGAN_US, "t", worker(dialect))
    frames = bytes.fromhex("".join((GOLDEN / f"{dialect}.txt").read_text().split()))
    assert item == field(1, frames) + field(10, "t")


@pytest.mark.parametrize("dialect", ANY)
def test_a_turn_tells_how_many_past_events_it_has(dialect: Dialect) -> None:
    item, events = encode_turn(work(past()), BEGAN_US, "t", worker(dialect))
    request = request_of(item)
    assert len(request.pastEvents) == events
    assert not request.HasField("cachedHistory")
    assert [event.WhichOneof("eventType") for event in request.newEvents] == [
        "workflowStarted",
        "eventRaised",
    ]


@pytest.mark.parametrize("count", [0, 1, 2, 3])
def test_events_that_the_worker_has_kept_are_left_out(count: int) -> None:
    steps_ = past()
    full, events = encode_turn(work(steps_), BEGAN_US, "t", worker(Dialect.DAPR))
    kept = encode_past(run(steps_), count, Dialect.DAPR)
    item, again = encode_turn(work(steps_), BEGAN_US, "t", worker(Dialect.DAPR), kept)
    request = request_of(item)
    assert again == events
    assert list(request.pastEvents) == list(request_of(full).pastEvents)[kept:]
    assert request.cachedHistory.eventCount == kept
    assert request.HasField("cachedHistory") == (count > 0)


def test_the_history_may_have_been_as_long_as_now_at_the_last_turn() -> None:
    steps_ = past()
    _, events = encode_turn(work(steps_), BEGAN_US, "t", worker(Dialect.DAPR))
    item, _ = encode_turn(work(steps_), BEGAN_US, "t", worker(Dialect.DAPR), events)
    assert not request_of(item).pastEvents
    assert request_of(item).cachedHistory.eventCount == events


@pytest.mark.parametrize("kept", [-1, 1, 1000])
def test_a_count_that_cannot_be_gets_all_of_the_history(kept: int) -> None:
    steps_ = past()
    item, events = encode_turn(work(steps_), BEGAN_US, "t", worker(Dialect.DAPR), kept)
    assert len(request_of(item).pastEvents) == events
    assert not request_of(item).HasField("cachedHistory")


@pytest.mark.parametrize(
    ("dialect", "expected"),
    [(Dialect.DAPR, b""), (Dialect.NEUTRAL, None), (Dialect.MICROSOFT, None)],
)
def test_what_microsofts_sdk_has_told_of_its_span_it_is_told_again(
    dialect: Dialect, expected: bytes | None
) -> None:
    told = text(1, "b7ad6b7169203331") + time(2, 1_700_000_000, 5)
    plain, _ = encode_turn(work([], ()), BEGAN_US, "t", worker(dialect))
    item, _ = encode_turn(
        msgspec.structs.replace(work([], ()), trace=told), BEGAN_US, "t", worker(dialect)
    )
    head = field(1, "order-1") + text(2, "x-1")
    started = field(4, field(1, -1) + time(2, T + 5) + field(14, b""))
    again = field(8, told) if expected is None else expected
    assert plain == field(1, head + started) + field(10, "t")
    assert item == field(1, head + again + started) + field(10, "t")


def test_steps_that_came_later_do_not_belong_to_a_turn_under_way() -> None:
    steps_ = past()
    before = work(steps_[:2])
    growing = msgspec.structs.replace(before, past=steps_)
    expected = encode_turn(before, BEGAN_US, "t", worker(Dialect.DAPR))
    assert encode_turn(growing, BEGAN_US, "t", worker(Dialect.DAPR)) == expected


@pytest.mark.parametrize(
    ("dialect", "expected"),
    [(Dialect.DAPR, TOLD), (Dialect.NEUTRAL, None), (Dialect.MICROSOFT, None)],
)
def test_history_of_the_callers_goes_to_dapr_alone(
    dialect: Dialect, expected: bytes | None
) -> None:
    item, _ = encode_turn(work([], propagated=PROPAGATED), BEGAN_US, "t", worker(dialect))
    request = request_of(item)
    assert request.HasField("propagatedHistory") == (expected is not None)
    assert request.propagatedHistory == (expected or b"")
    assert not request.HasField("router")


@settings(max_examples=30, deadline=None, database=None)
@given(payload=st.text(st.characters(exclude_categories=["Cs"])), length=st.integers(0, 70_000))
def test_any_payload_comes_through(payload: str, length: int) -> None:
    payload += "x" * length
    due = work([], (h.EventRaised("go", payload, "r"),))
    item, _ = encode_turn(due, BEGAN_US, payload[:9], worker(Dialect.DAPR))
    assert request_of(item).newEvents[1].eventRaised.input.value == payload
    assert pb.WorkItem.FromString(item).completionToken == payload[:9]


ACTIVITY = RunActivity("order-1", 7, 1, ROUND + 3, "pay", "5", "e-3")
PLAIN = field(1, "pay") + text(3, "5") + field(4, field(1, "order-1")) + field(5, 3)


def test_an_activity_is_these_bytes_to_dapr() -> None:
    expected = field(2, PLAIN + field(7, "e-3")) + field(10, "t")
    assert encode_activity(ACTIVITY, "t", worker(Dialect.DAPR)) == expected


@pytest.mark.parametrize("dialect", [Dialect.NEUTRAL, Dialect.MICROSOFT])
def test_an_activity_is_these_bytes_to_others(dialect: Dialect) -> None:
    assert encode_activity(ACTIVITY, "t", worker(dialect)) == field(2, PLAIN) + field(10, "t")


def test_an_activity_is_told_its_version_trace_and_callers() -> None:
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    message = RunActivity(
        *("order-1", 7, 1, 3, "pay", None, "e-3"),
        version="v",
        trace_parent=trace,
        propagated=PROPAGATED,
    )
    common = field(1, "pay") + text(2, "v") + field(4, field(1, "order-1")) + field(5, 3)
    context = field(6, field(1, trace) + field(2, "b7ad6b7169203331"))
    dapr = common + context + field(7, "e-3") + field(8, TOLD)
    assert encode_activity(message, "t", worker(Dialect.DAPR)) == field(2, dapr) + field(10, "t")
    others = field(2, common + context) + field(10, "t")
    assert encode_activity(message, "t", worker(Dialect.MICROSOFT)) == others


@pytest.mark.parametrize(("number", "kind"), [(4, "microsoftHealthPing"), (6, "healthPing")])
def test_a_ping_is_an_empty_message(number: int, kind: str) -> None:
    assert encode_ping(number) == field(number, b"")
    assert pb.WorkItem.FromString(encode_ping(number)).WhichOneof("request") == kind
