"""The real Dapr SDK for JavaScript, whose worker takes ten things at a time and sends no tokens.

Its JSON text has no spaces, and it cannot tell the children of a terminated workflow.
"""

from __future__ import annotations

import pytest

from tests.sdk import expected as e
from tests.sdk.conftest import Results, check
from tests.sdk.sdks import JAVASCRIPT

pytestmark = pytest.mark.xdist_group("dapr-js-3.18")
PROGRAMS = JAVASCRIPT

SAME = (
    *("fan_out_100", "timer", "timer_before_the_event", "continue_as_new_30_times"),
    *("continue_as_new_keeps_events", "continue_as_new_with_kept_events"),
    *("continue_as_new_without_kept_events", "custom_status", "raise_event", "resume"),
    *("pause_twice_and_resume_twice", "schedule_again"),
)
STRANGE_IDS = ("a|b@c:d", "with space/and%2Fslash?#", "größe-日本", e.LONG_ID)
BY_HAND = '{"by":"hand"}'
PURGED = {"COMPLETED": True, "FAILED": True, "TERMINATED": True}

EXPECTED: dict[str, object] = {
    **{scenario: e.EVERYWHERE[scenario] for scenario in SAME},
    "chaining": ["COMPLETED", "[2,3,4]"],
    "many_at_once": ["COMPLETED [2,3,4]"],
    "children_three_deep": [
        "COMPLETED",
        '["children","children:0001","children:0001:0001"]',
    ],
    "identity": ["COMPLETED", '["identity",1]'],
    "result_of_nothing": ["COMPLETED", '"undefined"'],
    "failure_of_an_activity": [
        *("FAILED", "TaskFailedError"),
        *("fails-activity: Activity task #1 failed: boom", True),
    ],
    "failure_of_an_activity_caught": ["COMPLETED", '["TaskFailedError","RangeError","boom"]'],
    "failure_of_a_workflow": ["FAILED", "TypeError", "wrong", True],
    "failure_of_a_child_caught": ["COMPLETED", '["TaskFailedError","TypeError","wrong"]'],
    "unregistered_activity": [
        *("FAILED", "TaskFailedError"),
        "no-activity: Activity task #1 failed: Activity function 'nobody' is not registered.",
        True,
    ],
    "unregistered_workflow": [
        *("FAILED", "OrchestratorNotRegisteredError"),
        *("Orchestrator 'nobody' does not exist.", True),
    ],
    "long_payload": ["COMPLETED", 2**20 + 2, True],
    "strange_ids": {
        instance_id: ["COMPLETED", f'["{instance_id}","{instance_id}:0001"]', True, "UNKNOWN"]
        for instance_id in STRANGE_IDS
    },
    "delayed_start": ["PENDING", "COMPLETED", '["delayed"]', True],
    "events_before_the_wait": ["COMPLETED", '["a","b","c"]'],
    "events_for_two_waiters": ["COMPLETED", '["a","b"]'],
    "events_in_any_case": ["COMPLETED", '{"a":[1,null,"ü"]}'],
    "suspend": e.PAUSE,
    "terminate": [e.TERMINATE, [BY_HAND, BY_HAND, BY_HAND, '"well"', '"first"']],
    "purge": {state: [*found, PURGED.get(state)] for state, found in e.PURGE.items()},
    "waits_with_a_timeout": "TimeoutError",
}


@pytest.mark.parametrize("scenario", EXPECTED)
def test_a_scenario_of_real_workers_and_clients(scenario: str, results: Results) -> None:
    check(results, scenario, EXPECTED[scenario])


def test_every_scenario_is_expected(results: Results) -> None:
    assert set(results) == set(EXPECTED)
