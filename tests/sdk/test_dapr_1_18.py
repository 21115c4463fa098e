"""The real Dapr SDK for Python, release 1.18, in two packages."""

from __future__ import annotations

import pytest

from tests.sdk import expected as e
from tests.sdk.conftest import Results, check
from tests.sdk.sdks import PYTHON_1_18

pytestmark = pytest.mark.xdist_group("dapr-1.18")
PROGRAMS = PYTHON_1_18
EXPECTED: dict[str, object] = {
    **e.EVERYWHERE,
    **e.OVER_GRPC,
    **e.SINCE_1_18,
    **e.OVER_GRPC_SINCE_1_18,
}


@pytest.mark.parametrize("scenario", EXPECTED)
def test_a_scenario_of_real_workers_and_clients(scenario: str, results: Results) -> None:
    check(results, scenario, EXPECTED[scenario])


def test_every_scenario_is_expected_or_has_no_words_in_this_sdk(results: Results) -> None:
    run = {name for name, answer in results.items() if "unsupported" not in answer}
    assert run == set(EXPECTED)
