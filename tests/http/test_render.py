"""Instances and histories as documents."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from perdure.runtime.api import render
from perdure.runtime.workflow import history as h
from perdure.runtime.workflow.history import Status
from tests.support.http_service import BORN_US, FakeView, FakeWorkflows

AT = "2026-08-01T10:00:00Z"
NEVER = 253_402_300_799_999_999


@pytest.mark.parametrize(
    ("us", "shown"),
    [
        (0, "1970-01-01T00:00:00Z"),
        (1, "1970-01-01T00:00:00.000001Z"),
        (1_000, "1970-01-01T00:00:00.001Z"),
        (1_100_000, "1970-01-01T00:00:01.100Z"),
        (1_000_010, "1970-01-01T00:00:01.000010Z"),
        (BORN_US, AT),
        (-1, "1969-12-31T23:59:59.999999Z"),
        (NEVER, "9999-12-31T23:59:59.999999Z"),
        (NEVER + 1, "9999-12-31T23:59:59.999999Z"),
    ],
)
def test_a_timestamp_has_as_many_digits_as_it_needs(us: int, shown: str) -> None:
    assert render.timestamp(us) == shown


def rendered(*turns: h.Turn, version: str | None = None) -> list[dict[str, Any]]:
    row = FakeWorkflows().new_row("w1", Status.RUNNING)
    row = msgspec.structs.replace(row, version=version)
    events: list[dict[str, Any]] = json.loads(msgspec.json.encode(list(render.events(row, turns))))
    return events


FAILURE = h.Failure("OSError", "gone", "line 1", h.Failure("KeyError", "x"), non_retryable=True)
FAILURE_SHOWN = {
    "errorType": "OSError",
    "errorMessage": "gone",
    "stackTrace": "line 1",
    "innerFailure": {"errorType": "KeyError", "errorMessage": "x"},
    "isNonRetriable": True,
}


@pytest.mark.parametrize(
    ("event", "shown"),
    [
        (
            h.ExecutionStarted("order", "1", "v2", h.Parent(1, "w0", 1, 4), BORN_US + 500_000),
            {
                "name": "order",
                "input": "1",
                "version": "v2",
                "parentInstance": {"instanceID": "w0", "taskScheduledId": 4},
                "scheduledStartTimestamp": "2026-08-01T10:00:00.500Z",
            },
        ),
        (
            h.ExecutionStarted("order", parent=h.Parent(1, "w0", 1, 4, "shop")),
            {
                "name": "order",
                "parentInstance": {"instanceID": "w0", "taskScheduledId": 4, "appId": "shop"},
            },
        ),
        (h.TaskCompleted(3, "null"), {"taskScheduledId": 3, "result": "null"}),
        (h.TaskCompleted(0, None), {"taskScheduledId": 0}),
        (h.TaskFailed(3, FAILURE), {"taskScheduledId": 3, "failureDetails": FAILURE_SHOWN}),
        (h.TimerFired(3), {"timerId": 3}),
        (h.ChildWorkflowInstanceCompleted(3, "1"), {"taskScheduledId": 3, "result": "1"}),
        (
            h.ChildWorkflowInstanceFailed(3, FAILURE),
            {"taskScheduledId": 3, "failureDetails": FAILURE_SHOWN},
        ),
        (h.ChildWorkflowInstanceFailed(3, None), {"taskScheduledId": 3}),
        (h.EventRaised("paid", "5", "r1"), {"name": "paid", "input": "5"}),
        (h.ExecutionSuspended("why"), {"reason": "why"}),
        (h.ExecutionResumed(), {}),
        (h.ExecutionTerminated('"out"', False), {"result": '"out"', "recurse": False}),
    ],
)
def test_an_incoming_event_has_daprs_name_and_no_id(
    event: h.Incoming, shown: dict[str, Any]
) -> None:
    *_, last = rendered(h.Turn(BORN_US, (event,)))
    kind = type(event).__name__
    assert last == {"eventId": -1, "timestamp": AT, "type": kind, **shown}


@pytest.mark.parametrize(
    ("event", "event_id", "shown"),
    [
        (
            h.TaskScheduled(0, "charge", "1", "x-1", source="app.py:7"),
            0,
            {"name": "charge", "input": "1", "taskExecutionId": "x-1", "source": "app.py:7"},
        ),
        (
            h.TimerCreated(1, NEVER, "createTimer"),
            1,
            {"fireAt": "9999-12-31T23:59:59.999999Z", "origin": "createTimer"},
        ),
        (
            h.ChildWorkflowInstanceCreated(2, "w1:0002", "pack", None),
            2,
            {"instanceID": "w1:0002", "name": "pack"},
        ),
        (
            h.DetachedWorkflowInstanceCreated(3, "w9", "pack", "1", BORN_US),
            3,
            {"instanceID": "w9", "name": "pack", "input": "1", "scheduledStartTimestamp": AT},
        ),
        (
            h.TaskScheduled(7, "charge", None, "x-3", propagation=1, rerun_of="w0"),
            7,
            {
                "name": "charge",
                "taskExecutionId": "x-3",
                "rerunParentInstanceInfo": {"instanceID": "w0"},
                "historyPropagationScope": "OWN_HISTORY",
            },
        ),
        (
            h.TimerCreated(8, BORN_US, rerun_of="w0"),
            8,
            {"fireAt": AT, "rerunParentInstanceInfo": {"instanceID": "w0"}},
        ),
        (
            h.ChildWorkflowInstanceCreated(9, "w2", "pack", None, propagation=2, rerun_of="w0"),
            9,
            {
                "instanceID": "w2",
                "name": "pack",
                "rerunParentInstanceInfo": {"instanceID": "w0"},
                "historyPropagationScope": "LINEAGE",
            },
        ),
        (
            h.TaskScheduled(4, "charge", None, "x-2", app_id="bank"),
            4,
            {"name": "charge", "taskExecutionId": "x-2", "appId": "bank"},
        ),
        (
            h.ChildWorkflowInstanceCreated(5, "w2", "pack", None, app_id="bank"),
            5,
            {"instanceID": "w2", "name": "pack", "appId": "bank"},
        ),
        (
            h.DetachedWorkflowInstanceCreated(6, "w3", "pack", None, app_id="bank"),
            6,
            {"instanceID": "w3", "name": "pack", "appId": "bank"},
        ),
        (
            h.ExecutionCompleted(Status.FAILED, None, FAILURE),
            -1,
            {"runtimeStatus": "FAILED", "failureDetails": FAILURE_SHOWN},
        ),
        (
            h.ExecutionCompleted(Status.COMPLETED, "1"),
            -1,
            {"runtimeStatus": "COMPLETED", "result": "1"},
        ),
    ],
)
def test_an_event_that_makes_a_task_has_its_number(
    event: h.Outgoing, event_id: int, shown: dict[str, Any]
) -> None:
    *_, last = rendered(h.Turn(BORN_US, (), (event,)))
    kind = type(event).__name__
    assert last == {"eventId": event_id, "timestamp": AT, "type": kind, **shown}


def test_each_turn_is_opened_and_keeps_its_order() -> None:
    events = rendered(
        h.Turn(
            BORN_US,
            (h.ExecutionStarted("order"), h.EventRaised("a", None, "r")),
            (h.TimerCreated(0, BORN_US + 2_000_000),),
            patches=("new-tax",),
        ),
        h.Turn(BORN_US + 2_000_000, (h.TimerFired(0),)),
        version="v2",
    )
    assert [event["type"] for event in events] == [
        "WorkflowStarted",
        "ExecutionStarted",
        "EventRaised",
        "TimerCreated",
        "WorkflowStarted",
        "TimerFired",
    ]
    assert (events[0]["version"], events[0]["patches"]) == ("v2", ["new-tax"])
    assert "patches" not in events[4]
    assert events[5]["fireAt"] == events[3]["fireAt"] == "2026-08-01T10:00:02Z"


def test_a_custom_status_is_shown_as_it_was_set() -> None:
    row = FakeWorkflows().new_row("w1", Status.RUNNING)
    row = msgspec.structs.replace(row, custom_status='{"step":2}')
    shown = render.workflow(FakeView(row, None)).properties
    assert shown == {"dapr.workflow.custom_status": '{"step":2}'}


@pytest.mark.parametrize("status", [Status.PENDING, Status.RUNNING, Status.SUSPENDED])
def test_what_waits_for_a_worker_says_so(status: Status) -> None:
    row = FakeWorkflows().new_row("w1", status)
    view = FakeView(row, None, waiting="no worker")
    assert render.workflow(view).properties["perdure.waiting.reason"] == "no worker"
    assert render.awaited_workflow(view).properties["perdure.waiting.reason"] == "no worker"


@pytest.mark.parametrize("status", [s for s in Status if s is not Status.STALLED])
def test_every_status_has_its_own_name(status: Status) -> None:
    row = FakeWorkflows().new_row("w1", status)
    assert render.workflow(FakeView(row, None)).runtime_status == status.name
    assert render.listed(row).runtime_status == status.name
