"""The same workflows by Microsoft's SDK: durabletask_worker.py PORT. An edge module."""

import sys

from durabletask.task import when_all
from durabletask.worker import TaskHubGrpcWorker

from benchmarks.programs.answering import answer_questions
from benchmarks.programs.flows import remote_step, workflows


def main(port: str) -> None:
    with TaskHubGrpcWorker(host_address=f"127.0.0.1:{port}") as worker:
        for workflow in workflows(when_all):
            worker.add_orchestrator(workflow)
        worker.add_activity(remote_step)
        worker.start()
        answer_questions()


if __name__ == "__main__":
    main(sys.argv[1])
