from __future__ import annotations

import pytest
from google.protobuf.message import DecodeError
from hypothesis import example, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from perdure.actors.errors import Refused
from perdure.runtime.rpc import taskhub_pb2 as pb
from perdure.runtime.rpc.decisions import Malformed, activity_outcome, decision_of
from perdure.runtime.rpc.dialect import Dialect
from perdure.runtime.rpc.events import history_events
from perdure.runtime.workflow import history as h
from perdure.runtime.workflow.workers.numbers import ROUND
from perdure.runtime.workflow.workers.work import Termination, TurnDecided
from tests.rpc.frames import entry, field, text, time
from tests.rpc.samples import FAILURE, FIRST, FOREVER, STARTED, run, steps, work
from tests.rpc.test_events import DETAILS, ORIGINS
from tests.rpc.test_stubs import messages

DAPR, NEUTRAL, MICROSOFT = Dialect.DAPR, Dialect.NEUTRAL, Dialect.MICROSOFT
ANY = (DAPR, NEUTRAL, MICROSOFT)
WORK = work(steps(((STARTED,), FIRST)))
MS_TRACE = text(1, "b7ad6b7169203331") + time(2, 1_700_000_000, 5)
"""Microsoft's OrchestrationTraceContext."""


def decide(raw: bytes, dialect: Dialect = DAPR) -> TurnDecided:
    response = pb.WorkflowResponse.FromString(field(1, "order-1") + raw)
    return decision_of(response, WORK, 77, dialect)


def action(number: int, content: bytes, router: bytes = b"") -> bytes:
    return field(2, field(1, number) + content + router)


def only(raw: bytes, dialect: Dialect = DAPR) -> h.Outgoing:
    (found,) = decide(raw, dialect).outgoing
    return found


def task(number: int, name: str = "pay") -> bytes:
    return action(number, field(2, field(1, name) + field(5, f"e-{number}")))


def timer(number: int, fire_at: bytes, more: bytes = b"") -> bytes:
    return action(number, field(4, fire_at + more))


def end(status: int, more: bytes = b"", number: int = 9) -> bytes:
    return action(number, field(6, field(1, status) + more))


# ---- the frame of a decision


@pytest.mark.parametrize("dialect", ANY)
def test_a_decision_covers_what_its_work_was_about(dialect: Dialect) -> None:
    assert decide(b"", dialect) == TurnDecided(7, 1, 1, 2, 77)


def test_an_answer_for_another_instance_is_refused() -> None:
    response = pb.WorkflowResponse(instanceId="order-2")
    with pytest.raises(Malformed, match="'order-2' to a turn of 'order-1'"):
        decision_of(response, WORK, 77, DAPR)
    assert issubclass(Malformed, Refused)


def test_a_part_of_a_decision_is_not_taken_for_all_of_it() -> None:
    response = pb.WorkflowResponse(instanceId="order-1", isPartial=True)
    with pytest.raises(Malformed, match="as a whole only"):
        decision_of(response, WORK, 77, MICROSOFT)


@pytest.mark.parametrize(
    ("raw", "status"),
    [(b"", None), (field(3, b""), None), (text(3, "half"), "half"), (text(3, '"half"'), '"half"')],
)
def test_a_custom_status_is_kept_as_it_is_and_none_if_empty(raw: bytes, status: str | None) -> None:
    assert decide(raw).custom_status == status


# ---- actions


@pytest.mark.parametrize("dialect", [DAPR, NEUTRAL])
def test_a_task_of_dapr_has_its_own_execution_id(dialect: Dialect) -> None:
    asked = field(1, "pay") + text(2, "v2") + text(3, "1") + field(5, "e-1")
    expected = h.TaskScheduled(4, "pay", "1", "e-1", version="v2")
    assert only(action(4, field(2, asked)), dialect) == expected


@pytest.mark.parametrize("dialect", [NEUTRAL, MICROSOFT])
def test_a_task_of_microsoft_gets_an_execution_id_that_its_retries_share(dialect: Dialect) -> None:
    context = field(1, "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
    tags = field(4, entry("team", "a"))
    found = only(action(4, field(2, field(1, "pay") + tags + field(5, context))), dialect)
    again = only(action(4, field(2, field(1, "pay") + tags)), dialect)
    other = only(action(5, field(2, field(1, "pay"))), dialect)
    assert isinstance(found, h.TaskScheduled)
    assert isinstance(other, h.TaskScheduled)
    assert found == again == h.TaskScheduled(4, "pay", None, found.execution_id)
    assert found.execution_id != other.execution_id
    assert found.execution_id.isprintable()


def test_numbers_begin_with_0_in_some_sdks() -> None:
    found = only(task(0))
    assert isinstance(found, h.TaskScheduled)
    assert found.task_id == ROUND


def test_a_scope_of_propagation_is_daprs() -> None:
    found = only(action(4, field(2, field(1, "pay") + field(5, "e") + field(6, 2))))
    assert found == h.TaskScheduled(4, "pay", None, "e", propagation=2)


@pytest.mark.parametrize("dialect", ANY)
def test_a_child_is_named_after_its_parent_if_it_has_no_id(dialect: Dialect) -> None:
    asked = field(2, "ship") + text(3, "v") + text(4, "1")
    expected = h.ChildWorkflowInstanceCreated(26, "order-1:001a", "ship", "1", version="v")
    assert only(action(26, field(3, asked)), dialect) == expected


def test_a_child_says_what_it_is_a_retry_of_and_how_much_history_it_gets() -> None:
    asked = field(1, "c-2") + field(2, "ship") + field(6, 1) + field(7, field(1, "c-1"))
    expected = h.ChildWorkflowInstanceCreated(4, "c-2", "ship", None, propagation=1, retry_of="c-1")
    assert only(action(4, field(3, asked))) == expected


def test_microsofts_tags_and_trace_of_a_child_are_not_read_as_scope_and_router() -> None:
    asked = field(1, "c") + field(2, "ship") + field(5, field(1, "00-a-b-01"))
    found = only(action(4, field(3, asked + field(6, entry("a", "b")))), MICROSOFT)
    assert found == h.ChildWorkflowInstanceCreated(4, "c", "ship", None)


@pytest.mark.parametrize(("origin", "frame"), ORIGINS.items())
def test_what_made_a_timer_is_kept(origin: str, frame: bytes) -> None:
    # The same origins, one field earlier than in the event.
    earlier = bytes([frame[0] - 8]) + frame[1:] if frame else b""
    found = only(timer(2, time(1, 1, 1007), field(2, "n") + earlier))
    kept = "createTimer" if origin == "sleep" else origin
    assert found == h.TimerCreated(2, 1_000_001, kept, name="n", nanos=7)


@pytest.mark.parametrize("dialect", ANY)
@pytest.mark.parametrize(
    ("seconds", "nanos"),
    [(253_402_300_799, 999_999_999), (0, 0), (-1, 999_999_999), (-62_135_596_800, 1)],
)
def test_the_time_of_a_timer_comes_back_to_the_nanosecond(
    seconds: int, nanos: int, dialect: Dialect
) -> None:
    asked = time(1, seconds, nanos)
    found = only(timer(2, asked), dialect)
    assert isinstance(found, h.TimerCreated)
    (told,) = list(history_events(run(steps(((), (found,)))), dialect))[1:]
    assert told.timerCreated.fireAt == pb.CreateTimerAction.FromString(asked).fireAt
    if seconds > 0:
        assert (found.fire_at_us, found.nanos) == (FOREVER, 999)


def test_an_event_to_another_instance_is_sent() -> None:
    asked = field(1, field(1, "other")) + field(2, "ping") + text(3, "7")
    assert only(action(5, field(5, asked))) == h.EventSent(5, "other", "ping", "7")


def test_another_instance_is_terminated() -> None:
    decided = decide(action(5, field(7, field(1, "other") + text(2, "why") + field(3, 1))))
    assert decided.terminations == (Termination("other", "why", True),)
    assert decided.outgoing == ()


def test_a_detached_workflow_is_started() -> None:
    asked = (
        field(1, "d")
        + field(2, "audit")
        + text(3, "v")
        + text(4, "1")
        + time(5, 3)
        + field(7, entry("b", "2"))
        + field(7, entry("a", "1"))
    )
    assert only(action(5, field(11, asked), field(9, field(2, "log")))) == (
        h.DetachedWorkflowInstanceCreated(
            *(5, "d", "audit", "1", 3_000_000),
            app_id="log",
            version="v",
            tags=(("a", "1"), ("b", "2")),
        )
    )


def test_actions_keep_their_order() -> None:
    asked = task(3) + timer(1, time(1, 5)) + task(2)
    numbers = [e.task_id for e in decide(asked).outgoing if not isinstance(e, h.ExecutionCompleted)]
    assert numbers == [3, 1, 2]


# ---- the end of a run


@pytest.mark.parametrize("dialect", ANY)
@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (end(1, text(2, "5")), h.ExecutionCompleted(h.Status.COMPLETED, "5")),
        (end(1), h.ExecutionCompleted(h.Status.COMPLETED)),
        (end(5, text(2, "5")), h.ExecutionCompleted(h.Status.TERMINATED, "5")),
        (end(4), h.ExecutionCompleted(h.Status.CANCELED)),
        (
            end(3, text(2, "5") + field(6, DETAILS)),
            h.ExecutionCompleted(h.Status.FAILED, None, FAILURE),
        ),
        (
            end(3, text(3, "why")),
            h.ExecutionCompleted(h.Status.FAILED, None, h.Failure("", "why")),
        ),
        (end(1, text(2, "5"), number=-1), h.ExecutionCompleted(h.Status.COMPLETED, "5")),
    ],
)
def test_a_run_ends_in_one_of_these_ways(
    raw: bytes, expected: h.ExecutionCompleted, dialect: Dialect
) -> None:
    assert decide(raw, dialect).outgoing == (expected,)


@pytest.mark.parametrize("order", [0, 1])
def test_what_the_code_did_not_wait_for_is_done_and_its_timers_are_not(order: int) -> None:
    others = task(2) + timer(3, time(1, 5)) + action(4, field(7, field(1, "other")))
    parts = [others, end(1)]
    decided = decide(parts[order] + parts[1 - order])
    assert decided.outgoing == (
        h.TaskScheduled(2, "pay", None, "e-2"),
        h.ExecutionCompleted(h.Status.COMPLETED),
    )
    assert decided.terminations == (Termination("other", None, False),)


def test_to_continue_as_new_drops_all_else_and_carries_events_that_were_raised() -> None:
    raised = field(17, field(1, "go") + text(2, "1"))
    carried = field(5, raised) + field(5, field(14, b"")) + field(5, field(17, field(1, "stop")))
    decided = decide(task(1) + text(3, "half") + end(2, text(2, "5") + text(4, "v2") + carried))
    assert decided.outgoing == ()
    assert decided.custom_status is None
    again = decided.continued
    assert again is not None
    assert (again.input, again.version) == ("5", "v2")
    assert [(event.name, event.data) for event in again.carried] == [("go", "1"), ("stop", None)]
    assert len({event.request_id for event in again.carried}) == 2


def test_the_same_answer_twice_is_the_same_decision() -> None:
    carried = field(5, field(17, field(1, "go"))) * 2
    for raw in (end(2, carried), action(1, field(2, field(1, "pay")))):
        assert decide(raw) == decide(raw)


# ---- versions


def test_a_version_and_patches_are_daprs() -> None:
    version = field(6, field(1, "p1") + field(1, "p2") + field(2, "v7"))
    expected = replace(decide(b""), patches=("p1", "p2"), version="v7")
    assert decide(version) == decide(version, NEUTRAL) == expected
    assert decide(version, MICROSOFT) == decide(b"")


@pytest.mark.parametrize("dialect", [NEUTRAL, MICROSOFT])
@pytest.mark.parametrize("context", [MS_TRACE, time(2, 1_700_000_000, 5), text(1, "b7"), b"\xff"])
def test_microsofts_trace_context_is_no_version(context: bytes, dialect: Dialect) -> None:
    found = decide(field(6, context), dialect)
    assert replace(found, trace=None) == decide(b"", dialect)
    assert found.trace == (None if context == b"\xff" else context)


def test_a_trace_context_of_any_size_is_not_kept() -> None:
    for context in (b"", text(1, "b" * 300)):
        assert decide(field(6, context), MICROSOFT).trace is None


def test_a_missing_version_stalls_whatever_else_there_is() -> None:
    missing = action(1, field(10, b"")) + task(2)
    decided = decide(missing + field(6, field(2, "v7")))
    assert decided == replace(decide(b""), stalled="Version not available: v7")


def test_a_missing_version_is_that_of_the_history_if_the_worker_does_not_say() -> None:
    past = steps(((STARTED,), ()), ((), ()))
    past[0].turn = h.Turn(0, (STARTED,), (), decided=h.Decided(1, 0, "v1"))
    response = pb.WorkflowResponse.FromString(action(1, field(10, b"")))
    assert decision_of(response, work(past), 0, DAPR).stalled == "Version not available: v1"


# ---- nonsense


@pytest.mark.parametrize(
    ("raw", "told"),
    [
        (action(3, b""), "action 3 asks for nothing that is known"),
        (action(3, field(8, b"")), "no entities"),
        (action(3, field(2, b"")), "action 3: the activity has no name"),
        (action(3, field(3, field(1, "c"))), "action 3: the child workflow has no name"),
        (action(3, field(11, field(1, "c"))), "action 3: the workflow has no name"),
        (action(3, field(5, field(2, "ping"))), "action 3: the instance that is told"),
        (action(3, field(7, b"")), "instance to terminate has no id"),
        (task(-1), "numbered -1; it has to be 0 to 999999"),
        (task(1_000_000), "numbered 1000000"),
        (task(3) + timer(3, time(1, 1)), "two actions numbered 3"),
        (timer(3, b""), "timer 3 without a time"),
        (timer(3, time(1, 253_402_300_800)), "253402300800 s 0 ns is no time"),
        (timer(3, time(1, -62_135_596_801)), "is no time"),
        (timer(3, time(1, 0, 1_000_000_000)), "1000000000 ns is no time"),
        (timer(3, time(1, 0, -1)), "-1 ns is no time"),
        (
            action(3, field(11, field(1, "d") + field(2, "a") + time(5, 2**62))),
            "action 3: 4611686018427387904 s",
        ),
        (action(3, field(2, field(1, "a") + field(6, 3))), "3 is no scope"),
        (action(3, field(2, field(1, "a")), field(9, b"\xff")), "a router that cannot be read"),
        (end(0), "ends with status 0"),
        (end(7), "ends with status 7"),
        (end(99), "ends with status 99"),
        (end(1) + end(1), "ends the run twice"),
        (field(6, b"\xff"), "a version that cannot be read"),
    ],
)
def test_nonsense_is_refused_and_named(raw: bytes, told: str) -> None:
    with pytest.raises(Malformed, match=told):
        decide(raw)


def test_microsofts_rewinding_is_refused() -> None:
    with pytest.raises(Malformed, match="cannot be rewound"):
        decide(action(3, b"", field(9, b"")), MICROSOFT)


@settings(max_examples=300, deadline=None, database=None)
@given(raw=st.binary(max_size=60) | messages, dialect=st.sampled_from(ANY))
@example(raw=end(2, field(5, field(17, b""))), dialect=NEUTRAL)
def test_whatever_a_worker_answers_is_a_decision_or_malformed(raw: bytes, dialect: Dialect) -> None:
    for answer in (raw, field(2, raw), field(2, field(1, 1) + raw)):
        try:
            found = decision_of(pb.WorkflowResponse.FromString(answer), WORK, 0, dialect)
        except (DecodeError, Malformed):
            continue
        # And what was decided can be told.
        list(history_events(run(steps(((), found.outgoing))), dialect))


# ---- activities


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (b"", h.TaskCompleted(5, None)),
        (field(3, b""), h.TaskCompleted(5, "")),
        (text(3, '"paid"'), h.TaskCompleted(5, '"paid"')),
        (text(3, "1") + field(4, b""), h.TaskFailed(5, h.Failure("", ""))),
        (field(4, DETAILS), h.TaskFailed(5, FAILURE)),
    ],
)
def test_an_activity_has_failed_if_it_says_why(raw: bytes, expected: h.Event) -> None:
    response = pb.ActivityResponse.FromString(field(1, "order-1") + field(2, 3) + raw)
    assert activity_outcome(response, 5) == expected


def test_no_more_causes_are_kept_than_a_failure_may_have() -> None:
    details = b""
    for depth in range(50):
        details = field(1, f"E{depth}") + (field(4, details) if details else b"")
    outcome = activity_outcome(pb.ActivityResponse.FromString(field(4, details)), 5)
    assert isinstance(outcome, h.TaskFailed)
    failure: h.Failure | None = outcome.failure
    names = []
    while failure is not None:
        names.append(failure.error_type)
        failure = failure.inner
    assert names == [f"E{depth}" for depth in range(49, 41, -1)]
