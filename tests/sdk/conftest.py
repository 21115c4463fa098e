"""A place for real processes: one per test, or one per module for its scenarios."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.sdk.processes import Place, Ports, free_ports
from tests.sdk.sdks import Programs

Results = dict[str, dict[str, Any]]


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    place = Place(tmp_path)
    yield place
    place.close()


@pytest.fixture
def ports() -> Ports:
    return free_ports()


@pytest.fixture(scope="module")
def results(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Results]:
    """What all scenarios of the module's SDK got from one server, with one worker."""
    programs: Programs = request.module.PROGRAMS
    place, ports = Place(tmp_path_factory.mktemp("sdk")), free_ports()
    try:
        yield run_all(place, ports, programs)
    finally:
        place.close()


def run_all(place: Place, ports: Ports, programs: Programs) -> Results:
    server = place.serve(ports)
    worker = programs.work(place, ports)
    driver = programs.drive(place, ports, "all")
    found = place.results(driver)
    if driver.close() != 0 or not all(answer["ok"] for answer in found.values()):
        # Each test says what is missing or wrong; this says why.
        print("\n".join(place.told()))
        return found
    worker.close()
    place.ended_well(server)
    return found


def check(results: Results, scenario: str, expected: object) -> None:
    """A scenario was run, without an error, and got what is expected."""
    answer = results.get(scenario)
    assert answer is not None, f"the driver ended, or hung, before {scenario}"
    assert answer["ok"], answer["error"]
    assert answer.get("unsupported") is None, answer["unsupported"]
    assert answer["got"] == expected
