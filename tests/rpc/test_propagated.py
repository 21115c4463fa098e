from __future__ import annotations

import pytest
from msgspec.structs import replace

from perdure.runtime.rpc import taskhub_pb2 as pb
from perdure.runtime.rpc.dialect import Dialect
from perdure.runtime.rpc.propagated import encode_propagated, largest_call
from perdure.runtime.rpc.work_items import encode_activity
from perdure.runtime.workflow import history as h
from perdure.runtime.workflow.codec import CorruptHistory
from perdure.runtime.workflow.messages import RunActivity
from perdure.runtime.workflow.propagation import Caller, handed_on
from perdure.runtime.workflow.workers.work import TurnDecided, TurnWork
from tests.rpc.samples import ANSWERS, FIRST, PROPAGATED, STARTED, T, steps, work, worker

CALLER = Caller("shop", "order-1", "x-1", "order")


def decided(due: TurnWork, *outgoing: h.Outgoing) -> TurnDecided:
    return TurnDecided(7, 1, due.after, due.covers, T * 1_000_000, outgoing)


def test_every_kind_of_event_of_a_caller_can_be_read_from_its_bytes() -> None:
    past = [step.turn for step in steps(((STARTED,), FIRST), (ANSWERS, ()))]
    told = pb.PropagatedHistory.FromString(encode_propagated(handed_on(CALLER, past, 1)))
    (chunk,) = told.chunks
    assert (chunk.appId, chunk.instanceId, chunk.workflowName) == ("shop", "order-1", "order")
    kinds = [pb.HistoryEvent.FromString(raw).WhichOneof("eventType") for raw in chunk.rawEvents]
    assert kinds == [
        *("workflowStarted", "executionStarted", "taskScheduled", "timerCreated"),
        *("childWorkflowInstanceCreated", "detachedWorkflowInstanceCreated", "eventSent"),
        *("taskScheduled", "workflowStarted", "taskCompleted", "taskFailed"),
        *("childWorkflowInstanceFailed", "eventRaised", "executionSuspended"),
        "executionResumed",
    ]


def test_bytes_that_are_no_history_are_refused() -> None:
    with pytest.raises(CorruptHistory):
        encode_propagated(b"\x08\x02")


@pytest.mark.parametrize("propagation", [1, 2])
def test_what_an_activity_is_to_take_is_known_before_it_is_asked_for(propagation: int) -> None:
    """Otherwise a run could ask for what no worker can be sent."""
    past = steps(((replace(STARTED, propagated=PROPAGATED),), FIRST))
    due = work(past, propagated=PROPAGATED)
    call = h.TaskScheduled(7, "audit", "x" * 100, "e-7", propagation=propagation)
    small = h.TaskScheduled(8, "audit", None, "e-8", propagation=1)
    found = largest_call(due, decided(due, small, call))
    assert found is not None
    assert found[:2] == ("audit", 7)
    turns = [past[0].turn, h.Turn(0, due.incoming, (small, call), decided=h.Decided(2, 0))]
    message = RunActivity(
        *("order-1", 7, 1, 7, "audit", "x" * 100, "e-7"),
        propagated=handed_on(CALLER, turns, propagation),
    )
    size = len(encode_activity(message, "t", worker(Dialect.DAPR)))
    assert found[2] == pytest.approx(size, rel=0.1)


def test_without_history_a_call_takes_its_name_and_its_input() -> None:
    due = work(steps(((STARTED,), FIRST)))
    small, large = [h.TaskScheduled(n, "audit", "é" * n, f"e-{n}") for n in (7, 8)]
    assert largest_call(due, decided(due, large, small)) == ("audit", 8, 5 + 16)


def test_a_decision_without_calls_is_not_measured() -> None:
    due = work(steps(((STARTED,), FIRST)))
    assert largest_call(due, decided(due, h.TimerCreated(7, 1))) is None
