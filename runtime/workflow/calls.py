"""Operations that a workflow waits for, from the asking to the answer. A value module.

Each kind knows how to ask (the event that it adds to the turn) and what to do with the answer,
retries included: a retry is a durable timer and then the same question under a new task id.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from perdure.runtime.workflow import history as h
from perdure.runtime.workflow.failure import activity_failed, child_failed
from perdure.runtime.workflow.retry import RetryPolicy, next_delay_us
from perdure.runtime.workflow.task import Task, settle


class Asking(Protocol):
    """What a call needs of the execution that it belongs to."""

    instance_id: str

    @property
    def now_us(self) -> int: ...

    def next_task_id(self) -> int: ...

    def ask(self, task_id: int, command: h.Outgoing, call: Call) -> None: ...

    def start_retry(self, fire_at_us: int, origin: str, call: RetryCall) -> None: ...


class Call(Protocol):
    """Waits for the answer to what was asked under a task id."""

    def answer(self, event: Any) -> None: ...


class Repeated(Protocol):
    """A call that is to be made once more."""

    def ask(self) -> None: ...

    def adopt_timer(self, asked: h.TimerCreated) -> None:
        """Its history has the timer of its next try so."""
        ...


class TimerCall:
    """Calls back when the timer has fired."""

    __slots__ = ("_fire",)

    def __init__(self, fire: Callable[[], None]) -> None:
        self._fire = fire

    def answer(self, event: h.TimerFired) -> None:
        self._fire()


class RetryCall:
    """Has a call made once more when the timer has fired."""

    __slots__ = ("_call",)

    def __init__(self, call: Repeated) -> None:
        self._call = call

    def answer(self, event: h.TimerFired | None = None) -> None:
        self._call.ask()

    def adopt(self, asked: h.Outgoing) -> None:
        assert isinstance(asked, h.TimerCreated)
        self._call.adopt_timer(asked)


class _Tries:
    """The tries of one call: what it was when it began, and whether it is to be made again."""

    __slots__ = ("_asking", "_failures", "_first_try_us", "_policy", "_result_hint", "task")

    def __init__(
        self, asking: Asking, task: Task[Any], result_hint: Any, policy: RetryPolicy | None
    ) -> None:
        self._asking = asking
        self.task = task
        self._result_hint = result_hint
        self._policy = policy
        self._failures = 0
        self._first_try_us = asking.now_us

    def ask(self) -> None:
        """Make it, for the first time or once more."""
        raise NotImplementedError

    def adopt_timer(self, asked: h.TimerCreated) -> None:
        """Nothing that the next try has is in its timer."""

    def _is_to_be_repeated(self, failure: h.Failure | None, origin: str) -> bool:
        """Count a failure, and start the timer of the next try if there is to be one."""
        self._failures += 1
        if self._policy is None or failure is None:
            return False
        now_us = self._asking.now_us
        delay_us = next_delay_us(self._policy, self._failures, self._first_try_us, now_us, failure)
        if delay_us is None:
            return False
        self._asking.start_retry(now_us + delay_us, origin, RetryCall(self))
        return True


class ActivityCall(_Tries):
    """One call of an activity, over all its tries."""

    __slots__ = (
        "_app_id",
        "_execution_id",
        "_input",
        "_name",
        "_propagation",
        "_source",
        "_timeout_ms",
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
        app_id: str | None = None,
        propagation: int = 0,
    ) -> None:
        super().__init__(asking, task, result_hint, policy)
        self._app_id = app_id
        self._propagation = propagation
        self._name = name
        self._input = input
        self._timeout_ms = timeout_ms
        self._execution_id = execution_id
        self._source = source

    def ask(self) -> None:
        if self.task.done():  # Cancelled while the retry was waited for.
            return
        task_id = self._asking.next_task_id()
        command = h.TaskScheduled(
            task_id,
            self._name,
            self._input,
            self._execution_id,
            self._timeout_ms,
            self._source,
            self._app_id,
            propagation=self._propagation,
        )
        self._asking.ask(task_id, command, self)

    def adopt(self, asked: h.Outgoing) -> None:
        """Its history has it so: with another input perhaps, for all tries to come."""
        assert isinstance(asked, h.TaskScheduled)
        self._input = asked.input
        self._execution_id = asked.execution_id

    def adopt_timer(self, asked: h.TimerCreated) -> None:
        """Run again from there, all tries to come have a key of their own."""
        self._execution_id = asked.origin.removeprefix(h.ACTIVITY_RETRY)

    def answer(self, event: h.TaskCompleted | h.TaskFailed) -> None:
        if self.task.done():
            return
        if isinstance(event, h.TaskCompleted):
            settle(self.task, event.result, self._result_hint, f"result of '{self._name}'")
            return
        origin = f"{h.ACTIVITY_RETRY}{self._execution_id}"
        if not self._is_to_be_repeated(event.failure, origin):
            instance_id = self._asking.instance_id
            self.task.set_exception(activity_failed(instance_id, event.task_id, event.failure))


class ChildCall(_Tries):
    """One call of a child workflow, over all its tries. Each try is an instance of its own."""

    __slots__ = (
        "_chosen_id",
        "_first_id",
        "_input",
        "_name",
        "_propagation",
        "_source",
        "app_id",
        "instance_id",
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
        app_id: str | None = None,
        propagation: int = 0,
    ) -> None:
        super().__init__(asking, task, result_hint, policy)
        self.app_id = app_id
        """The child's app, if it is another one."""
        self._propagation = propagation
        self._name = name
        self._input = input
        self._chosen_id = instance_id
        self._source = source
        self._first_id = ""
        self.instance_id = ""

    def ask(self) -> None:
        if self.task.done():
            return
        task_id = self._asking.next_task_id()
        self.instance_id = self._chosen_id or f"{self._asking.instance_id}:{task_id:04x}"
        self._first_id = self._first_id or self.instance_id
        command = h.ChildWorkflowInstanceCreated(
            task_id,
            self.instance_id,
            self._name,
            self._input,
            self._source,
            self.app_id,
            propagation=self._propagation,
        )
        self._asking.ask(task_id, command, self)

    def adopt(self, asked: h.Outgoing) -> None:
        """Its history has it so, under another id: it is that child that answers."""
        assert isinstance(asked, h.ChildWorkflowInstanceCreated)
        self._input = asked.input
        self.instance_id = asked.instance_id

    def answer(
        self, event: h.ChildWorkflowInstanceCompleted | h.ChildWorkflowInstanceFailed
    ) -> None:
        if self.task.done():
            return
        if isinstance(event, h.ChildWorkflowInstanceCompleted):
            settle(self.task, event.result, self._result_hint, f"result of '{self._name}'")
            return
        origin = f"childWorkflowRetry:{self._first_id}"
        if not self._is_to_be_repeated(event.failure, origin):
            instance_id = self._asking.instance_id
            self.task.set_exception(child_failed(instance_id, event.task_id, event.failure))
