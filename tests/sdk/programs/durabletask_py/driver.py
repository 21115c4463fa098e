"""Runs scenarios through the SDK's own client.

python -m tests.sdk.programs.durabletask_py.driver HOST:PORT all | NAME… | -
"""

from __future__ import annotations

import sys

from durabletask import client

from tests.sdk.programs.durabletask_py import life_cycle, running, steps
from tests.sdk.programs.durabletask_py.scenario import SCENARIOS

MODULES = (running, life_cycle, steps)
"""Imported for the scenarios that they add."""


def main(address: str, *names: str) -> None:
    with client.TaskHubGrpcClient(host_address=address) as hub:
        SCENARIOS.run(names, hub)


if __name__ == "__main__":
    main(*sys.argv[1:])
