"""Workers, servers and nodes that die, stop and come back under the real SDKs.

What an SDK does when its line breaks is its own affair: those faults are for all of them.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.sdk.processes import Place, Ports, free_ports
from tests.sdk.sdks import (
    JAVASCRIPT,
    MICROSOFT,
    PYTHON_1_17,
    PYTHON_1_18,
    PYTHON_1_19,
    Programs,
)

pytestmark = pytest.mark.xdist_group("sdk-faults")
ALL = {
    "dapr-1.19": PYTHON_1_19,
    "dapr-1.18": PYTHON_1_18,
    "dapr-1.17": PYTHON_1_17,
    "durabletask": MICROSOFT,
    "js": JAVASCRIPT,
}
RECONNECTING = {name: sdk for name, sdk in ALL.items() if sdk is not JAVASCRIPT}
"""JavaScript's worker gives up when its first stream ends with an error."""
EVERY_SDK = pytest.mark.parametrize("sdk", ALL.values(), ids=ALL)
PATIENCE_SECONDS = 45
"""Only a limit for what hangs: the SDK connects again after 2 to 16 seconds."""

NO_WORKER = "no connected worker runs this code; what needs it waits"
"""Said of a worker that takes its time to come back."""


class Held:
    """An activity that notes which process runs it, and is held until it may go on."""

    def __init__(self, folder: Path, name: str = "held") -> None:
        self._mark, self._until = folder / f"{name}.mark", folder / f"{name}.until"
        self.paths = {"mark": str(self._mark), "until": str(self._until)}

    def runs(self) -> list[int]:
        """The processes that have begun it, one for each time."""
        if not self._mark.exists():
            return []
        return [int(line) for line in self._mark.read_text().split()]

    def release(self) -> None:
        self._until.touch()


def eventually(place: Place, reached: Callable[[], bool], what: str) -> None:
    pause = threading.Event()
    for _ in range(int(PATIENCE_SECONDS / 0.02)):
        if reached():
            return
        pause.wait(0.02)
    place.fail(f"it has not come to pass: {what}")


def completed_by(ended: list[str]) -> int:
    """The process that has run the activity of `held`, which has ended well."""
    status, output = ended
    process, number = json.loads(output)
    assert (status, number) == ("COMPLETED", 2)
    return int(process)


@EVERY_SDK
def test_an_activity_of_a_killed_worker_runs_again_on_the_other_one(
    sdk: Programs, place: Place, ports: Ports
) -> None:
    server = place.serve(ports)
    workers = {worker.pid: worker for worker in (sdk.work(place, ports) for _ in range(2))}
    driver, held = sdk.drive(place, ports, "-"), Held(place.folder)
    place.ask(driver, "start", "held", "one", held.paths)
    eventually(place, lambda: len(held.runs()) == 1, "it runs")
    killed = held.runs()[0]
    workers.pop(killed).kill()
    eventually(place, lambda: len(held.runs()) == 2, "it runs again")
    (other,) = workers
    assert held.runs() == [killed, other]
    held.release()
    assert completed_by(place.ask(driver, "end", "one")) == other
    place.ended_well(server)


@pytest.mark.parametrize("sdk", RECONNECTING.values(), ids=RECONNECTING)
def test_workflows_survive_a_killed_server(sdk: Programs, place: Place, ports: Ports) -> None:
    server = place.serve(ports)
    worker = sdk.work(place, ports)
    driver, held = sdk.drive(place, ports, "-"), Held(place.folder)
    place.ask(driver, "start_many", "held", "one", 10, held.paths)
    place.ask(driver, "start_many", "collect", "waits", 10, 1)
    eventually(place, lambda: len(held.runs()) >= 3, "some of them run")
    server.kill()
    held.release()
    server = place.serve(ports)
    # The client's channel may still be in its back-off: it is a new program that asks.
    driver = sdk.drive(place, ports, "-")
    found = place.ask(driver, "end_many", "one", 10)
    assert {completed_by(ended) for ended in found} == {worker.pid}
    assert place.ask(driver, "status_of", "waits-0") == "RUNNING"
    place.ended_well(server, besides=NO_WORKER)


def test_an_activity_may_end_while_its_server_is_away(place: Place, ports: Ports) -> None:
    server = place.serve(ports)
    worker = PYTHON_1_19.work(place, ports)
    driver, held = PYTHON_1_19.drive(place, ports, "-"), Held(place.folder)
    place.ask(driver, "start", "held", "one", held.paths)
    eventually(place, lambda: len(held.runs()) == 1, "it runs")
    server.kill()
    server = place.serve(ports)
    # It is offered again when the worker is back; its first run may answer with an old token.
    held.release()
    driver = PYTHON_1_19.drive(place, ports, "-")
    assert place.ask(driver, "end", "one") == ["COMPLETED", f"[{worker.pid}, 2]"]
    assert set(held.runs()) == {worker.pid}
    place.ended_well(server)


@EVERY_SDK
def test_a_cluster_loses_the_node_of_one_of_two_workers(sdk: Programs, place: Place) -> None:
    nodes = [free_ports() for _ in range(3)]
    servers = [place.serve(ports, "--node-id", f"n{at}") for at, ports in enumerate(nodes)]
    first, second = (sdk.work(place, ports) for ports in nodes[:2])
    driver, held = sdk.drive(place, nodes[2], "-"), Held(place.folder)
    place.ask(driver, "start_many", "held", "one", 12, held.paths)
    eventually(place, lambda: {*held.runs()} == {first.pid, second.pid}, "both of them work")
    servers[0].kill()
    held.release()
    found = place.ask(driver, "end_many", "one", 12)
    assert {completed_by(ended) for ended in found} <= {first.pid, second.pid}
    for server in servers[1:]:
        place.ended_well(server, besides="a node is dead; its work goes on elsewhere")


def test_any_node_takes_a_client_of_workers_that_are_elsewhere(place: Place) -> None:
    nodes = [free_ports() for _ in range(2)]
    servers = [place.serve(ports, "--node-id", f"n{at}") for at, ports in enumerate(nodes)]
    PYTHON_1_19.work(place, nodes[0])
    driver = PYTHON_1_19.drive(place, nodes[1], "-")
    place.ask(driver, "start_many", "chain", "one", 20, 1)
    assert place.ask(driver, "end_many", "one", 20) == [["COMPLETED", "[2, 3, 4]"]] * 20
    place.ask(driver, "start", "nest", "parent", 3)
    children = '["parent", "parent:0001", "parent:0001:0001"]'
    assert place.ask(driver, "end", "parent") == ["COMPLETED", children]
    for server in reversed(servers):
        place.ended_well(server)


def test_what_is_started_without_a_worker_waits_for_one(place: Place, ports: Ports) -> None:
    server = place.serve(ports)
    driver = PYTHON_1_19.drive(place, ports, "-")
    place.ask(driver, "start", "chain", "one", 1)
    place.ask(driver, "start", "chain", "two", 1)
    assert place.ask(driver, "status_of", "one") == "PENDING"
    # To end it needs none.
    assert place.ask(driver, "terminate_one", "two") == "TERMINATED"
    PYTHON_1_19.work(place, ports)
    assert place.ask(driver, "end", "one") == ["COMPLETED", "[2, 3, 4]"]
    place.ended_well(server)


@pytest.mark.parametrize("killed", [False, True])
def test_the_last_worker_goes_and_another_one_comes(
    killed: bool, place: Place, ports: Ports
) -> None:
    server = place.serve(ports)
    worker = PYTHON_1_19.work(place, ports)
    driver = PYTHON_1_19.drive(place, ports, "-")
    place.ask(driver, "start_many", "wait", "one", 5, None)
    place.ask(driver, "until_status", "one-4", "RUNNING")
    if killed:
        worker.kill()
    else:
        worker.close()
    for number in range(5):
        place.ask(driver, "raise_go", f"one-{number}")
    PYTHON_1_19.work(place, ports)
    assert place.ask(driver, "end_many", "one", 5) == [["COMPLETED", '"on"']] * 5
    place.ended_well(server)


@EVERY_SDK
def test_a_worker_comes_back_to_a_server_that_was_stopped(
    sdk: Programs, place: Place, ports: Ports
) -> None:
    server = place.serve(ports)
    worker = sdk.work(place, ports)
    driver, held = sdk.drive(place, ports, "-"), Held(place.folder)
    place.ask(driver, "start", "held", "one", held.paths)
    place.ask(driver, "start", "wait", "two", None)
    eventually(place, lambda: len(held.runs()) == 1, "it runs")
    # The activity ends within the time that a node gives it, and so it need not run again.
    server.terminate()
    place.until_said(server, "stopping")
    held.release()
    place.ended_well(server, asked=True)
    server = place.serve(ports)
    driver = sdk.drive(place, ports, "-")
    assert completed_by(place.ask(driver, "end", "one")) == worker.pid
    assert held.runs() == [worker.pid]
    place.ask(driver, "raise_go", "two")
    assert place.ask(driver, "end", "two") == ["COMPLETED", '"on"']
    place.ended_well(server, besides=NO_WORKER)


def test_a_history_that_has_grown_too_large_goes_on_under_a_larger_limit(
    place: Place, ports: Ports
) -> None:
    server = place.serve(ports)
    worker = PYTHON_1_19.work(place, ports)
    driver, sizes = PYTHON_1_19.drive(place, ports, "-"), [2**20] * 6
    place.ask(driver, "start", "grow", "one", sizes)
    # A worker that keeps histories is sent what is new, however large all of it has become.
    place.ask(driver, "until_reported", "one", "grown")
    worker.close()
    PYTHON_1_19.work(place, ports)
    # The next one has to be sent all of it.
    place.ask(driver, "raise_go", "one")
    place.ask(driver, "until_status", "one", "STALLED")
    place.ask(driver, "start", "chain", "two", 1)
    assert place.ask(driver, "end", "two") == ["COMPLETED", "[2, 3, 4]"]
    place.ended_well(server, besides="increase --max-body-size and restart to resume")
    server = place.serve(ports, "--max-body-size", "16MiB")
    driver = PYTHON_1_19.drive(place, ports, "-")
    assert place.ask(driver, "end", "one") == ["COMPLETED", str(sum(sizes))]
    place.ended_well(server)
