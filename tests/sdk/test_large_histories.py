"""Real workers that receive no more than gRPC's 4 MiB, on a node that allows for far more."""

from __future__ import annotations

import json
import threading
import urllib.request
from typing import Any

import pytest

from tests.sdk.processes import Place, Ports
from tests.sdk.sdks import PYTHON_1_17, PYTHON_1_18, PYTHON_1_19, Programs

SDKS = [
    pytest.param(PYTHON_1_18, id="1.18", marks=pytest.mark.xdist_group("dapr-1.18")),
    pytest.param(PYTHON_1_17, id="1.17", marks=pytest.mark.xdist_group("dapr-1.17")),
]
MIB = 1 << 20
PATIENCE_SECONDS = 45


class Http:
    """What clients of the node say over HTTP."""

    def __init__(self, place: Place, ports: Ports) -> None:
        self._place = place
        self._url = f"http://127.0.0.1:{ports.http}/v1.0/workflows/dapr"

    def start(self, name: str, id_: str, given: object) -> None:
        url = f"{self._url}/{name}/start?instanceID={id_}"
        asked = urllib.request.Request(url, json.dumps(given).encode(), method="POST")
        with urllib.request.urlopen(asked, timeout=PATIENCE_SECONDS) as answer:
            assert answer.status == 202

    def until(self, id_: str, status: str) -> dict[str, Any]:
        """Its properties, as soon as it has come so far."""
        pause = threading.Event()
        for _ in range(int(PATIENCE_SECONDS / 0.05)):
            with urllib.request.urlopen(f"{self._url}/{id_}", timeout=PATIENCE_SECONDS) as answer:
                state = json.load(answer)
            if state["runtimeStatus"] == status:
                properties: dict[str, Any] = state["properties"]
                return properties
            pause.wait(0.05)
        self._place.fail(f"{id_} is {state['runtimeStatus']}, not {status}")
        raise AssertionError


@pytest.mark.parametrize("programs", SDKS)
def test_a_history_beyond_4_mib_stalls_until_a_worker_of_1_19_comes(
    programs: Programs, place: Place, ports: Ports
) -> None:
    place.environment["PERDURE_PAYLOAD_BYTES_MAX"] = str(16 * MIB)
    server = place.serve(ports, "--max-body-size", "64MiB")
    old, http = programs.work(place, ports), Http(place, ports)
    http.start("pass_on", "large", "x" * (5 * MIB))
    reason = http.until("large", "UNKNOWN")["perdure.stalled.reason"]
    assert reason.startswith("Workflow payload size ")
    http.start("pass_on", "small", "x")
    http.until("small", "COMPLETED")
    PYTHON_1_19.work(place, ports)
    http.until("large", "COMPLETED")
    old.close()
    gone = [line for line in server.said() if "a worker has gone" in line]
    assert len(gone) <= 4
    place.ended_well(server, besides="large")
