"""What workflow code may do: the user's API and nothing else. A value module.

Names are those of Dapr's Python SDK. Every method only records a wish with the execution, which
decides nothing and waits for nothing; so a workflow can be replayed.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from random import Random
from typing import TYPE_CHECKING, Any, Protocol

from perdure.runtime.workflow import history as h
from perdure.runtime.workflow import payload
from perdure.runtime.workflow.calls import ActivityCall, ChildCall, RetryCall
from perdure.runtime.workflow.loop import current_workflow_loop
from perdure.runtime.workflow.propagated_history import PropagatedHistory
from perdure.runtime.workflow.propagation import PropagationScope, scope_of
from perdure.runtime.workflow.registry import Registry, WorkflowDefinition
from perdure.runtime.workflow.retry import RetryPolicy
from perdure.runtime.workflow.source import source_line
from perdure.runtime.workflow.targets import other_app, result_hint
from perdure.runtime.workflow.task import Task

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


class RunInfo(Protocol):
    """Which run of which instance the code belongs to."""

    @property
    def instance_id(self) -> str: ...
    @property
    def execution(self) -> int: ...
    @property
    def definition(self) -> WorkflowDefinition: ...
    @property
    def registry(self) -> Registry: ...
    @property
    def seed(self) -> str: ...
    @property
    def log(self) -> logging.Logger: ...
    @property
    def limits(self) -> payload.PayloadLimits: ...
    @property
    def app_id(self) -> str: ...


class Recorder(Protocol):
    """The execution, as far as its context knows it."""

    instance_id: str
    is_replaying: bool
    custom_status: str | None
    started: h.ExecutionStarted | None

    @property
    def run(self) -> RunInfo: ...
    @property
    def now_us(self) -> int: ...
    def next_task_id(self) -> int: ...
    def ask(self, task_id: int, command: h.Outgoing, call: Any) -> None: ...
    def new_task(self) -> Task[Any]: ...
    def derived_id(self) -> str: ...
    def start_timer(self, fire_at_us: int, fire: Callable[[], None], origin: str) -> int: ...
    def start_retry(self, fire_at_us: int, origin: str, call: RetryCall) -> None: ...
    def wait_for_event(self, name: str, hint: Any, timeout_us: int | None) -> Task[Any]: ...
    def is_patched(self, name: str) -> bool: ...
    def continue_as_new(self, text: str | None, keep_events: bool) -> None: ...


class WorkflowContext:
    """Handed to every workflow as its first argument."""

    __slots__ = ("_random", "_recorder")

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder
        self._random: Random | None = None

    # ---- who and when

    @property
    def instance_id(self) -> str:
        """The id of this instance."""
        return self._recorder.instance_id

    @property
    def workflow_name(self) -> str:
        """The name under which this workflow is registered."""
        return self._recorder.run.definition.name

    @property
    def current_utc_datetime(self) -> datetime:
        """Now, in UTC, as of the current turn; the same in every replay."""
        return _EPOCH + timedelta(microseconds=self._recorder.now_us)

    @property
    def is_replaying(self) -> bool:
        """Whether the code is being run again over what has happened before."""
        return self._recorder.is_replaying

    @property
    def logger(self) -> logging.LoggerAdapter[logging.Logger]:
        """A logger that is silent during replay and names the instance in every record."""
        run = self._recorder.run
        extra = {"instance_id": run.instance_id, "workflow": run.definition.name}
        return _ReplayAwareLogger(run.log, extra)

    @property
    def random(self) -> Random:
        """A source of randomness that gives the same numbers in every replay."""
        if self._random is None:
            self._random = Random(self._recorder.run.seed)
        return self._random

    def get_propagated_history(self) -> PropagatedHistory | None:
        """The history of its callers that came with the call; None if none did."""
        started = self._recorder.started
        return None if started is None else PropagatedHistory.of(started.propagated)

    def new_uuid(self) -> str:
        """A fresh UUID that is the same in every replay."""
        return self._recorder.derived_id()

    # ---- what to wait for

    def call_activity(
        self,
        activity: Callable[..., Any] | str,
        *,
        input: Any = None,
        retry_policy: RetryPolicy | None = None,
        timeout: timedelta | float | None = None,
        app_id: str | None = None,
        propagation: PropagationScope | None = None,
        result_type: Any = None,
    ) -> Task[Any]:
        """Schedule an activity; the task has its result, or raises `TaskFailedError`.

        It is scheduled by this call, awaited or not, and runs at least once.

        Args:
            activity: The function, or the name that it is registered under.
            input: Anything that becomes JSON.
            retry_policy: When and how often to try again; without one, the first failure counts.
            timeout: A limit for each single try, in seconds if a number.
            app_id: The app that hosts the activity, if it is another one.
            propagation: The history that it is to see; without one, it sees none.
            result_type: What the result is to become; by default what the function's hint says.
        """
        recorder = self._recorder
        app_id = other_app(app_id, recorder.run.app_id)
        name = payload.text(recorder.run.registry.name_of(activity), "name of an activity")
        known = recorder.run.registry.activity(name)
        task = recorder.new_task()
        ActivityCall(
            recorder,
            task,
            name=name,
            input=self._encoded(input, f"input of activity '{name}'"),
            result_hint=result_hint(activity, known, app_id, result_type),
            policy=retry_policy,
            timeout_ms=_limit_ms(timeout, f"timeout of activity '{name}'"),
            execution_id=recorder.derived_id(),
            source=source_line(),
            app_id=app_id,
            propagation=scope_of(propagation),
        ).ask()
        return task

    def call_child_workflow(
        self,
        workflow: Callable[..., Any] | str,
        *,
        input: Any = None,
        instance_id: str | None = None,
        retry_policy: RetryPolicy | None = None,
        app_id: str | None = None,
        propagation: PropagationScope | None = None,
        result_type: Any = None,
    ) -> Task[Any]:
        """Start another workflow; the task has its result, or raises `TaskFailedError`.

        Args:
            workflow: The function, or the name that it is registered under.
            input: Anything that becomes JSON.
            instance_id: The child's id; by default this instance's id, a colon and a number.
            retry_policy: When and how often to try again, each time as a new instance.
            app_id: The app that hosts the workflow, if it is another one.
            propagation: The history that it is to see; without one, it sees none.
            result_type: What the result is to become; by default what the function's hint says.
        """
        recorder = self._recorder
        app_id = other_app(app_id, recorder.run.app_id)
        name = payload.text(recorder.run.registry.name_of(workflow), "name of a workflow")
        known = recorder.run.registry.workflow(name)
        task = recorder.new_task()
        ChildCall(
            recorder,
            task,
            name=name,
            input=self._encoded(input, f"input of workflow '{name}'"),
            instance_id=_chosen_id(instance_id, name),
            result_hint=result_hint(workflow, known, app_id, result_type),
            policy=retry_policy,
            source=source_line(),
            app_id=app_id,
            propagation=scope_of(propagation),
        ).ask()
        return task

    def create_timer(self, fire_at: datetime | timedelta) -> Task[None]:
        """A durable timer; the task completes when it has fired, never early.

        Args:
            fire_at: A point in time (UTC if it names no zone), or how long from now.
        """
        recorder = self._recorder
        task = recorder.new_task()
        if isinstance(fire_at, timedelta):
            fire_at_us = recorder.now_us + fire_at // _MICROSECOND
        elif isinstance(fire_at, datetime):
            fire_at_us = _microseconds(fire_at)
        else:
            raise TypeError(f"create_timer takes a datetime or a timedelta, found {fire_at!r}")

        def fire() -> None:
            if not task.done():
                task.set_result(None)

        recorder.start_timer(fire_at_us, fire, "createTimer")
        return task

    def wait_for_external_event(
        self,
        name: str,
        timeout: timedelta | float | None = None,
        *,
        data_type: Any = Any,
    ) -> Task[Any]:
        """The next external event of that name; names are compared ignoring case.

        An event that came before anybody waited is kept, and the oldest one is taken first.

        Args:
            name: The event's name.
            timeout: How long to wait, in seconds if a number; then `TimeoutError` is raised. None
            or
                a negative time waits for ever; 0 takes an event only if one is there already.
            data_type: What the event's data is to become.
        """
        timeout_us = _span_us(timeout)
        if timeout_us is not None and timeout_us < 0:
            timeout_us = None
        checked = payload.text(name, "name of an event")
        return self._recorder.wait_for_event(checked, data_type, timeout_us)

    # ---- what to tell

    def set_custom_status(self, status: Any) -> None:
        """Show a text with the instance's status; anything but a string is shown as JSON."""
        what = "custom status"
        if isinstance(status, str):
            text: str | None = payload.text(status, what)
        else:
            text = payload.encode(status, what)
        payload.check_size(text, self._recorder.run.limits.custom_status_bytes_max, what)
        self._recorder.custom_status = text

    def _encoded(self, value: Any, what: str) -> str | None:
        text = payload.encode(value, what)
        payload.check_size(text, self._recorder.run.limits.payload_bytes_max, what)
        return text

    def continue_as_new(self, new_input: Any = None, *, save_events: bool = False) -> None:
        """End this run and begin again with a new input and an empty history.

        Args:
            new_input: The input of the next run.
            save_events: Keep the external events that nobody has waited for; else they are lost.
        """
        text = self._encoded(new_input, "input of continue_as_new")
        self._recorder.continue_as_new(text, save_events)

    def schedule_new_workflow(
        self,
        workflow: Callable[..., Any] | str,
        *,
        input: Any = None,
        instance_id: str | None = None,
        start_at: datetime | None = None,
        app_id: str | None = None,
    ) -> str:
        """Start a workflow that is nobody's child, and return its id without waiting for it."""
        recorder = self._recorder
        app_id = other_app(app_id, recorder.run.app_id)
        name = payload.text(recorder.run.registry.name_of(workflow), "name of a workflow")
        text = self._encoded(input, f"input of workflow '{name}'")
        chosen = _chosen_id(instance_id, name)
        task_id = recorder.next_task_id()
        chosen = chosen or f"{recorder.instance_id}-{task_id}"
        command = h.DetachedWorkflowInstanceCreated(
            task_id,
            chosen,
            name,
            text,
            None if start_at is None else _microseconds(start_at),
            source_line(),
            app_id,
        )
        recorder.ask(task_id, command, None)
        return chosen

    def is_patched(self, name: str) -> bool:
        """Whether this run takes the changed way called `name` through the code.

        True for runs that reach this call for the first time with the changed code, False while
        replaying a history that was written without it; fixed per name for the rest of the run.
        """
        return self._recorder.is_patched(payload.text(name, "name of a patch"))

    def __repr__(self) -> str:
        return f"<WorkflowContext {self.workflow_name} {self.instance_id}>"


class ReplayFilter(logging.Filter):
    """Drops what workflow code logs while it is being replayed, by whichever logger.

    Add it to a handler: `handler.addFilter(perdure.ReplayFilter())`.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        loop = current_workflow_loop()
        return loop is None or not loop.is_replaying


if TYPE_CHECKING:
    _Adapter = logging.LoggerAdapter[logging.Logger]
else:
    _Adapter = logging.LoggerAdapter


class _ReplayAwareLogger(_Adapter):
    def isEnabledFor(self, level: int) -> bool:
        loop = current_workflow_loop()
        if loop is not None and loop.is_replaying:
            return False
        return super().isEnabledFor(level)


def _microseconds(moment: datetime) -> int:
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return (moment - _EPOCH) // _MICROSECOND


def _span_us(duration: timedelta | float | None) -> int | None:
    """Microseconds; None without a limit, which an infinite number of seconds is too."""
    if duration is None or duration == float("inf"):
        return None
    if isinstance(duration, timedelta):
        return duration // _MICROSECOND
    return round(duration * 1e6)


def _limit_ms(duration: timedelta | float | None, what: str) -> int | None:
    """Milliseconds, rounded up: a limit must not become none at all."""
    microseconds = _span_us(duration)
    if microseconds is None:
        return None
    if microseconds <= 0:
        raise ValueError(f"{what} must be above 0, found {duration}")
    return -(-microseconds // 1000)


def _chosen_id(instance_id: str | None, name: str) -> str | None:
    """The id that the code gave; None if it leaves that to us."""
    if instance_id is None or instance_id == "":
        return None
    return payload.text(instance_id, f"id of workflow '{name}'")
