"""How workers say that they have no code of a name. A value module.

Each SDK fails what it is given then, in words of its own, before any code of the user's has run.
A failure is taken for that only if type, text and name all are the SDK's.
To know one more SDK, add its row.
"""

from __future__ import annotations

from typing import NamedTuple

from perdure.runtime.rpc import taskhub_pb2 as pb
from perdure.runtime.workflow import history as h
from perdure.runtime.workflow.workers.work import TurnDecided

_PYTHON_WORKFLOW = "A '{name}' orchestrator was not registered."
_PYTHON_ACTIVITY = "Activity function named '{name}' was not registered!"
_JAVA = "java.lang.IllegalStateException"


class Wording(NamedTuple):
    error_type: str | None
    """None: whatever it is."""
    text: str
    """With {name} where the name stands."""


WORKFLOWS = (
    # Dapr's Python SDK 1.17 to 1.19, and durabletask 1.12.
    Wording("OrchestratorNotRegisteredError", _PYTHON_WORKFLOW),
    Wording("durabletask.worker.OrchestratorNotRegisteredError", _PYTHON_WORKFLOW),
    # @dapr/dapr 3.18.
    Wording("OrchestratorNotRegisteredError", "Orchestrator '{name}' does not exist."),
    # .NET, Java and Go, read in the sources of their SDKs and not tried. Dapr's Java worker says
    # nothing that could be told from an error of the user's.
    Wording("OrchestratorTaskNotFound", "No orchestrator task named '{name}' was found."),
    Wording(
        _JAVA,
        "No orchestration factory registered for orchestration type '{name}'. This usually means "
        "that a worker that doesn't support this orchestration type is connected to this task hub. "
        "Make sure the worker has a registered orchestration for '{name}'.",
    ),
    # The type of such an error differs by the release of Go.
    Wording(None, "orchestrator named '{name}' is not registered"),
    Wording(None, "workflow named '{name}' is not registered"),
)
ACTIVITIES = (
    Wording("ActivityNotRegisteredError", _PYTHON_ACTIVITY),
    Wording("durabletask.worker.ActivityNotRegisteredError", _PYTHON_ACTIVITY),
    Wording("ActivityNotRegisteredError", "Activity function '{name}' is not registered."),
    Wording("ActivityTaskNotFound", "No activity task named '{name}' was found."),
    Wording(_JAVA, "No activity task named '{name}' is registered."),
    Wording("TaskActivityNotRegistered", "no task activity named '{name}' was registered"),
)


def lacks_workflow(name: str, answer: pb.WorkflowResponse, decided: TurnDecided) -> bool:
    """Whether a decision says that its worker has no workflow of this name, and nothing else."""
    if len(answer.actions) != 1 or len(decided.outgoing) != 1:
        return False
    (end,) = decided.outgoing
    if not isinstance(end, h.ExecutionCompleted) or end.failure is None:
        return False
    return _says(WORKFLOWS, name, end.failure)


def lacks_activity(name: str, outcome: h.TaskCompleted | h.TaskFailed) -> bool:
    """Whether an answer says that its worker has no activity of this name."""
    return isinstance(outcome, h.TaskFailed) and _says(ACTIVITIES, name, outcome.failure)


def _says(wordings: tuple[Wording, ...], name: str, failure: h.Failure) -> bool:
    if failure.inner is not None:
        return False
    return any(
        wording.error_type in (None, failure.error_type)
        and wording.text.replace("{name}", name) == failure.message
        for wording in wordings
    )
