"""The tables from an error to the status that a gRPC client is told. A value module.

`task_hub` speaks for `TaskHubSidecarService`: the engine's own texts, under the codes that daprd
gives them. A plain error of daprd is UNKNOWN to its clients, who look at the text; so it is here.
`dapr` speaks for Dapr's runtime service: the table of the HTTP API, with the same texts.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from grpc import StatusCode

from perdure.actors.errors import Fault, Refused, Retryable
from perdure.runtime.api.errors import UNEXPECTED, UNTYPED, refusal_of
from perdure.runtime.api.operations import Operation
from perdure.runtime.workflow.errors import (
    ChildNotFinished,
    InstanceCreatedBefore,
    InstanceExists,
    InstanceNotFound,
    InstanceNotUnique,
    InstanceStalled,
    InvalidRequest,
    NoSuchApp,
    NotCompleted,
    NothingToRerun,
    NotRerunnable,
)
from perdure.runtime.workflow.payload import PayloadError

DETAILS_BYTES_MAX = 2048
"""More than this and HTTP/2 might lose the whole answer: the text travels in a header."""

STOPPING = "this node is shutting down and takes no more requests"

_OF_HTTP = {
    400: StatusCode.INVALID_ARGUMENT,
    404: StatusCode.NOT_FOUND,
    429: StatusCode.UNAVAILABLE,
    500: StatusCode.INTERNAL,
    503: StatusCode.UNAVAILABLE,
}


@dataclass(frozen=True, slots=True)
class RpcStatus:
    """How a call ends that does not end well."""

    code: StatusCode
    details: str
    retry_after: float | None = None
    """In so many seconds the same call may be made again."""
    is_unexpected: bool = False
    """A person should look."""


class RpcRefused(Refused):
    """A request that is refused for what it is as a gRPC request."""

    def __init__(self, code: StatusCode, details: str) -> None:
        super().__init__(details)
        self.status = RpcStatus(code, shortened(details))


def task_hub(error: Exception) -> RpcStatus:
    """What a client of the task hub is told about `error`.

    Whatever may be tried again is UNAVAILABLE, which Dapr's SDKs do try again. RESOURCE_EXHAUSTED
    they do not: a worker that gets it for an answer gives up the task.
    """
    match error:
        case RpcRefused():
            return error.status
        case InvalidRequest() | PayloadError() | NotRerunnable():
            return _status(StatusCode.INVALID_ARGUMENT, error)
        case InstanceExists() | InstanceNotUnique() | InstanceCreatedBefore() | ChildNotFinished():
            return _status(StatusCode.ALREADY_EXISTS, error)
        case NoSuchApp() | NothingToRerun():
            return _status(StatusCode.NOT_FOUND, error)
        case Retryable():
            return _status(StatusCode.UNAVAILABLE, error, error.retry_after)
        case Refused():
            return _status(StatusCode.UNKNOWN, error)
        case Fault():
            return RpcStatus(StatusCode.INTERNAL, shortened(str(error)), is_unexpected=True)
    return RpcStatus(StatusCode.INTERNAL, UNEXPECTED, is_unexpected=True)


def of_start(error: Exception) -> RpcStatus:
    """The same for a start, to which a stalled instance is one that has its id."""
    if isinstance(error, InstanceStalled):
        return _status(StatusCode.ALREADY_EXISTS, error)
    return task_hub(error)


def of_instance(error: Exception, instance_id: str) -> RpcStatus:
    """The same for the methods whose clients look at the code: history and restart."""
    match error:
        case InstanceNotFound():
            text = f"workflow instance '{instance_id}' not found"
            return RpcStatus(StatusCode.NOT_FOUND, shortened(text))
        case NotCompleted():
            return _status(StatusCode.FAILED_PRECONDITION, error)
    return task_hub(error)


def dapr(error: Exception, operation: Operation, path: Mapping[str, str]) -> RpcStatus:
    """What a client of Dapr's service is told; `path` holds what HTTP has in its path."""
    if isinstance(error, RpcRefused):
        return error.status
    refusal = refusal_of(error, operation, path)
    return RpcStatus(
        _OF_HTTP[refusal.status],
        shortened(refusal.message),
        error.retry_after if isinstance(error, Retryable) else None,
        is_unexpected=refusal.code == UNTYPED or isinstance(error, Fault),
    )


def shortened(text: str) -> str:
    """As much of a text as fits into an answer's header."""
    encoded = text.encode(errors="replace")
    if len(encoded) <= DETAILS_BYTES_MAX:
        return encoded.decode()
    return encoded[:DETAILS_BYTES_MAX].decode(errors="ignore") + "…"


def _status(code: StatusCode, error: Exception, retry_after: float | None = None) -> RpcStatus:
    return RpcStatus(code, shortened(str(error)), retry_after)
