"""Runs code again over what has happened, and holds what it asks for against it. A value module."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import zip_longest

from perdure.runtime.workflow import history as h
from perdure.runtime.workflow.errors import NonDeterminismError
from perdure.runtime.workflow.execution import Execution
from perdure.runtime.workflow.executor import ContinuedAsNew, Outcome

_EPOCH = datetime.fromtimestamp(0, UTC)
_NOT_COMPARED = ("source", "propagation")
"""What of a command does not change what it does; how it was asked for then is what counts."""


def replay(execution: Execution, turn: h.Turn, *, is_forked: bool = False) -> None:
    """Apply a stored turn. Raises `NonDeterminismError` if the code asks for something else.

    A turn that was first taken by another instance has that one's ids and times in it, and what is
    run again is under new ones: there only the kind of each command and its name are compared.
    """
    execution.begin_turn(turn.at_us, is_replaying=True)
    for event in turn.incoming:
        execution.apply(event)
    recorded = [e for e in turn.outgoing if not isinstance(e, h.ExecutionCompleted)]
    for then, now in zip_longest(recorded, execution.take_commands()):
        alike = _alike if is_forked else _same
        if then is None or now is None or not alike(then, now):
            raise NonDeterminismError(
                f"history has {_describe(then)}, the code now asks for {_describe(now)}"
            )
        if is_forked:
            execution.adopt(then)
    execution.take_cancelled_timers()
    execution.take_new_patches()


def described_end(outcome: Outcome) -> str:
    """How code came to its end, for a person."""
    if isinstance(outcome, ContinuedAsNew):
        return "(continue-as-new)"
    if outcome.failure is None:
        return f"({outcome.status.name})"
    return f"({outcome.status.name}: {outcome.failure.error_type}: {outcome.failure.message})"


def _same(then: h.Outgoing, now: h.Outgoing) -> bool:
    if type(then) is not type(now):
        return False
    for field in then.__struct_fields__:
        if field not in _NOT_COMPARED and getattr(then, field) != getattr(now, field):
            return False
    return True


def _alike(then: h.Outgoing, now: h.Outgoing) -> bool:
    return type(then) is type(now) and all(
        getattr(then, field, None) == getattr(now, field, None) for field in ("task_id", "name")
    )


def _describe(event: h.Outgoing | None) -> str:
    match event:
        case None:
            return "nothing"
        case h.TaskScheduled():
            given = "" if event.input is None else "input "
            name = f"'{event.name}'{_of(event.app_id)}"
            what = f"activity {name} with {given}{_short(event.input)}"
        case h.TimerCreated():
            what = f"a timer ({event.origin}) due at {_time(event.fire_at_us)}"
        case h.ChildWorkflowInstanceCreated() | h.DetachedWorkflowInstanceCreated():
            name = f"'{event.name}'{_of(event.app_id)}"
            what = f"workflow {name} as '{event.instance_id}' with {_short(event.input)}"
        case h.EventSent():
            return f"event '{event.name}' for '{event.instance_id}' as task {event.task_id}"
        case h.ExecutionCompleted():
            return "the end"
    where = f" at {event.source}" if event.source else ""
    return f"{what} as task {event.task_id}{where}"


def _of(app_id: str | None) -> str:
    return "" if app_id is None else f" of app '{app_id}'"


def _time(us: int) -> str:
    return (_EPOCH + timedelta(microseconds=us)).isoformat()


def _short(text: str | None) -> str:
    if text is None:
        return "no input"
    return text if len(text) <= 60 else f"{text[:57]}…"
