from __future__ import annotations

from typing import Any

import msgspec
import pytest

from perdure.runtime.rpc import taskhub_pb2 as pb
from perdure.runtime.rpc.dialect import Dialect
from perdure.runtime.rpc.events import encode_new, encode_past, history_events
from perdure.runtime.workflow import history as h
from perdure.runtime.workflow.workers.numbers import ROUND
from tests.rpc.frames import entry, field, text, time
from tests.rpc.samples import ANSWERS, FAILURE, FIRST, STARTED, T, run, steps, work

DAPR, NEUTRAL, MICROSOFT = Dialect.DAPR, Dialect.NEUTRAL, Dialect.MICROSOFT
ANY = (DAPR, NEUTRAL, MICROSOFT)
OPEN = field(1, -1)

DETAILS = (
    field(1, "ValueError")
    + field(2, "no")
    + text(3, "at a.py:1")
    + field(4, field(1, "KeyError") + field(2, "k"))
    + field(5, 1)
)
TRACE = (
    field(1, "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
    + field(2, "b7ad6b7169203331")
    + text(3, "s=1")
)
STARTED_FRAME = (
    field(1, "order")
    + text(2, "v1")
    + text(3, '{"id":1}')
    + field(4, field(1, "order-1") + text(2, "x-1"))
    + field(5, field(1, 4) + field(4, field(1, "parent")) + field(5, "shop"))
    + field(7, TRACE)
    + field(9, entry("team", "a"))
)

INCOMING: list[tuple[h.Incoming, bytes]] = [
    (STARTED, field(3, STARTED_FRAME)),
    (
        h.ExecutionStarted("a", scheduled_us=1_500_000),
        field(
            3,
            field(1, "a")
            + field(4, field(1, "order-1") + text(2, "x-1"))
            + time(6, 1, 500_000_000),
        ),
    ),
    (h.ExecutionTerminated("1", True), field(5, text(1, "1") + field(2, 1))),
    (h.ExecutionTerminated(None, False), field(5, b"")),
    (h.TaskCompleted(1, "5"), field(7, field(1, 1) + text(2, "5") + field(3, "e-1"))),
    (h.TaskCompleted(1, None), field(7, field(1, 1) + field(3, "e-1"))),
    (h.TaskCompleted(1, ""), field(7, field(1, 1) + field(2, b"") + field(3, "e-1"))),
    (h.TaskFailed(6, FAILURE), field(8, field(1, 6) + field(2, DETAILS) + field(3, "e-6"))),
    (h.ChildWorkflowInstanceCompleted(3, "5"), field(10, field(1, 3) + text(2, "5"))),
    (h.ChildWorkflowInstanceFailed(3, FAILURE), field(11, field(1, 3) + field(2, DETAILS))),
    (h.ChildWorkflowInstanceFailed(3, None), field(11, field(1, 3))),
    (h.TimerFired(2), field(13, time(1, 253_402_300_799, 999_999_999) + field(2, 2))),
    (h.EventRaised("go", "1", "r"), field(17, field(1, "go") + text(2, "1"))),
    (h.EventRaised("go", None, "r"), field(17, field(1, "go"))),
    (h.ExecutionSuspended("why"), field(21, text(1, "why"))),
    (h.ExecutionResumed(None), field(22, b"")),
]


@pytest.mark.parametrize("dialect", ANY)
@pytest.mark.parametrize(("event", "frame"), INCOMING)
def test_an_event_that_came_in_is_told_to_all_alike(
    event: h.Incoming, frame: bytes, dialect: Dialect
) -> None:
    begun = field(4, OPEN + time(2, T + 1) + field(14, b""))
    told = field(4, OPEN + time(2, T + 1) + frame)
    past = steps(((STARTED,), FIRST))
    assert encode_new(work(past, (event,)), (T + 1) * 1_000_000, dialect) == begun + told


def scheduled(dapr: bytes, others: bytes) -> dict[Dialect, bytes]:
    return {DAPR: dapr, NEUTRAL: others, MICROSOFT: others}


CREATE = field(1, "c") + field(2, "ship")
OUTGOING: list[tuple[h.Outgoing, int, dict[Dialect, bytes]]] = [
    (
        h.TaskScheduled(1, "pay", "1", "e-1", version="v2"),
        1,
        scheduled(
            field(6, field(1, "pay") + text(2, "v2") + text(3, "1") + field(5, "e-1")),
            field(6, field(1, "pay") + text(2, "v2") + text(3, "1")),
        ),
    ),
    (
        h.TaskScheduled(1, "pay", None, "e", app_id="bank", propagation=1, rerun_of="o"),
        1,
        scheduled(
            field(6, field(1, "pay") + field(5, "e") + field(6, field(1, "o")) + field(7, 1))
            + field(30, field(2, "bank")),
            field(6, field(1, "pay")),
        ),
    ),
    (
        h.ChildWorkflowInstanceCreated(3, "c", "ship", None, rerun_of="o"),
        3,
        scheduled(field(9, CREATE + field(6, field(1, "o"))), field(9, CREATE)),
    ),
    (
        h.ChildWorkflowInstanceCreated(
            3, "c", "ship", "1", app_id="post", version="v", propagation=2, retry_of="c0"
        ),
        3,
        scheduled(
            field(9, CREATE + text(3, "v") + text(4, "1") + field(7, 2) + field(8, field(1, "c0")))
            + field(30, field(2, "post")),
            field(9, CREATE + text(3, "v") + text(4, "1")),
        ),
    ),
]


@pytest.mark.parametrize("dialect", ANY)
@pytest.mark.parametrize(("event", "number", "frames"), OUTGOING)
def test_fields_that_microsoft_reads_otherwise_go_to_dapr_alone(
    event: h.Outgoing, number: int, frames: dict[Dialect, bytes], dialect: Dialect
) -> None:
    assert told(event, dialect) == field(1, number) + time(2, T) + frames[dialect]


def told(event: h.Outgoing, dialect: Dialect) -> bytes:
    """The frame of an event that the first decision has asked for."""
    past = steps(((), (event,)))
    encode_past(run(past), 1, dialect)
    _, frames = past[0].wire[dialect]
    begun = field(3, OPEN + time(2, T) + field(14, b""))
    assert frames.startswith(begun)
    return pb.WorkflowRequest.FromString(frames).pastEvents[1].SerializeToString()


ORIGINS = {
    "": b"",
    "createTimer": field(4, b""),
    "sleep": field(4, b""),
    "externalEvent:a:b": field(5, field(1, "a:b")),
    "activityRetry:e-1": field(6, field(1, "e-1")),
    "childWorkflowRetry:c:1": field(7, field(1, "c:1")),
}


@pytest.mark.parametrize("dialect", ANY)
@pytest.mark.parametrize(("origin", "frame"), ORIGINS.items())
def test_a_timer_says_what_made_it(origin: str, frame: bytes, dialect: Dialect) -> None:
    event = h.TimerCreated(2, 1_000_001, origin, name="n", nanos=7)
    expected = field(1, 2) + time(2, T) + field(12, time(1, 1, 1007) + field(2, "n") + frame)
    assert told(event, dialect) == expected


@pytest.mark.parametrize("dialect", ANY)
def test_a_timer_that_runs_again_says_of_which_instance(dialect: Dialect) -> None:
    event = h.TimerCreated(2, 1_000_001, "createTimer", rerun_of="o")
    content = time(1, 1, 1000) + field(3, field(1, "o")) + field(4, b"")
    assert told(event, dialect) == field(1, 2) + time(2, T) + field(12, content)


@pytest.mark.parametrize("dialect", ANY)
def test_a_timer_at_the_end_of_time_keeps_its_nanoseconds(dialect: Dialect) -> None:
    event = FIRST[1]
    due = time(1, 253_402_300_799, 999_999_999)
    expected = field(1, 2) + time(2, T) + field(12, due + field(5, field(1, "go")))
    assert told(event, dialect) == expected


@pytest.mark.parametrize("dialect", ANY)
def test_an_event_that_was_sent_is_confirmed_to_whoever_sent_it(dialect: Dialect) -> None:
    frame = field(16, field(1, "other") + field(2, "ping") + text(3, "7"))
    assert told(FIRST[4], dialect) == field(1, 5) + time(2, T) + frame


def test_only_daprs_workers_know_of_detached_workflows() -> None:
    expected = field(1, 4) + time(2, T) + field(32, field(1, "d-1"))
    assert told(FIRST[3], DAPR) == expected
    for dialect in (NEUTRAL, MICROSOFT):
        past = steps(((), (FIRST[3],)))
        assert encode_past(run(past), 1, dialect) == 1


@pytest.mark.parametrize(
    ("event", "frame"),
    [
        (h.ExecutionCompleted(h.Status.COMPLETED, "1"), field(1, 1) + text(2, "1")),
        (
            h.ExecutionCompleted(h.Status.FAILED, None, FAILURE),
            field(1, 3) + field(3, DETAILS),
        ),
        (h.ExecutionCompleted(h.Status.TERMINATED, None), field(1, 5)),
    ],
)
def test_the_end_of_a_run_has_the_next_number(event: h.ExecutionCompleted, frame: bytes) -> None:
    past = steps(((STARTED,), FIRST), ((), (event,)))
    found = list(history_events(run(past), DAPR))[-1]
    assert found.SerializeToString() == field(1, 7) + time(2, T + 1) + field(4, frame)


def versioned(dialect: Dialect) -> bytes:
    turn = h.Turn(5, (), (), patches=("p1", "p2"), decided=h.Decided(0, 3_000_000, "v7"))
    past = steps(((), ()))
    past[0].turn = turn
    return next(history_events(run(past), dialect)).SerializeToString()


def test_a_decision_tells_its_version_and_patches_to_dapr() -> None:
    version = field(1, field(1, "p1") + field(1, "p2") + field(2, "v7"))
    expected = OPEN + time(2, 3) + field(14, version)
    assert versioned(DAPR) == versioned(NEUTRAL) == expected
    assert versioned(MICROSOFT) == OPEN + time(2, 3) + field(14, b"")


@pytest.mark.parametrize("dialect", ANY)
def test_the_timer_of_a_delayed_start_is_not_the_codes_business(dialect: Dialect) -> None:
    begun = field(4, OPEN + time(2, T) + field(14, b""))
    assert encode_new(work([], (h.TimerFired(0),)), T * 1_000_000, dialect) == begun
    past = steps(((h.TimerFired(0),), ()))
    assert encode_past(run(past), 1, dialect) == 1


def test_what_was_asked_again_under_one_number_is_one_number_to_the_worker() -> None:
    again = h.TaskScheduled(ROUND + 1, "pay", None, "e-again")
    first = h.TaskScheduled(ROUND, "zero", None, "e-zero")
    past = steps(((STARTED,), (*FIRST, first)), ((h.TaskFailed(1, FAILURE),), (again,)))
    answers: tuple[h.Incoming, ...] = (
        h.TaskCompleted(ROUND + 1, None),
        h.TaskCompleted(ROUND, None),
    )
    events = list(history_events(run([*past, *steps((answers, ()))]), DAPR))
    assert [event.eventId for event in events if event.HasField("taskScheduled")] == [1, 6, 0, 1]
    completed = [event.taskCompleted for event in events if event.HasField("taskCompleted")]
    assert [(found.taskScheduledId, found.taskExecutionId) for found in completed] == [
        (1, "e-again"),
        (0, "e-zero"),
    ]


@pytest.mark.parametrize("dialect", ANY)
def test_past_events_are_encoded_once(dialect: Dialect) -> None:
    past = steps(((STARTED,), FIRST), (ANSWERS, ()))
    counted = encode_past(run(past), 1, dialect)
    first = past[0].wire[dialect]
    assert counted == first[0]
    assert dialect not in past[1].wire
    events = encode_past(run(past), 2, dialect)
    assert past[0].wire[dialect] is first
    assert events == len(list(history_events(run(past), dialect)))
    assert set(past[0].wire) == {dialect}


@pytest.mark.parametrize("dialect", ANY)
def test_an_event_is_the_same_when_it_is_new_and_when_it_is_past(dialect: Dialect) -> None:
    before = steps(((STARTED,), FIRST))
    after = [*before, *steps(((), ()), (ANSWERS, ()))[1:]]
    new = encode_new(work(before, ANSWERS), (T + 1) * 1_000_000, dialect)
    encode_past(run(after), 2, dialect)
    past = pb.WorkflowRequest.FromString(after[1].wire[dialect][1]).pastEvents
    assert list(pb.WorkflowRequest.FromString(new).newEvents) == list(past)


def test_a_history_that_no_worker_has_decided_can_be_told_too() -> None:
    turn = h.Turn(9_000_000, (h.ExecutionStarted("a"),), (h.TaskScheduled(1, "b", None, "e"),))
    past = steps(((), ()))
    past[0].turn = turn
    events = list(history_events(run(past), DAPR))
    assert [event.WhichOneof("eventType") for event in events] == [
        "workflowStarted",
        "executionStarted",
        "taskScheduled",
    ]
    assert {event.timestamp.seconds for event in events} == {9}


def test_there_is_an_expectation_for_every_kind_of_event() -> None:
    def kinds(of: Any) -> set[type]:
        return set(of.__args__)

    assert {type(event) for event, _ in INCOMING} == kinds(h.Incoming)
    known = {type(event) for event in FIRST} | {h.ExecutionCompleted}
    assert known == kinds(h.Outgoing)
    assert all(issubclass(kind, msgspec.Struct) for kind in known)
