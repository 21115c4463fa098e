"""What the scenarios have to get, whichever SDK of Dapr's for Python runs them.

Payloads are the JSON text of the SDK, untouched by the server.
"""

from __future__ import annotations

NOBODY = "no such instance exists"
BUSY = "orchestration has not yet completed"
TAKEN = "already exists"
LONG_ID = "x" * 200

PAUSE: dict[str, list[str | None]] = {
    "PENDING": [None, "PENDING"],  # It says so until it has begun.
    "RUNNING": [None, "SUSPENDED"],
    "SUSPENDED": [None, "SUSPENDED"],
    "COMPLETED": [None, "COMPLETED"],
    "FAILED": [None, "FAILED"],
    "TERMINATED": [None, "TERMINATED"],
    "UNKNOWN": [NOBODY, "UNKNOWN"],
}
RESUME: dict[str, list[str | None]] = {
    **PAUSE,
    "RUNNING": [None, "RUNNING"],
    "SUSPENDED": [None, "RUNNING"],
}
TERMINATE: dict[str, list[str | None]] = {
    **PAUSE,
    "PENDING": [None, "TERMINATED"],
    "RUNNING": [None, "TERMINATED"],
    "SUSPENDED": [None, "TERMINATED"],
}
PURGE: dict[str, list[str | None]] = {
    "PENDING": [NOBODY, "PENDING"],  # Dapr has no history of it yet, and takes that for nothing.
    "RUNNING": [BUSY, "RUNNING"],
    "SUSPENDED": [BUSY, "SUSPENDED"],
    "COMPLETED": [None, "UNKNOWN"],
    "FAILED": [None, "UNKNOWN"],
    "TERMINATED": [None, "UNKNOWN"],
    "UNKNOWN": [NOBODY, "UNKNOWN"],
}
RAISE: dict[str, list[str | None]] = {**PAUSE, "RUNNING": [None, "COMPLETED"]}
AGAIN: dict[str, list[str | None]] = {
    "PENDING": [TAKEN, "PENDING"],
    "RUNNING": [TAKEN, "RUNNING"],
    "SUSPENDED": [TAKEN, "SUSPENDED"],
    "COMPLETED": [None, "RUNNING"],
    "FAILED": [None, "RUNNING"],
    "TERMINATED": [None, "RUNNING"],
    "UNKNOWN": [None, "RUNNING"],
}
BY_HAND = '{"by": "hand"}'

HISTORY_OF_THREE_STEPS = [
    *("WORKFLOW_STARTED", "EXECUTION_STARTED", "TASK_SCHEDULED"),
    *("WORKFLOW_STARTED", "TASK_COMPLETED", "TASK_SCHEDULED"),
    *("WORKFLOW_STARTED", "TASK_COMPLETED", "TASK_SCHEDULED"),
    *("WORKFLOW_STARTED", "TASK_COMPLETED", "EXECUTION_COMPLETED"),
]

EVERYWHERE: dict[str, object] = {
    "chaining": ["COMPLETED", "[2, 3, 4]"],
    "fan_out_100": ["COMPLETED", "338350"],
    "children_three_deep": [
        "COMPLETED",
        '["children", "children:0001", "children:0001:0001"]',
        ["COMPLETED", "COMPLETED", "COMPLETED"],
    ],
    "identity": ["COMPLETED", '["identity", 1]'],
    "timer": ["COMPLETED", "true"],
    "timer_in_the_past": ["COMPLETED", '"at once"'],
    "retries": ["COMPLETED", "[true, true]"],
    "retries_exhausted": ["COMPLETED", '["TaskFailedError", "ValueError", "try 3"]'],
    "retries_of_a_child": ["COMPLETED", '"the-child"', "COMPLETED"],
    "continue_as_new_30_times": ["COMPLETED", "31"],
    "failure_of_an_activity": [
        *("FAILED", "TaskFailedError"),
        *("fails-activity: Activity task #1 failed: boom", True),
    ],
    "failure_of_an_activity_caught": ["COMPLETED", '["TaskFailedError", "ValueError", "boom"]'],
    "failure_of_a_workflow": ["FAILED", "KeyError", "'wrong'", True],
    "failure_of_a_child_caught": ["COMPLETED", '["TaskFailedError", "KeyError", "\'wrong\'"]'],
    "unregistered_activity": [
        *("FAILED", "TaskFailedError"),
        "no-activity: Activity task #1 failed: Activity function named 'nobody' was not "
        "registered!",
        True,
    ],
    "unregistered_workflow": [
        *("FAILED", "OrchestratorNotRegisteredError"),
        *("A 'nobody' orchestrator was not registered.", True),
    ],
    "long_payload": ["COMPLETED", 6 * (2**20 // 6) + 2, True],
    "strange_ids": {
        "a|b@c:d": ["COMPLETED", '["a|b@c:d", "a|b@c:d:0001"]', "UNKNOWN"],
        "with space/and%2Fslash?#": [
            *("COMPLETED", '["with space/and%2Fslash?#", "with space/and%2Fslash?#:0001"]'),
            "UNKNOWN",
        ],
        "größe-日本": [
            "COMPLETED",
            r'["gr\u00f6\u00dfe-\u65e5\u672c", "gr\u00f6\u00dfe-\u65e5\u672c:0001"]',
            "UNKNOWN",
        ],
        "-": ["COMPLETED", '["-", "-:0001"]', "UNKNOWN"],
        LONG_ID: ["COMPLETED", f'["{LONG_ID}", "{LONG_ID}:0001"]', "UNKNOWN"],
    },
    "delayed_start": ["PENDING", "COMPLETED", '["delayed"]', True],
    "asyncio_client": ["COMPLETED", "[2, 3, 4]", None],
    "events_before_the_wait": ["COMPLETED", '["a", "b", "c"]'],
    "events_for_two_waiters": ["COMPLETED", '["a", "b"]'],
    "events_in_any_case": ["COMPLETED", r'{"a": [1, null, "\u00fc"]}'],
    "events_without_data": ["COMPLETED", None],
    "timer_before_the_event": ["COMPLETED", '"timer"'],
    "event_before_the_timer": ["SUSPENDED", "COMPLETED", '["held"]'],
    "continue_as_new_keeps_events": ["COMPLETED", "496"],
    "continue_as_new_with_kept_events": ["COMPLETED", '"old"'],
    "continue_as_new_without_kept_events": ["COMPLETED", '"new"'],
    "custom_status": ["half", "done", None, None],
    "pause": PAUSE,
    "resume": RESUME,
    "terminate": [TERMINATE, [BY_HAND, BY_HAND, BY_HAND, '"well"', '"first"']],
    "purge": PURGE,
    "raise_event": [RAISE, ["COMPLETED", '"late"']],
    "schedule_again": AGAIN,
    "pause_twice_and_resume_twice": ["COMPLETED", '"well"'],
    "waits_with_a_timeout": ["RUNNING", "Timed-out waiting for the orchestration to complete"],
    "terminate_and_purge_with_children": ["UNKNOWN", "UNKNOWN", "UNKNOWN"],
    "terminate_and_purge_without_children": [
        ["TERMINATED", "RUNNING", "RUNNING"],
        ["UNKNOWN", "RUNNING", "RUNNING"],
    ],
}

OVER_GRPC: dict[str, object] = {
    "too_long_an_input": ["RESOURCE_EXHAUSTED", "UNKNOWN"],
    "status_codes": {
        "pause": "UNKNOWN",
        "resume": "UNKNOWN",
        "terminate": "UNKNOWN",
        "raise": "UNKNOWN",
        "purge": "UNKNOWN",
        "purge running": "UNKNOWN",
        "schedule running": "ALREADY_EXISTS",
    },
}

SINCE_1_18: dict[str, object] = {
    "chaining_async": ["COMPLETED", "4"],
    "events_within_their_time": ["COMPLETED", '["in time", 1]'],
    "events_after_their_time": ["COMPLETED", '["after the timeout", 2]'],
    "history_passed_on": [
        "COMPLETED",
        '[[["propagation:0002", "hear_history"]], '
        '[["propagation", "pass_history"], ["propagation:0002", "hear_history"]], null]',
    ],
    "results_of_a_caller": [
        "COMPLETED",
        '["LINEAGE", 1, [["1", "2", true, false], ["5", "6", true, false]], '
        '["\\"no\\"", null, false, true, true], ["[1, 2, 3]", true, false], '
        '[true, false, false], "not found", 3]',
    ],
    "history_over_continue_as_new": [
        "COMPLETED",
        '[["handed-down", "hand_down"], ["handed-down:0001", "again_and_again"]]',
    ],
}

OVER_GRPC_SINCE_1_18: dict[str, object] = {
    "too_long_a_result": ["COMPLETED", '["TaskFailedError", "RuntimeError"]'],
}

SINCE_1_19: dict[str, object] = {
    "rerun_from_an_activity": [
        ["rerun-same", "COMPLETED", "[2, 3, 4]"],
        ["rerun-other", "COMPLETED", "[2, 11, 12]"],
        [True, "COMPLETED", "[2, 3, 4]"],
    ],
    "history": [HISTORY_OF_THREE_STEPS, [1, 2, 3], "not found"],
    "list_ids": {
        "all pages but the last are full": True,
        "each once": True,
        "all of mine": True,
        "the same in one go": True,
    },
}

OVER_GRPC_SINCE_1_19: dict[str, object] = {
    "history_of_an_unknown_instance": "NOT_FOUND",
    "rerun_refusals": {
        "unknown": ["NOT_FOUND", "does not exist with ID"],
        "running": ["INVALID_ARGUMENT", "is not in a terminal state"],
        "no such event": ["NOT_FOUND", "does not have history event"],
        "id is taken": ["ALREADY_EXISTS", "has already been created"],
        "child": [
            "INVALID_ARGUMENT",
            "'rerun-parent:0001': cannot rerun from child-workflows",
        ],
    },
}

UNTIL_1_17: dict[str, object] = {
    "dapr_client": ["old", "RUNNING", "SUSPENDED", "RUNNING", "COMPLETED", "TERMINATED"]
}
