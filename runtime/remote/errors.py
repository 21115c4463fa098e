"""What can go wrong between a client and a node. A value module.

An answer that is an error becomes an `ApiError`, of the subclass that says what to do about it.
Dapr's API has one status, 500, for most refusals: there the code and the text decide.
"""

from __future__ import annotations

import os

from perdure.actors.errors import PerdureError, Refused, Retryable
from perdure.runtime.remote.status import FailureDetails, WorkflowStatus


class CannotConnect(Retryable):
    """Nobody answers at the node's URL; nothing was sent."""

    def __init__(self, url: str, reason: str) -> None:
        super().__init__(
            f"cannot reach a node at {url}: {reason}. Is it running? Start one with "
            "`perdure serve APP`, or give another URL (`--url`, PERDURE_URL)."
        )
        self.url = url
        self.reason = reason


class AnswerLost(Retryable):
    """The connection broke, or time ran out, after a request was sent: its effect is not known."""

    def __init__(self, url: str, what: str, reason: str) -> None:
        super().__init__(
            f"no answer from {url} to: {what} ({reason}). It is not known whether it was carried "
            "out; look at the instance before you repeat it."
        )
        self.url = url
        self.reason = reason


class ApiError(PerdureError):
    """The node answered with an error."""

    def __init__(self, status: int, error_code: str, message: str) -> None:
        super().__init__(f"{message} ({error_code or f'HTTP {status}'})")
        self.status = status
        self.error_code = error_code
        self.message = message


class RequestInvalid(ApiError, Refused):
    """An argument is not acceptable."""


class Unauthorized(ApiError, Refused):
    """The API token is missing or wrong."""


class WorkflowNotFound(ApiError, Refused):
    """There is no instance of this id."""


class NodeNotFound(ApiError, Refused):
    """There is no node of this id in the cluster."""


class WorkflowExists(ApiError, Refused):
    """The id is in use and cannot be started again now."""


class WorkflowNotFinished(ApiError, Refused):
    """Only a finished instance can be purged."""


class WorkflowStalled(ApiError, Refused):
    """The instance cannot go on until its code, or its data, is put right."""


class NodeBusy(ApiError, Retryable):
    """The node took no more requests (429) for as long as the client was willing to try."""


class NodeUnavailable(ApiError, Retryable):
    """The node could not work (503) for as long as the client was willing to try."""


class WorkflowFailed(PerdureError):
    """The workflow ended without a result; `failure_details` say why."""

    def __init__(self, instance_id: str, status: WorkflowStatus, failure: FailureDetails | None):
        why = "" if failure is None else f": {failure.error_type}: {failure.message}"
        super().__init__(f"workflow '{instance_id}' ended {status}{why}")
        self.instance_id = instance_id
        self.status = status
        self.failure_details = failure


class ResultNotReady(PerdureError):
    """The workflow has not ended, so that it has no result yet."""

    def __init__(self, instance_id: str, status: WorkflowStatus) -> None:
        super().__init__(
            f"workflow '{instance_id}' is {status} and has no result yet; "
            "wait for it with wait_for_workflow_completion"
        )
        self.instance_id = instance_id
        self.status = status


_BY_STATUS: dict[int, type[ApiError]] = {
    400: RequestInvalid,
    401: Unauthorized,
    429: NodeBusy,
    503: NodeUnavailable,
}
_BY_CODE: dict[str, type[ApiError]] = {
    "ERR_INSTANCE_ID_NOT_FOUND": WorkflowNotFound,
    "ERR_NODE_NOT_FOUND": NodeNotFound,
}
_BY_TEXT: tuple[tuple[str, type[ApiError]], ...] = (
    ("workflow is stalled", WorkflowStalled),
    ("no such instance exists", WorkflowNotFound),
    ("already exists", WorkflowExists),
    ("cannot recreate workflow", WorkflowExists),
    ("already awaiting an activity result", WorkflowExists),
    ("has not yet completed", WorkflowNotFinished),
)


def api_error(status: int, error_code: str, message: str) -> ApiError:
    """The error of an answer."""
    kind = _BY_STATUS.get(status) or _BY_CODE.get(error_code)
    if kind is None and error_code.startswith("ERR_"):
        kind = next((kind for text, kind in _BY_TEXT if text in message), None)
    return (kind or ApiError)(status, error_code, message)


def reason_of(error: Exception) -> str:
    """Why a connection broke, in a few words, whichever library says it."""
    cause = getattr(error, "os_error", error)
    if isinstance(cause, OSError) and cause.errno is not None and cause.errno > 0:
        return os.strerror(cause.errno).lower()
    if isinstance(cause, OSError) and cause.strerror:
        return cause.strerror.lower()  # Of a name that is not found: its numbers are its own.
    if isinstance(cause, TimeoutError):
        return "it took too long"
    return str(cause) or type(cause).__name__
