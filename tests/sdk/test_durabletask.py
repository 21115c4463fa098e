"""Microsoft's durabletask, whose messages differ: the real worker and client.

Where its own backend in memory does something else than Dapr, Dapr counts.
"""

from __future__ import annotations

import pytest

from tests.sdk import expected as e
from tests.sdk.conftest import Results, check
from tests.sdk.sdks import MICROSOFT

pytestmark = pytest.mark.xdist_group("durabletask-1.12")
PROGRAMS = MICROSOFT

THREE_STEPS = ["COMPLETED", "[2, 3, 4]"]
STRANGE_IDS = ("a|b@c:d", "with space/and%2Fslash?#", "größe-日本", e.LONG_ID)
PURGED = {"COMPLETED": 1, "FAILED": 1, "TERMINATED": 1}
SAME = (
    *("fan_out_100", "identity", "timer", "timer_before_the_event", "retries"),
    *("retries_of_a_child", "continue_as_new_30_times", "events_before_the_wait"),
    *("events_for_two_waiters", "events_in_any_case", "continue_as_new_keeps_events"),
    *("continue_as_new_with_kept_events", "continue_as_new_without_kept_events"),
    *("resume", "raise_event", "pause_twice_and_resume_twice"),
)
EXPECTED: dict[str, object] = {
    **{scenario: e.EVERYWHERE[scenario] for scenario in SAME},
    "chaining": THREE_STEPS,
    "asyncio_client": THREE_STEPS,
    "children_three_deep": [
        "COMPLETED",
        '[["children", null], ["children:0001", "children"], '
        '["children:0001:0001", "children:0001"]]',
    ],
    "retries_exhausted": ["COMPLETED", '["TaskFailedError", "builtins.ValueError", "try 3"]'],
    "failure_of_an_activity": [
        *("FAILED", "durabletask.task.TaskFailedError"),
        *("fails-activity: Activity task #1 failed: boom", True),
    ],
    "failure_of_an_activity_caught": [
        "COMPLETED",
        '["TaskFailedError", "builtins.ValueError", "boom"]',
    ],
    "failure_of_a_workflow": ["FAILED", "builtins.KeyError", "'wrong'", True],
    "failure_of_a_child_caught": [
        "COMPLETED",
        '["TaskFailedError", "builtins.KeyError", "\'wrong\'"]',
    ],
    "unregistered_activity": [
        *("FAILED", "durabletask.task.TaskFailedError"),
        "no-activity: Activity task #1 failed: Activity function named 'nobody' was not "
        "registered!",
        True,
    ],
    "unregistered_workflow": [
        *("FAILED", "durabletask.worker.OrchestratorNotRegisteredError"),
        *("A 'nobody' orchestrator was not registered.", True),
    ],
    "long_payload": ["COMPLETED", 2**20 + 2, True],
    "strange_ids": {instance_id: [*THREE_STEPS, "UNKNOWN"] for instance_id in STRANGE_IDS},
    "delayed_start": ["PENDING", *THREE_STEPS, True],
    "events_to_another_instance": [
        *("COMPLETED", "2"),
        *("COMPLETED", '"from another instance"'),
    ],
    "custom_status": ['{"done": 1}', None, None],
    "version_of_an_instance": ["COMPLETED", '"1.2.3"'],
    "deterministic_ids": ["COMPLETED", "[36, true]"],
    "suspend": e.PAUSE,
    "terminate": e.TERMINATE,
    "purge": {state: [*found, PURGED.get(state)] for state, found in e.PURGE.items()},
    "schedule_again": e.AGAIN,
    "waits_with_a_timeout": "Timed-out waiting for the orchestration to complete",
    "terminate_and_purge_with_children": "UNKNOWN",
    "restart_with_a_new_id": [True, *THREE_STEPS],
    "restart_under_the_same_id": ["again", *THREE_STEPS],
    "history": [
        *("OrchestratorStartedEvent", "ExecutionStartedEvent", "TaskScheduledEvent"),
        *("OrchestratorStartedEvent", "TaskCompletedEvent", "TaskScheduledEvent") * 2,
        *("OrchestratorStartedEvent", "TaskCompletedEvent", "ExecutionCompletedEvent"),
    ],
    "history_of_an_unknown_instance": "not found",
}


@pytest.mark.parametrize("scenario", EXPECTED)
def test_a_scenario_of_real_workers_and_clients(scenario: str, results: Results) -> None:
    check(results, scenario, EXPECTED[scenario])


def test_every_scenario_is_expected(results: Results) -> None:
    assert set(results) == set(EXPECTED)
