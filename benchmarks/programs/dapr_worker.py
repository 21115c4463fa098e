"""The workflows that are measured, by Dapr's SDK: dapr_worker.py PORT. An edge module."""

import sys

from dapr.ext.workflow import WorkflowRuntime, when_all

from benchmarks.programs.answering import answer_questions
from benchmarks.programs.flows import remote_step, workflows


def main(port: str) -> None:
    runtime = WorkflowRuntime(host="127.0.0.1", port=port)
    for workflow in workflows(when_all):
        runtime.register_workflow(workflow)
    runtime.register_activity(remote_step)
    runtime.start()
    answer_questions()
    runtime.shutdown()


if __name__ == "__main__":
    main(sys.argv[1])
