"""A worker process: registers, says READY, and works until its standard input ends.

python -m tests.sdk.programs.dapr_py.worker [RELEASE]
"""

from __future__ import annotations

import sys

from tests.sdk.programs.dapr_py import flows
from tests.sdk.programs.dapr_py.releases import RELEASES
from tests.sdk.programs.dapr_py.sdk import wf


def main(release: str = "") -> None:
    runtime = wf.WorkflowRuntime()
    (RELEASES[release] if release else flows.register)(runtime)
    runtime.start()
    print("READY", flush=True)
    sys.stdin.read()
    runtime.shutdown()


if __name__ == "__main__":
    main(*sys.argv[1:])
