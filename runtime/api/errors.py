"""The one table from an exception to what an HTTP client is told. A value module."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import msgspec

from perdure.actors.errors import Fault, MailboxFull, Refused, Retryable
from perdure.runtime.api.answers import Error
from perdure.runtime.api.operations import Operation
from perdure.runtime.workflow.errors import InstanceNotFound, InvalidRequest

NOT_FOUND = "ERR_INSTANCE_ID_NOT_FOUND"
UNTYPED = "ERROR"
"""Dapr's code of an error that has none."""

UNEXPECTED = "unexpected error; the log of the node says more"


@dataclass(frozen=True, slots=True)
class Refusal:
    """An answer that is not a success."""

    status: int
    code: str
    message: str
    headers: Mapping[str, str] = field(default_factory=dict)

    def body(self) -> bytes:
        return msgspec.json.encode(Error(error_code=self.code, message=self.message))


class HttpRefused(Refused):
    """A request that is refused for what it is as an HTTP request."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.message)
        self.refusal = refusal


def refusal_of(error: Exception, operation: Operation, path: Mapping[str, str]) -> Refusal:
    """What the client of `operation` is told about `error`; `path` holds the path parameters."""
    match error:
        case HttpRefused():
            return error.refusal
        case InvalidRequest():
            return Refusal(400, error.code, str(error))
        case InstanceNotFound() if operation.unknown == 404:
            return unknown_instance(error.instance_id)
        case MailboxFull():
            return Refusal(429, operation.code, _text(error, operation, path), _later(error))
        case Retryable():
            return Refusal(503, operation.code, _text(error, operation, path), _later(error))
        case Refused() | Fault():
            return Refusal(500, operation.code, _text(error, operation, path))
    return Refusal(500, UNTYPED, UNEXPECTED)


def unknown_instance(instance_id: str) -> Refusal:
    return Refusal(
        404, NOT_FOUND, f"unable to find workflow with the provided instance ID: {instance_id}"
    )


def _text(error: Exception, operation: Operation, path: Mapping[str, str]) -> str:
    return operation.failure.format_map({**path, "error": error})


def _later(error: Retryable) -> Mapping[str, str]:
    return {"Retry-After": str(max(1, math.ceil(error.retry_after)))}
