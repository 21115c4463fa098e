"""Operations that a workflow waits for, from the asking to the answer. A value module.

Each kind knows how to ask (the event that it adds to the turn) and what to do with the answer,
retries included: a retry is a durable timer and then the same question under a new task id.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from perdure.runtime.workflow import history as h
from perdure.runtime.workflow import payload
from perdure.runtime.workflow.failure import activity_failed, child_failed
from perdure.runtime.workflow.retry import RetryPolicy, next_delay_us
from perdure.runtime.workflow.task import Task


class Asking(Protocol):
    """What a call needs of the execution that it belongs to."""

    instance_id: str

    @property
    def now_us(self) -> int: ...

    def next_task_id(self) -> int: ...

    def ask(self, task_id: int, command: h.Outgoing, call: Call) -> None: ...

    def start_retry(self, fire_at_us: int, origin: str, retry: Callable[[], None]) -> None: ...


class Call(Protocol):
    """Waits for the answer to what was asked under a task id."""

    def answer(self, event: Any) -> None: ...


class TimerCall:
    """Calls back when the timer has fired."""

    __slots__ = ("_fire",)

    def __init__(self, fire: Callable[[], None]) -> None:
        self._fire = fire

    def answer(self, event: h.TimerFired) -> None:
        self._fire()


class ActivityCall:
    """One call of an activity, over all its tries."""

    __slots__ = (
        "_asking",
        "_execution_id",
        "_failures",
        "_first_try_us",
        "_input",
        "_name",
        "_policy",
        "_result_hint",
        "_source",
        "_timeout_ms",
        "task",
    )

    def __init__(
        self,
        asking: Asking,
        task: Task[Any],
        *,
        name: str,
        input: str | None,
        result_hint: Any,
        policy: RetryPolicy | None,
        timeout_ms: int | None,
        execution_id: str,
        source: str,
    ) -> None:
        self._asking = asking
        self.task = task
        self._name = name
        self._input = input
        self._result_hint = result_hint
        self._policy = policy
        self._timeout_ms = timeout_ms
        self._execution_id = execution_id
        self._source = source
        self._failures = 0
        self._first_try_us = asking.now_us

    def ask(self) -> None:
        if self.task.done():  # Cancelled while the retry was waited for.
            return
        task_id = self._asking.next_task_id()
        command = h.TaskScheduled(
            task_id, self._name, self._input, self._execution_id, self._timeout_ms, self._source
        )
        self._asking.ask(task_id, command, self)

    def answer(self, event: h.TaskCompleted | h.TaskFailed) -> None:
        if self.task.done():
            return
        if isinstance(event, h.TaskCompleted):
            _settle(self.task, event.result, self._result_hint, f"result of '{self._name}'")
            return
        self._failures += 1
        now_us = self._asking.now_us
        if self._policy is not None:
            delay_us = next_delay_us(
                self._policy, self._failures, self._first_try_us, now_us, event.failure
            )
            if delay_us is not None:
                origin = f"activityRetry:{self._execution_id}"
                self._asking.start_retry(now_us + delay_us, origin, self.ask)
                return
        self.task.set_exception(
            activity_failed(self._asking.instance_id, event.task_id, event.failure)
        )


class ChildCall:
    """One call of a child workflow, over all its tries. Each try is an instance of its own."""

    __slots__ = (
        "_asking",
        "_chosen_id",
        "_failures",
        "_first_id",
        "_first_try_us",
        "_input",
        "_name",
        "_policy",
        "_result_hint",
        "_source",
        "instance_id",
        "task",
    )

    def __init__(
        self,
        asking: Asking,
        task: Task[Any],
        *,
        name: str,
        input: str | None,
        instance_id: str | None,
        result_hint: Any,
        policy: RetryPolicy | None,
        source: str,
    ) -> None:
        self._asking = asking
        self.task = task
        self._name = name
        self._input = input
        self._chosen_id = instance_id
        self._result_hint = result_hint
        self._policy = policy
        self._source = source
        self._failures = 0
        self._first_try_us = asking.now_us
        self._first_id = ""
        self.instance_id = ""

    def ask(self) -> None:
        if self.task.done():
            return
        task_id = self._asking.next_task_id()
        self.instance_id = self._chosen_id or f"{self._asking.instance_id}:{task_id:04x}"
        self._first_id = self._first_id or self.instance_id
        command = h.ChildWorkflowInstanceCreated(
            task_id, self.instance_id, self._name, self._input, self._source
        )
        self._asking.ask(task_id, command, self)

    def answer(
        self, event: h.ChildWorkflowInstanceCompleted | h.ChildWorkflowInstanceFailed
    ) -> None:
        if self.task.done():
            return
        if isinstance(event, h.ChildWorkflowInstanceCompleted):
            _settle(self.task, event.result, self._result_hint, f"result of '{self._name}'")
            return
        self._failures += 1
        now_us = self._asking.now_us
        if self._policy is not None and event.failure is not None:
            delay_us = next_delay_us(
                self._policy, self._failures, self._first_try_us, now_us, event.failure
            )
            if delay_us is not None:
                origin = f"childWorkflowRetry:{self._first_id}"
                self._asking.start_retry(now_us + delay_us, origin, self.ask)
                return
        self.task.set_exception(
            child_failed(self._asking.instance_id, event.task_id, event.failure)
        )


def _settle(task: Task[Any], text: str | None, hint: Any, what: str) -> None:
    try:
        value = payload.decode(text, hint, what)
    except payload.PayloadError as error:
        task.set_exception(error)
    else:
        task.set_result(value)
