"""Runs scenarios through the SDK's own client.

python -m tests.sdk.programs.dapr_py.driver [--with-worker] all | NAME… | -
"""

from __future__ import annotations

import sys

from tests.sdk.programs.dapr_py import apps, flows, inspecting, life_cycle, running, waiting
from tests.sdk.programs.dapr_py.scenario import SCENARIOS
from tests.sdk.programs.dapr_py.sdk import wf

MODULES = (running, waiting, life_cycle, inspecting, apps)
"""Imported for the scenarios that they add."""


def main(*names: str) -> None:
    """`--with-worker` runs the workflows in this process too."""
    runtime = None
    if names[0] == "--with-worker":
        names = names[1:]
        runtime = wf.WorkflowRuntime()
        flows.register(runtime)
        runtime.start()
    client = wf.DaprWorkflowClient()
    SCENARIOS.run(names, client)
    client.close()
    if runtime is not None:
        runtime.shutdown()


if __name__ == "__main__":
    main(*sys.argv[1:])
