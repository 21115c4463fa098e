"""A worker process: registers, says READY, and works until its standard input ends.

python -m tests.sdk.programs.durabletask_py.worker HOST:PORT
"""

from __future__ import annotations

import sys

from durabletask import worker

from tests.sdk.programs.durabletask_py import flows


def main(address: str) -> None:
    runtime = worker.TaskHubGrpcWorker(host_address=address)
    for orchestrator in flows.ORCHESTRATORS:
        runtime.add_orchestrator(orchestrator)
    for activity in flows.ACTIVITIES:
        runtime.add_activity(activity)
    runtime.start()
    print("READY", flush=True)
    sys.stdin.read()
    runtime.stop()


if __name__ == "__main__":
    main(*sys.argv[1:])
