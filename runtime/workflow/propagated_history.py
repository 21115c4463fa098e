"""What code sees of the history that came with its call. A value module.

Names are those of Dapr's Python SDK. Its events are messages of its protocol; here they are
perdure's own, whose payloads are JSON texts just the same.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TypeVar

from perdure.runtime.workflow import history as h
from perdure.runtime.workflow.failure import FailureDetails
from perdure.runtime.workflow.propagation import Chunk, PropagationScope, decode_propagated

T = TypeVar("T")

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class PropagationNotFoundError(Exception):
    """There is nothing of that name in the history that came with a call."""


@dataclass(frozen=True, slots=True)
class PropagatedEvent:
    """One event of a caller."""

    type: str
    """Dapr's name of its kind, as `TaskScheduled`."""
    timestamp: datetime
    event: h.Event = field(repr=False)
    """Its fields; see `perdure.runtime.workflow.history`."""

    @property
    def event_id(self) -> int:
        """Number of the task that it creates; -1 if it creates none."""
        found = self.event
        if isinstance(found, _CREATING):
            return found.task_id
        return -1


_CREATING = (
    h.TaskScheduled,
    h.TimerCreated,
    h.ChildWorkflowInstanceCreated,
    h.DetachedWorkflowInstanceCreated,
    h.EventSent,
)


@dataclass(frozen=True, slots=True)
class ActivityResult:
    """A call of an activity, and what had come of it. Payloads are JSON texts."""

    name: str
    started: bool
    completed: bool
    failed: bool
    input: str | None
    output: str | None
    error: FailureDetails | None


@dataclass(frozen=True, slots=True)
class ChildWorkflowResult:
    """A call of a child workflow, and what had come of it."""

    name: str
    started: bool
    completed: bool
    failed: bool
    output: str | None
    error: FailureDetails | None


@dataclass(frozen=True, slots=True)
class WorkflowResult:
    """One caller: its run up to the call."""

    instance_id: str
    app_id: str
    name: str
    events: list[PropagatedEvent] = field(repr=False)

    def get_activities_by_name(self, name: str) -> list[ActivityResult]:
        """All calls of that activity, in their order; each try of a call is one of its own."""
        return [
            _activity(asked, self._answer_to(asked.task_id))
            for asked in (each.event for each in self.events)
            if isinstance(asked, h.TaskScheduled) and asked.name == name
        ]

    def get_last_activity_by_name(self, name: str) -> ActivityResult:
        """Raises `PropagationNotFoundError`."""
        return _last(self.get_activities_by_name(name), f"activity '{name}'")

    def get_child_workflows_by_name(self, name: str) -> list[ChildWorkflowResult]:
        """All calls of that child workflow, in their order."""
        return [
            _child(asked, self._answer_to(asked.task_id))
            for asked in (each.event for each in self.events)
            if isinstance(asked, h.ChildWorkflowInstanceCreated) and asked.name == name
        ]

    def get_last_child_workflow_by_name(self, name: str) -> ChildWorkflowResult:
        """Raises `PropagationNotFoundError`."""
        return _last(self.get_child_workflows_by_name(name), f"child workflow '{name}'")

    def _answer_to(self, task_id: int) -> _Answer | None:
        for each in self.events:
            if isinstance(each.event, _ANSWERS) and each.event.task_id == task_id:
                return each.event
        return None


class PropagatedHistory:
    """The callers whose history came with a call, the furthest first and the caller last."""

    __slots__ = ("_workflows", "scope")

    def __init__(self, scope: PropagationScope, workflows: list[WorkflowResult]) -> None:
        self.scope = scope
        """What the caller chose to hand on."""
        self._workflows = workflows

    @staticmethod
    def of(propagated: bytes | None) -> PropagatedHistory | None:
        """That of a call; None if no history came with it."""
        if propagated is None:
            return None
        found = decode_propagated(propagated)
        return PropagatedHistory(found.scope, [_workflow(chunk) for chunk in found.chunks])

    @property
    def events(self) -> list[PropagatedEvent]:
        """Those of all callers, one caller after the other."""
        return self._events(lambda workflow: True)

    def get_app_ids(self) -> list[str]:
        """The apps of the callers, each once, in the order of the callers."""
        return list(dict.fromkeys(workflow.app_id for workflow in self._workflows))

    def get_events_by_app_id(self, app_id: str) -> list[PropagatedEvent]:
        return self._events(lambda workflow: workflow.app_id == app_id)

    def get_events_by_instance_id(self, instance_id: str) -> list[PropagatedEvent]:
        return self._events(lambda workflow: workflow.instance_id == instance_id)

    def get_events_by_workflow_name(self, workflow_name: str) -> list[PropagatedEvent]:
        return self._events(lambda workflow: workflow.name == workflow_name)

    def get_workflows(self) -> list[WorkflowResult]:
        """The callers."""
        return list(self._workflows)

    def get_workflows_by_name(self, name: str) -> list[WorkflowResult]:
        """The callers of that name: there are several if a workflow calls itself."""
        return [workflow for workflow in self._workflows if workflow.name == name]

    def get_last_workflow_by_name(self, name: str) -> WorkflowResult:
        """Raises `PropagationNotFoundError`."""
        return _last(self.get_workflows_by_name(name), f"workflow '{name}'")

    def _events(self, wanted: Callable[[WorkflowResult], bool]) -> list[PropagatedEvent]:
        return [event for found in self._workflows if wanted(found) for event in found.events]

    def __repr__(self) -> str:
        names = " → ".join(workflow.name for workflow in self._workflows)
        return f"<PropagatedHistory {self.scope.name} {names}>"


_ANSWERS = (
    h.TaskCompleted,
    h.TaskFailed,
    h.ChildWorkflowInstanceCompleted,
    h.ChildWorkflowInstanceFailed,
)
_Answer = (
    h.TaskCompleted
    | h.TaskFailed
    | h.ChildWorkflowInstanceCompleted
    | h.ChildWorkflowInstanceFailed
)


def _workflow(chunk: Chunk) -> WorkflowResult:
    events: list[PropagatedEvent] = []
    for turn in chunk.turns:
        at = _EPOCH + timedelta(microseconds=turn.at_us)
        told: tuple[h.Event, ...] = (*turn.incoming, *turn.outgoing)
        events += [PropagatedEvent(type(event).__name__, at, event) for event in told]
    return WorkflowResult(chunk.instance_id, chunk.app_id, chunk.workflow_name, events)


def _activity(asked: h.TaskScheduled, answer: _Answer | None) -> ActivityResult:
    completed, failed = isinstance(answer, h.TaskCompleted), isinstance(answer, h.TaskFailed)
    output, error = _outcome(answer)
    return ActivityResult(asked.name, True, completed, failed, asked.input, output, error)


def _child(asked: h.ChildWorkflowInstanceCreated, answer: _Answer | None) -> ChildWorkflowResult:
    completed = isinstance(answer, h.ChildWorkflowInstanceCompleted)
    failed = isinstance(answer, h.ChildWorkflowInstanceFailed)
    return ChildWorkflowResult(asked.name, True, completed, failed, *_outcome(answer))


def _outcome(answer: _Answer | None) -> tuple[str | None, FailureDetails | None]:
    match answer:
        case None:
            return None, None
        case h.TaskCompleted() | h.ChildWorkflowInstanceCompleted():
            return answer.result, None
        case h.TaskFailed() | h.ChildWorkflowInstanceFailed():
            return None, answer.failure


def _last(found: list[T], what: str) -> T:
    if not found:
        raise PropagationNotFoundError(f"the history that came with the call has no {what}")
    return found[-1]
