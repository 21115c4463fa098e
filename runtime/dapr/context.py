"""What workflows and activities written for Dapr's SDK are handed. A value module.

Each method says the same to perdure's own context, with payloads in Dapr's form and times without a
zone, which are UTC.
"""

from __future__ import annotations

import string
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any, TypeVar
from uuid import UUID

from perdure.runtime.dapr.naming import name_for
from perdure.runtime.dapr.wire import Wire, raw, to_json
from perdure.runtime.workflow.activities.context import ActivityContext
from perdure.runtime.workflow.context import WorkflowContext
from perdure.runtime.workflow.propagated_history import PropagatedHistory
from perdure.runtime.workflow.propagation import PropagationScope
from perdure.runtime.workflow.retry import RetryPolicy
from perdure.runtime.workflow.task import Task

T = TypeVar("T")

Target = Callable[..., Any] | str
_INSTANT = timedelta(milliseconds=1)


class DaprWorkflowContext:
    """The first argument of every workflow."""

    __slots__ = ("_ctx", "_timestamps")

    def __init__(self, ctx: WorkflowContext) -> None:
        self._ctx = ctx
        self._timestamps = 0

    # ---- who and when

    @property
    def instance_id(self) -> str:
        return self._ctx.instance_id

    @property
    def current_utc_datetime(self) -> datetime:
        """Now, in UTC but without a zone, as of the current turn; the same in every replay."""
        return naive(self._ctx.current_utc_datetime)

    @property
    def is_replaying(self) -> bool:
        """Whether the code is being run again over what has happened before."""
        return self._ctx.is_replaying

    # ---- what to wait for

    def call_activity(
        self,
        activity: Target,
        *,
        input: Any = None,
        retry_policy: RetryPolicy | None = None,
        app_id: str | None = None,
        propagation: PropagationScope | None = None,
    ) -> Task[Any]:
        """Schedule an activity, by its function or name; the task has its result."""
        return self._ctx.call_activity(
            name_for(activity),
            input=raw(input),
            retry_policy=retry_policy,
            app_id=app_id,
            propagation=propagation,
            result_type=Wire,
        )

    def call_child_workflow(
        self,
        workflow: Target,
        *,
        input: Any = None,
        instance_id: str | None = None,
        retry_policy: RetryPolicy | None = None,
        app_id: str | None = None,
        propagation: PropagationScope | None = None,
    ) -> Task[Any]:
        """Start another workflow, by its function or name; the task has its result."""
        return self._ctx.call_child_workflow(
            name_for(workflow),
            input=raw(input),
            instance_id=instance_id,
            retry_policy=retry_policy,
            app_id=app_id,
            propagation=propagation,
            result_type=Wire,
        )

    def create_timer(self, fire_at: datetime | timedelta) -> Task[None]:
        """A durable timer."""
        return self._ctx.create_timer(fire_at)

    def wait_for_external_event(
        self, name: str, *, timeout: datetime | timedelta | None = None
    ) -> Task[Any]:
        """The next event of that name; `TimeoutError` is raised at, or after, `timeout`."""
        if isinstance(timeout, datetime):
            # A time that has passed is a timer that is due, not a wait without end.
            timeout = max(naive(timeout) - self.current_utc_datetime, _INSTANT)
        return self._ctx.wait_for_external_event(name, timeout, data_type=Wire)

    # ---- what to tell

    def set_custom_status(self, custom_status: Any) -> None:
        """Show a text with the instance's status; anything but a string is shown as JSON."""
        is_text = custom_status is None or isinstance(custom_status, str)
        self._ctx.set_custom_status(custom_status if is_text else to_json(custom_status))

    def continue_as_new(self, new_input: Any, *, save_events: bool = False) -> None:
        """End this run and begin again with a new input and an empty history."""
        self._ctx.continue_as_new(raw(new_input), save_events=save_events)

    def is_patched(self, patch_name: str) -> bool:
        """Whether this run takes the changed way called `patch_name` through the code."""
        return self._ctx.is_patched(patch_name)

    def get_propagated_history(self) -> PropagatedHistory | None:
        """The history that came with the call of this workflow; None if none did."""
        return self._ctx.get_propagated_history()

    # ---- the same in every replay

    def now(self) -> datetime:
        return self.current_utc_datetime

    def now_with_sequence(self) -> datetime:
        """`now`, one microsecond later at each call, so that the order shows."""
        self._timestamps += 1
        return self.current_utc_datetime + timedelta(microseconds=self._timestamps - 1)

    current_utc_datetime_with_sequence = now_with_sequence

    def random(self) -> Random:
        return self._ctx.random

    def uuid4(self) -> UUID:
        return UUID(self._ctx.new_uuid())

    new_guid = uuid4

    def random_string(self, length: int, *, alphabet: str | None = None) -> str:
        if length < 0:
            raise ValueError(f"length must not be negative, found {length}")
        chosen = string.ascii_letters + string.digits if alphabet is None else alphabet
        return "".join(self.random().choices(chosen, k=length))

    def random_int(self, min_value: int = 0, max_value: int = 2**31 - 1) -> int:
        return self.random().randint(min_value, max_value)

    def random_choice(self, sequence: Sequence[T]) -> T:
        return self.random().choice(sequence)

    def __repr__(self) -> str:
        return f"<DaprWorkflowContext {self.instance_id}>"


class WorkflowActivityContext:
    """The first argument of every activity."""

    __slots__ = ("_ctx",)

    def __init__(self, ctx: ActivityContext) -> None:
        self._ctx = ctx

    @property
    def workflow_id(self) -> str:
        """The id of the workflow instance that called."""
        return self._ctx.workflow_id

    orchestration_id = workflow_id

    @property
    def task_id(self) -> int:
        """The number of the call in the workflow's history."""
        return self._ctx.task_id

    @property
    def task_execution_id(self) -> str:
        """The same over all retries and repeats of one call: use it as an idempotency key."""
        return self._ctx.task_execution_id

    def get_inner_context(self) -> WorkflowActivityContext:
        """What Dapr's SDK wraps twice is one object here."""
        return self

    def get_propagated_history(self) -> PropagatedHistory | None:
        """The history that came with the call of this activity; None if none did."""
        return self._ctx.get_propagated_history()

    def __repr__(self) -> str:
        return f"<WorkflowActivityContext {self._ctx.activity_name} for {self.workflow_id}>"


def naive(moment: datetime) -> datetime:
    """In UTC and without a zone; one without a zone is in UTC."""
    if moment.tzinfo is None:
        return moment
    return moment.astimezone(UTC).replace(tzinfo=None)
