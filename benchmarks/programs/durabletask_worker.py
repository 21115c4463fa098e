"""The same workflows by Microsoft's SDK: durabletask_worker.py PORT. An edge module."""

import sys
from collections.abc import Generator
from typing import Any

from durabletask.task import when_all
from durabletask.worker import TaskHubGrpcWorker

from benchmarks.programs.answering import answer_questions

Steps = Generator[Any, Any, Any]


def remote_step(_ctx: Any, number: int) -> int:
    return number + 1


def remote_noop(ctx: Any, number: int) -> Steps:
    """One activity that does next to nothing."""
    result = yield ctx.call_activity(remote_step, input=number)
    return result


def remote_chain(ctx: Any, length: int) -> Steps:
    """Steps one after the other."""
    done = 0
    while done < length:
        done = yield ctx.call_activity(remote_step, input=done)
    return done


def remote_fan_out(ctx: Any, width: int) -> Steps:
    """Steps side by side."""
    results = yield when_all(
        [ctx.call_activity(remote_step, input=number) for number in range(width)]
    )
    return sum(results)


def main(port: str) -> None:
    with TaskHubGrpcWorker(host_address=f"127.0.0.1:{port}") as worker:
        for workflow in (remote_noop, remote_chain, remote_fan_out):
            worker.add_orchestrator(workflow)
        worker.add_activity(remote_step)
        worker.start()
        answer_questions()


if __name__ == "__main__":
    main(sys.argv[1])
