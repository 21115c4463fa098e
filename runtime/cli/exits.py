"""The exit codes of the command line, and what it says about which error. A value module."""

from __future__ import annotations

from enum import IntEnum

from perdure.actors.errors import PerdureError, Retryable, StoreDamaged
from perdure.runtime.remote.errors import (
    NodeNotFound,
    Unauthorized,
    WorkflowExists,
    WorkflowNotFinished,
    WorkflowNotFound,
    WorkflowStalled,
)


class ExitCode(IntEnum):
    OK = 0
    FAILED = 1
    USAGE = 2
    NOT_FOUND = 3
    REFUSED = 4
    UNREACHABLE = 5
    TIMEOUT = 6
    STORE_DAMAGED = 70
    INTERRUPTED = 130


EPILOG = """\b
Exit codes:
  0    done
  1    the workflow failed or was terminated (run --wait, wait); the app or node failed (serve)
  2    wrong usage, setting or APP
  3    no such workflow instance, or node
  4    refused by the node; or (serve) the database cannot be used, a node of this id runs on it,
       or its nodes have another cluster secret
  5    the node cannot be reached, or cannot work at present; try again
  6    the workflow has not ended within --timeout
  70   the database is damaged, or of a newer release
  130  interrupted (143: by SIGTERM)
"""


def code_of(error: PerdureError) -> ExitCode:
    """The exit code for an error that the user can do something about."""
    match error:
        case WorkflowNotFound() | NodeNotFound():
            return ExitCode.NOT_FOUND
        case StoreDamaged():
            return ExitCode.STORE_DAMAGED
        case Retryable():
            return ExitCode.UNREACHABLE
        case _:
            return ExitCode.REFUSED


_NEXT_STEPS: dict[type[PerdureError], str] = {
    NodeNotFound: "`perdure cluster status` shows the nodes that there are.",
    WorkflowNotFound: "`perdure workflow list` shows the instances that there are.",
    WorkflowExists: "Choose another --id, or leave it out.",
    WorkflowNotFinished: "Terminate it first: `perdure workflow terminate ID`.",
    WorkflowStalled: (
        "It goes on once its code fits again; to give it up: `perdure workflow purge ID --force`."
    ),
    Unauthorized: "Put the node's API token into PERDURE_API_TOKEN, or use --api-token-file.",
}


def message_of(error: PerdureError) -> str:
    """The error's text, and what to do next where the node's own text does not say it."""
    step = _NEXT_STEPS.get(type(error))
    return f"{error}\n{step}" if step else str(error)
