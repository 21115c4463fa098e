"""Workers of several SDKs in one app, with different workflows and activities, unmodified.

None of Dapr's workers says what it has. Each is asked for anything until it has said what it lacks.
"""

from __future__ import annotations

import json

import pytest

from tests.sdk.processes import Place, Ports
from tests.sdk.sdks import JAVASCRIPT, MICROSOFT, PYTHON_1_17, PYTHON_1_18, PYTHON_1_19, Programs

COUNT = 12
OTHERS = [
    pytest.param(PYTHON_1_18, id="1.18", marks=pytest.mark.xdist_group("dapr-1.18")),
    pytest.param(PYTHON_1_17, id="1.17", marks=pytest.mark.xdist_group("dapr-1.17")),
    pytest.param(JAVASCRIPT, id="js", marks=pytest.mark.xdist_group("dapr-js-3.18")),
    pytest.param(MICROSOFT, id="durabletask", marks=pytest.mark.xdist_group("durabletask-1.12")),
]


@pytest.mark.parametrize("others", OTHERS)
def test_each_worker_gets_what_it_has(others: Programs, place: Place, ports: Ports) -> None:
    server = place.serve(ports)
    driver = PYTHON_1_19.drive(place, ports, "-")
    workers = [PYTHON_1_19.work(place, ports, "sells"), others.work(place, ports, "counts")]
    place.until_said(server, "a worker has connected", times=2)
    activity = "addOne" if others is JAVASCRIPT else "add_one"
    found = place.ask(driver, "sell", activity, COUNT)
    assert found == [
        ["COMPLETED", json.dumps([10 * number + more for more in (2, 3, 4)])]
        for number in range(COUNT)
    ]
    # What none of them has fails, in the words of one of them.
    failed = place.ask(driver, "unregistered_workflow")
    assert failed[1].endswith("OrchestratorNotRegisteredError")
    [[status, _]] = place.ask(driver, "sell", "nobody", 1)
    assert status == "FAILED"
    for worker in workers:
        worker.close()
    place.ended_well(server)
