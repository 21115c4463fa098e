"""How the worker and driver programs of each SDK are started against a server."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass

from tests.sdk.environments import (
    DAPR_1_17,
    DAPR_1_18,
    DAPR_1_19,
    DAPR_JS,
    DURABLETASK,
    Sdk,
    node_project,
    python_of,
)
from tests.sdk.processes import Place, Ports, Program
from tests.support.source import ROOT

PROGRAMS = "tests.sdk.programs"
TIMEOUT_SECONDS = "15"
"""Of any one call of Dapr's SDKs that names none, so that a server that hangs is seen."""


@dataclass(frozen=True)
class Programs:
    """The two programs of one SDK."""

    worker: Callable[[Place, Ports, str], Program]
    driver: Callable[[Place, Ports, tuple[str, ...]], Program]

    def work(self, place: Place, ports: Ports, release: str = "") -> Program:
        """A worker, from its READY line on."""
        return place.ready(self.worker(place, ports, release))

    def drive(self, place: Place, ports: Ports, *names: str) -> Program:
        return self.driver(place, ports, names)


def _dapr_environment(ports: Ports) -> dict[str, str]:
    return {
        "DAPR_RUNTIME_HOST": "127.0.0.1",
        "DAPR_GRPC_PORT": str(ports.grpc),
        "DAPR_HTTP_PORT": str(ports.http),
        "DAPR_API_TIMEOUT_SECONDS": TIMEOUT_SECONDS,
    }


def dapr_python(sdk: Sdk) -> Programs:
    def worker(place: Place, ports: Ports, release: str) -> Program:
        command = [str(python_of(sdk)), "-m", f"{PROGRAMS}.dapr_py.worker"]
        name = f"worker {release}".strip()
        return place.run(name, [*command, *filter(None, [release])], _dapr_environment(ports))

    def driver(place: Place, ports: Ports, names: tuple[str, ...]) -> Program:
        command = [str(python_of(sdk)), "-m", f"{PROGRAMS}.dapr_py.driver"]
        return place.run("driver", [*command, *names], _dapr_environment(ports))

    return Programs(worker, driver)


def durabletask_python() -> Programs:
    def worker(place: Place, ports: Ports, _release: str) -> Program:
        command = [str(python_of(DURABLETASK)), "-m", f"{PROGRAMS}.durabletask_py.worker"]
        return place.run("worker", [*command, f"127.0.0.1:{ports.grpc}"], {})

    def driver(place: Place, ports: Ports, names: tuple[str, ...]) -> Program:
        command = [str(python_of(DURABLETASK)), "-m", f"{PROGRAMS}.durabletask_py.driver"]
        return place.run("driver", [*command, f"127.0.0.1:{ports.grpc}", *names], {})

    return Programs(worker, driver)


def dapr_js() -> Programs:
    def run(name: str, place: Place, ports: Ports, names: tuple[str, ...]) -> Program:
        node, project = node_project(DAPR_JS)
        script = str(ROOT / "tests" / "sdk" / "programs" / "js" / f"{name}.js")
        environment = {**_dapr_environment(ports), "SDK_PROJECT": str(project)}
        return place.run(name, [node, script, *names], environment)

    return Programs(
        lambda place, ports, _release: run("worker", place, ports, ()),
        lambda place, ports, names: run("driver", place, ports, names),
    )


def in_process() -> Programs:
    """The same programs over `perdure.dapr`: runtime and node are in the driver's process."""

    def driver(place: Place, ports: Ports, names: tuple[str, ...]) -> Program:
        command = [sys.executable, "-m", f"{PROGRAMS}.dapr_py.driver", "--with-worker"]
        environment = {
            "SDK_MODULE": "perdure.dapr",
            "PERDURE_STORE": "in-process.db",
            "PERDURE_PORT": str(ports.http),
            "PERDURE_DURABILITY": "normal",
        }
        return place.run("driver", [*command, *names], environment)

    def worker(place: Place, ports: Ports, release: str) -> Program:
        raise AssertionError("the driver is the worker")

    return Programs(worker, driver)


PYTHON_1_19 = dapr_python(DAPR_1_19)
PYTHON_1_18 = dapr_python(DAPR_1_18)
PYTHON_1_17 = dapr_python(DAPR_1_17)
MICROSOFT = durabletask_python()
JAVASCRIPT = dapr_js()
IN_PROCESS = in_process()
