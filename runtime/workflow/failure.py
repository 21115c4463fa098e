"""Exceptions to stored failures and back, and the engine's own failures. A value module.

`error_type` is the name of the exception's class and `stack_trace` the frames of the user's code,
as Dapr's Python SDK stores them. Every text is bounded: a failure is part of the history for ever.
"""

from __future__ import annotations

import os
import traceback
from typing import TypeAlias

from perdure.runtime.workflow.history import Failure
from perdure.runtime.workflow.payload import PayloadError

FailureDetails: TypeAlias = Failure
"""What a failed task tells: `message`, `error_type`, `stack_trace` and `inner`."""

DEPTH_MAX = 8
MESSAGE_CHARS_MAX = 8_192
STACK_CHARS_MAX = 16_384
_FRAMES_MAX = 50
_OWN_FRAMES = os.path.abspath(os.path.join(__file__, "..", "..", "..")) + os.sep


class TaskFailedError(Exception):
    """Raised in a workflow whose activity or child workflow has failed; `details` says how."""

    def __init__(self, message: str, details: FailureDetails) -> None:
        super().__init__(message, details)
        self.details = details

    def __str__(self) -> str:
        return str(self.args[0])


class NonRetryableError(Exception):
    """Raise it in an activity or a child workflow to fail the call whatever its retry policy."""


def failure_of(error: BaseException, *, with_stack: bool = True) -> Failure:
    """The failure to store for `error`, with its causes."""
    return _failure_of(error, with_stack, DEPTH_MAX)


def _failure_of(error: BaseException, with_stack: bool, depth: int) -> Failure:
    return Failure(
        error_type=type(error).__name__,
        message=_bounded(_text_of(error), MESSAGE_CHARS_MAX),
        stack_trace=_stack_of(error) if with_stack else None,
        inner=_inner_of(error, with_stack, depth - 1) if depth > 1 else None,
        # A payload that does not fit is as unfit at the next try.
        non_retryable=isinstance(error, (NonRetryableError, PayloadError)),
    )


def _inner_of(error: BaseException, with_stack: bool, depth: int) -> Failure | None:
    if error.__cause__ is not None:
        return _failure_of(error.__cause__, with_stack, depth)
    if isinstance(error, TaskFailedError):
        return _cut(error.details, depth)
    if isinstance(error, BaseExceptionGroup):
        # The message of a group does not say what failed; its first member stands for all.
        return _failure_of(error.exceptions[0], with_stack, depth)
    return None


def _cut(failure: Failure, depth: int) -> Failure:
    """`failure` without the causes below `depth`, so that chains of workflows stay bounded."""
    inner = None
    if failure.inner is not None and depth > 1:
        inner = _cut(failure.inner, depth - 1)
    return Failure(
        failure.error_type, failure.message, failure.stack_trace, inner, failure.non_retryable
    )


def _text_of(error: BaseException) -> str:
    # By way of `traceback`, which copes with exceptions whose own `__str__` raises.
    return str(traceback.TracebackException(type(error), error, None, limit=0))


def _stack_of(error: BaseException) -> str | None:
    frames = traceback.extract_tb(error.__traceback__)
    theirs = [frame for frame in frames if not frame.filename.startswith(_OWN_FRAMES)]
    if not theirs:
        return None
    return _bounded("".join(traceback.format_list(theirs[-_FRAMES_MAX:])), STACK_CHARS_MAX)


def _bounded(text: str, chars_max: int) -> str:
    """`text` as it can be stored: valid Unicode, and not longer than `chars_max`."""
    # The end of a text is kept too: it often names the cause.
    if len(text) > chars_max:
        head, tail = chars_max * 3 // 4, chars_max // 8
        cut = len(text) - head - tail
        text = f"{text[:head]} … {cut} characters left out … {text[-tail:]}"
    return text.encode("utf-8", "backslashreplace").decode()


def activity_failed(instance_id: str, task_id: int, failure: Failure) -> TaskFailedError:
    """What the code that awaits a failed activity gets."""
    return TaskFailedError(
        f"{instance_id}: Activity task #{task_id} failed: {failure.message}", failure
    )


def child_failed(instance_id: str, task_id: int, failure: Failure | None) -> TaskFailedError:
    """What the code that awaits a failed child workflow gets; no failure: it was terminated."""
    details = failure or Failure("", "the child workflow was terminated")
    return TaskFailedError(
        f"{instance_id}: Child workflow task #{task_id} failed: {details.message}", details
    )


def activity_not_registered(name: str) -> Failure:
    """Not marked as final: a retry may reach a node that knows the activity."""
    return Failure("TaskActivityNotRegistered", f"no task activity named '{name}' was registered")


def workflow_not_registered(name: str) -> Failure:
    """In the words of Dapr's Python SDK, whose callers may look for them."""
    return Failure("OrchestratorNotRegisteredError", f"A '{name}' orchestrator was not registered.")


def instance_already_exists(refusal: Exception) -> Failure:
    """The id of a child is taken by an instance that this call did not create."""
    return Failure("WorkflowInstanceAlreadyExists", str(refusal))


def activity_timed_out(name: str, timeout_ms: int) -> Failure:
    return Failure(
        "TaskActivityTimeout",
        f"activity '{name}' did not finish within its timeout of {timeout_ms / 1000:g} s",
    )
