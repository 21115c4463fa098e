"""Versions and patches: an instance stalls under a release that lacks what it needs, and goes on.

Each release is a worker process of its own; the one before is gone.
"""

from __future__ import annotations

from typing import Any

import pytest

from tests.sdk.processes import Place, Ports, Program
from tests.sdk.sdks import PYTHON_1_17, PYTHON_1_18, PYTHON_1_19, Programs

SDKS = [
    pytest.param(PYTHON_1_19, id="1.19", marks=pytest.mark.xdist_group("dapr-1.19")),
    pytest.param(PYTHON_1_18, id="1.18", marks=pytest.mark.xdist_group("dapr-1.18")),
    pytest.param(PYTHON_1_17, id="1.17", marks=pytest.mark.xdist_group("dapr-1.17")),
]
REFUSED = dict.fromkeys(("pause", "resume", "terminate", "raise", "purge"), "workflow is stalled")


class Releases:
    """One server, one driver, and one worker at a time."""

    def __init__(self, place: Place, ports: Ports, programs: Programs) -> None:
        self.place = place
        self._ports = ports
        self._programs = programs
        self.server = place.serve(ports)
        self._driver = programs.drive(place, ports, "-")
        self._worker: Program | None = None

    def deploy(self, release: str) -> None:
        """The old worker ends, and then the new one comes."""
        if self._worker is not None:
            self._worker.close()
        self._worker = self._programs.work(self.place, self._ports, release)

    def ask(self, name: str, *arguments: Any) -> Any:
        return self.place.ask(self._driver, name, *arguments)


@pytest.mark.parametrize("programs", SDKS)
def test_an_instance_goes_on_in_the_version_that_it_began_with(
    programs: Programs, place: Place, ports: Ports
) -> None:
    app = Releases(place, ports, programs)
    app.deploy("v1")
    assert app.ask("begin", "versioned", "old") == "RUNNING"
    app.deploy("v1+v2")
    assert app.ask("begin", "versioned", "new") == "RUNNING"
    assert app.ask("go", "old") == ["COMPLETED", '["version1", 3]']
    assert app.ask("go", "new") == ["COMPLETED", '["version2"]']
    place.ended_well(app.server)


@pytest.mark.parametrize("programs", SDKS)
def test_an_instance_whose_version_is_gone_stalls_until_it_is_back(
    programs: Programs, place: Place, ports: Ports
) -> None:
    app = Releases(place, ports, programs)
    app.deploy("v1")
    assert app.ask("begin", "versioned", "old") == "RUNNING"
    app.deploy("v2")
    assert app.ask("stall", "old") == ["STALLED", REFUSED]
    # It holds nobody up.
    assert app.ask("begin", "versioned", "new") == "RUNNING"
    assert app.ask("go", "new") == ["COMPLETED", '["version2"]']
    assert app.ask("status_of", "old") == "STALLED"
    app.deploy("v1+v2")
    assert app.ask("recover", "old") == ["COMPLETED", '["version1", 3]']


@pytest.mark.parametrize("programs", SDKS)
def test_patches_count_from_where_an_instance_was(
    programs: Programs, place: Place, ports: Ports
) -> None:
    app = Releases(place, ports, programs)
    app.deploy("unpatched")
    assert app.ask("begin", "patching", "old") == "RUNNING"
    app.deploy("patched")
    assert app.ask("begin", "patching", "new") == "RUNNING"
    assert app.ask("go", "old") == ["COMPLETED", "[false, true]"]
    assert app.ask("go", "new") == ["COMPLETED", "[true, true]"]
    place.ended_well(app.server)


@pytest.mark.parametrize("programs", SDKS)
def test_an_instance_whose_patch_is_gone_stalls_until_it_is_back(
    programs: Programs, place: Place, ports: Ports
) -> None:
    app = Releases(place, ports, programs)
    app.deploy("patched")
    assert app.ask("begin", "patching", "one") == "RUNNING"
    app.deploy("unpatched")
    assert app.ask("stall", "one") == ["STALLED", REFUSED]
    app.deploy("patched")
    assert app.ask("recover", "one") == ["COMPLETED", "[true, true]"]
