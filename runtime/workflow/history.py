"""The events of a workflow's history. A value module.

Names and meanings are Dapr's (durabletask). A `Turn` is one row of history: the events that came
in, in the order in which the code saw them, then the events that the code caused. Dapr's
`WorkflowStarted` event is the header of the turn: its time is what `current_utc_datetime` shows.

Times are integers: microseconds since the epoch, UTC. Payloads are JSON text, or None.
"""

from __future__ import annotations

from enum import IntEnum
from typing import TypeAlias

import msgspec


class Status(IntEnum):
    """Runtime status of an instance, with durabletask's numbers."""

    RUNNING = 0
    COMPLETED = 1
    CONTINUED_AS_NEW = 2
    FAILED = 3
    CANCELED = 4
    TERMINATED = 5
    PENDING = 6
    SUSPENDED = 7
    STALLED = 8

    @property
    def is_terminal(self) -> bool:
        return self in TERMINAL


TERMINAL = frozenset({Status.COMPLETED, Status.FAILED, Status.CANCELED, Status.TERMINATED})


class Value(msgspec.Struct, frozen=True, gc=False):
    """A plain immutable value. Fields may be appended, with a default, and never moved."""


class Failure(Value, frozen=True):
    """Why something failed, in the words of whoever failed."""

    error_type: str
    message: str
    stack_trace: str | None = None
    inner: Failure | None = None
    non_retryable: bool = False


class Parent(Value, frozen=True):
    """Which call of which run of which workflow started a child."""

    key: int
    instance_id: str
    execution: int
    task_id: int
    app_id: str | None = None
    """The app of that workflow, if it is another one than the child's."""


class Trace(Value, frozen=True):
    """W3C trace context."""

    parent: str
    state: str | None = None


class Span(Value, frozen=True):
    """The span of a run, before it is made."""

    trace: Trace
    """Its ids."""
    began_us: int


class Fork(Value, frozen=True):
    """Whose turns a run begins with that was run again from an event of theirs."""

    instance_id: str
    execution: int
    turns: int
    """The run's turns up to here are of that instance, or of one whose fork that was in turn."""


class ExecutionStarted(Value, frozen=True):
    name: str
    input: str | None = None
    version: str | None = None
    parent: Parent | None = None
    scheduled_us: int | None = None
    """Not to run before this time."""
    seen_requests: tuple[str, ...] = ()
    """Request ids of events that the run before this one had accepted (continue-as-new)."""
    continued: bool = False
    """Opened by continue-as-new."""
    tags: tuple[tuple[str, str], ...] = ()
    trace: Trace | None = None
    """The span of whoever started it."""
    propagated: bytes | None = None
    """History of its callers that came with the call; `propagation` reads it."""
    span: Span | None = None
    """Its own span, if spans are made."""
    forks: tuple[Fork, ...] = ()
    """Where the beginning of this history comes from, in the order of the turns."""

    @property
    def context(self) -> Trace | None:
        """What all that it asks for belongs to."""
        return self.trace if self.span is None else self.span.trace


class TaskScheduled(Value, frozen=True):
    task_id: int
    name: str
    input: str | None
    execution_id: str
    """Stable over all retries of one call: an idempotency key for the activity's effects."""
    timeout_ms: int | None = None
    source: str = ""
    """`file.py:line` of the call."""
    app_id: str | None = None
    """The app that is to run it, if it is another one than the workflow's own."""
    version: str | None = None
    propagation: int = 0
    """How much history goes with the call, by durabletask's numbers (spec 2.18)."""
    rerun_of: str | None = None
    """The instance whose event this one repeats."""


class TaskCompleted(Value, frozen=True):
    task_id: int
    result: str | None


class TaskFailed(Value, frozen=True):
    task_id: int
    failure: Failure


ACTIVITY_RETRY = "activityRetry:"
"""Begins the origin of the timer before another try of an activity; its execution id follows."""


class TimerCreated(Value, frozen=True):
    task_id: int
    fire_at_us: int
    origin: str = ""
    """What made it: `createTimer`, `sleep`, `externalEvent:<name>`, `activityRetry:<id>`, …"""
    source: str = ""
    name: str | None = None
    nanos: int = 0
    """Nanoseconds beyond the microseconds of `fire_at_us`: some workers compare them."""
    rerun_of: str | None = None


class TimerFired(Value, frozen=True):
    task_id: int


class ChildWorkflowInstanceCreated(Value, frozen=True):
    task_id: int
    instance_id: str
    name: str
    input: str | None
    source: str = ""
    app_id: str | None = None
    """The child's app, if it is another one than its parent's."""
    version: str | None = None
    propagation: int = 0
    retry_of: str | None = None
    """The instance of the first try."""
    rerun_of: str | None = None


class ChildWorkflowInstanceCompleted(Value, frozen=True):
    task_id: int
    result: str | None


class ChildWorkflowInstanceFailed(Value, frozen=True):
    task_id: int
    failure: Failure | None
    """None if the child was terminated."""


class DetachedWorkflowInstanceCreated(Value, frozen=True):
    task_id: int
    instance_id: str
    name: str
    input: str | None
    scheduled_us: int | None = None
    source: str = ""
    app_id: str | None = None
    """Its app, if it is another one than its starter's."""
    version: str | None = None
    tags: tuple[tuple[str, str], ...] = ()


class EventSent(Value, frozen=True):
    """To another instance; nobody is told if there is none."""

    task_id: int
    instance_id: str
    name: str
    data: str | None


class EventRaised(Value, frozen=True):
    name: str
    data: str | None
    request_id: str


class ExecutionSuspended(Value, frozen=True):
    reason: str | None = None


class ExecutionResumed(Value, frozen=True):
    reason: str | None = None


class ExecutionTerminated(Value, frozen=True):
    output: str | None = None
    recursive: bool = True
    reason: str | None = None


class ExecutionCompleted(Value, frozen=True):
    status: Status
    output: str | None = None
    failure: Failure | None = None


Incoming: TypeAlias = (
    ExecutionStarted
    | TaskCompleted
    | TaskFailed
    | TimerFired
    | ChildWorkflowInstanceCompleted
    | ChildWorkflowInstanceFailed
    | EventRaised
    | ExecutionSuspended
    | ExecutionResumed
    | ExecutionTerminated
)
"""What may reach an instance from outside."""

Outgoing: TypeAlias = (
    TaskScheduled
    | TimerCreated
    | ChildWorkflowInstanceCreated
    | DetachedWorkflowInstanceCreated
    | EventSent
    | ExecutionCompleted
)
"""What the code of a workflow causes."""

Event: TypeAlias = Incoming | Outgoing


class Decided(Value, frozen=True):
    """A worker's decision. Events that come while it is being made belong to the next one."""

    covers: int
    """How many of the run's incoming events it has seen, all earlier decisions included."""
    began_us: int
    """The time that the code read as now."""
    version: str | None = None
    """The named version of the code."""
    trace: bytes | None = None
    """What the worker wants to be told again, of its span of the run, if that is new."""


class Turn(msgspec.Struct, frozen=True, gc=False):
    """One row of history."""

    at_us: int
    """The logical time of the turn: what the code reads as now."""
    incoming: tuple[Incoming, ...]
    outgoing: tuple[Outgoing, ...] = ()
    code: str = ""
    """Hash of the code that ran, for tools that compare versions."""
    patches: tuple[str, ...] = ()
    """Names that `is_patched` answered True for in this turn for the first time."""
    decided: Decided | None = None
    """Only in runs whose code is in another process: what `outgoing` is the answer to."""
