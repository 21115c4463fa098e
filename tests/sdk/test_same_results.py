"""The programs for Dapr's SDK, with one import changed: in process they get the same results."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.sdk import expected as e
from tests.sdk.conftest import Results, check
from tests.sdk.processes import Place, free_ports
from tests.sdk.sdks import IN_PROCESS

pytestmark = pytest.mark.xdist_group("sdk-in-process")

OTHERWISE: dict[str, object] = {
    "unregistered_activity": [
        *("FAILED", "TaskFailedError"),
        "no-activity: Activity task #1 failed: no task activity named 'nobody' was registered",
        True,
    ],
    "unregistered_workflow": [
        *("FAILED", "OrchestratorNotRegisteredError"),
        *("A 'nobody' orchestrator was not registered.", False),
    ],
    "history": [e.HISTORY_OF_THREE_STEPS, [1, 2, 3], e.NOBODY],
}
"""Where it is the worker or the client of an SDK that has these words."""
EXPECTED = {**e.EVERYWHERE, **e.SINCE_1_18, **e.SINCE_1_19, **OTHERWISE}


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Results]:
    place = Place(tmp_path_factory.mktemp("in-process"))
    driver = IN_PROCESS.drive(place, free_ports(), "all")
    found = place.results(driver)
    if driver.close() != 0:
        print("\n".join(place.told()))
    yield found
    place.close()


@pytest.mark.parametrize("scenario", EXPECTED)
def test_a_scenario_in_process(scenario: str, results: Results) -> None:
    check(results, scenario, EXPECTED[scenario])


def test_every_scenario_that_exists_in_process_is_expected(results: Results) -> None:
    run = {name for name, answer in results.items() if "unsupported" not in answer}
    assert run == set(EXPECTED)
