"""`perdure workflow history`: a history as a table for people."""

from __future__ import annotations

import json

from tests.cli.conftest import Perdure, Scripted


def test_a_history_is_a_table_of_events(node: Scripted, perdure: Perdure) -> None:
    events = [
        {"eventId": -1, "timestamp": "2026-08-01T10:00:00Z", "type": "ExecutionStarted"},
        {"eventId": 0, "timestamp": "2026-08-01T10:00:00Z", "type": "TaskScheduled", "name": "pay"},
    ]
    for _ in range(2):
        node.answers(200, {"instanceID": "o1", "events": events})
    lines = perdure("workflow", "history", "o1").stdout.splitlines()
    assert lines[2].split()[-3:] == ["0", "TaskScheduled", "name=pay"]
    document = json.loads(perdure("workflow", "history", "o1", "-o", "json").stdout)
    assert document["events"] == events


def test_the_turns_of_a_history_are_numbered_and_their_marks_shown_only_if_they_tell_more(
    node: Scripted, perdure: Perdure
) -> None:
    told = [
        {"type": "WorkflowStarted"},
        {"type": "ExecutionStarted", "name": "sell"},
        {"type": "TaskScheduled", "name": "pay"},
        {"type": "WorkflowStarted", "version": "v2"},
        {"type": "TaskCompleted"},
        {"type": "WorkflowStarted"},
    ]
    rest = {"eventId": -1, "timestamp": "2026-08-01T10:00:00.25Z"}
    node.answers(200, {"instanceID": "o1", "events": [rest | event for event in told]})
    lines = perdure("workflow", "history", "o1").stdout.splitlines()
    assert ".250" in lines[1]
    assert [(line[:4].strip(), line.split()[-1]) for line in lines[1:]] == [
        ("1", "name=sell"),
        ("", "name=pay"),
        ("2", "version=v2"),
        ("", "TaskCompleted"),
        ("3", "WorkflowStarted"),
    ]


def test_a_long_value_of_an_event_leaves_the_others_to_be_seen(
    node: Scripted, perdure: Perdure
) -> None:
    event = {"eventId": 1, "timestamp": "2026-08-01T10:00:00Z", "type": "TaskScheduled"}
    values = {"input": "x" * 100, "taskExecutionId": "e-1"}
    node.answers(200, {"instanceID": "o1", "events": [event | values]})
    line = perdure("workflow", "history", "o1").stdout.splitlines()[1]
    assert line.endswith(f"input={'x' * 59}… taskExecutionId=e-1")
