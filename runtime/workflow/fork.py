"""What a run from an event of another one begins with. A value module.

The history of a finished instance is taken over up to the decision that asked for the target event,
that one whole. The target, and whatever else had been asked for by then and was not answered, is
asked for again, under ids of the new instance. An event that came to light while that decision was
being made comes after it and is not taken over.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import msgspec

from perdure.runtime.workflow import history as h
from perdure.runtime.workflow import messages as m
from perdure.runtime.workflow.codec import encode_turn
from perdure.runtime.workflow.errors import NothingToRerun, NotRerunnable
from perdure.runtime.workflow.records import Instance
from perdure.runtime.workflow.uuids import derived_uuid
from perdure.runtime.workflow.workers.execution import CODE, steps_of
from perdure.runtime.workflow.workers.numbers import action_id

_EVENT_NAMES: dict[type[h.Value], str] = {
    h.EventSent: "EventSent",
    h.DetachedWorkflowInstanceCreated: "DetachedWorkflowInstanceCreated",
    h.ExecutionCompleted: "ExecutionCompleted",
}
"""As clients know them, of those that have a number and cannot be run again."""

_Answer = (
    h.TaskCompleted
    | h.TaskFailed
    | h.TimerFired
    | h.ChildWorkflowInstanceCompleted
    | h.ChildWorkflowInstanceFailed
)
_Answered = h.TaskScheduled | h.TimerCreated | h.ChildWorkflowInstanceCreated


@dataclass(frozen=True, slots=True, kw_only=True)
class Rerun:
    """From which event on an instance is to run again, and what is to be different then."""

    event_id: int
    """As the instance's history tells it."""
    new_id: str | None = None
    """The id of the new instance; a UUID by default."""
    input: str | None = None
    """What the activity or child is given if `overwrite_input`: JSON text, or nothing."""
    overwrite_input: bool = False
    child_id: str | None = None
    """The id of the child that is run again, if it is not to be made of the new instance's."""
    trace: h.Trace | None = None
    """The span of the caller; that of the source's start by default."""


def unknown_source(instance_id: str) -> NothingToRerun:
    return NothingToRerun(f"workflow instance does not exist with ID '{instance_id}'")


def fork_of(
    row: Instance, turns: Sequence[h.Turn], wanted: Rerun, new_id: str, request_id: str
) -> m.OpenFork:
    """What makes the new instance. Raises `NotRerunnable`, `NothingToRerun`.

    By `request_id` what is run again has idempotency keys of its own, each time it is.
    """
    _check_source(row, new_id)
    past = _decisions(turns)
    at, target = _target(past, wanted.event_id)
    _check_target(target, wanted)
    past = past[: at + 1]
    last = past[at]
    if isinstance(last.outgoing[-1], h.ExecutionCompleted):
        # What ended the run comes after what it had asked for: it is to be found out again.
        past[at] = msgspec.structs.replace(last, outgoing=last.outgoing[:-1])
    again = _Again(
        row.instance_id,
        new_id,
        wanted,
        target,
        request_id,
        frozenset(_open(past)),
        past[0].code == CODE,
    )
    asked: list[h.Outgoing] = []
    is_after = False
    for number, turn in enumerate(past):
        outgoing: list[h.Outgoing] = []
        for event in turn.outgoing:
            is_after |= event is target
            told = again.told(event, is_after=is_after)
            outgoing.append(event if told is None else told)
            asked += [] if told is None else [told]
        past[number] = _untraced(msgspec.structs.replace(turn, outgoing=tuple(outgoing)))
    past[0] = _begun_by(row, past[0], at + 1, wanted.trace)
    rows = tuple([encode_turn(turn) for turn in past])
    return m.OpenFork(row.name, row.version, rows, tuple(asked), request_id)


def _check_source(row: Instance, new_id: str) -> None:
    """Raise `NotRerunnable` if nothing of that instance can be run again."""
    if row.instance_id == new_id:
        raise NotRerunnable(
            "rerun workflow instance ID must be different from the original instance ID"
        )
    if not row.status.is_terminal:
        raise NotRerunnable(f"'{row.instance_id}' is not in a terminal state")
    if row.parent is not None:
        raise NotRerunnable(f"'{row.instance_id}': cannot rerun from child-workflows")


def _decisions(turns: Sequence[h.Turn]) -> list[h.Turn]:
    """The turns as the code took them."""
    is_of_worker = bool(turns) and turns[0].code == CODE
    return steps_of(turns) if is_of_worker else list(turns)


def _target(past: Sequence[h.Turn], event_id: int) -> tuple[int, h.Outgoing]:
    """The first event of that number, and in which turn it stands.

    A worker that tries again may do so under the same number; then its first try is meant.
    """
    last = 0
    for at, turn in enumerate(past):
        for event in turn.outgoing:
            if isinstance(event, h.ExecutionCompleted):
                numbers: tuple[int, ...] = (last + 1,)
            else:
                # The HTTP API tells task ids, which are beyond all numbers of actions where they
                # differ from them.
                numbers = (action_id(event.task_id), event.task_id)
                last = max(last, numbers[0])
            if event_id in numbers:
                return at, event
    raise NothingToRerun(f"does not have history event with ID '{event_id}'")


def _check_target(target: h.Outgoing, wanted: Rerun) -> None:
    """Raise if the target cannot be run again, or not with those changes."""
    number = wanted.event_id
    match target:
        case h.TaskScheduled():
            if wanted.child_id is not None:
                raise _no_child_id("activity", number)
        case h.TimerCreated():
            if wanted.overwrite_input:
                raise NotRerunnable(f"cannot write input to timer event '{number}'")
            if wanted.child_id is not None:
                raise _no_child_id("timer", number)
        case h.ChildWorkflowInstanceCreated():
            pass
        case _:
            raise NothingToRerun(
                f"target event '*protos.HistoryEvent_{_EVENT_NAMES[type(target)]}' "
                f"with ID '{number}' is not an event that can be rerun"
            )


def _no_child_id(kind: str, number: int) -> NotRerunnable:
    return NotRerunnable(f"cannot set new child workflow instance ID on {kind} event '{number}'")


def _open(past: Sequence[h.Turn]) -> Iterator[int]:
    """Task ids of what had been asked for and was not answered."""
    answered = {
        event.task_id for turn in past for event in turn.incoming if isinstance(event, _Answer)
    }
    for turn in past:
        for event in turn.outgoing:
            if isinstance(event, _Answered) and event.task_id not in answered:
                yield event.task_id


@dataclass(frozen=True, slots=True)
class _Again:
    """Tells events of the source once more, for the new instance."""

    source: str
    new_id: str
    wanted: Rerun
    target: h.Outgoing
    request_id: str
    open: frozenset[int]
    is_of_worker: bool

    def told(self, event: h.Outgoing, *, is_after: bool) -> h.Outgoing | None:
        """`event` as it is carried out again; None if it is not. `is_after`: from the target on."""
        source, new_id, wanted = self.source, self.new_id, self.wanted
        overwrites = event is self.target and wanted.overwrite_input
        match event:
            case h.TaskScheduled() if event.task_id in self.open:
                return msgspec.structs.replace(
                    event,
                    input=wanted.input if overwrites else event.input,
                    execution_id=derived_uuid(new_id, self.request_id, event.task_id),
                    rerun_of=source,
                )
            case h.TimerCreated() if event.task_id in self.open:
                return msgspec.structs.replace(event, origin=self._origin(event), rerun_of=source)
            case h.ChildWorkflowInstanceCreated() if event.task_id in self.open:
                chosen = wanted.child_id if event is self.target else None
                child_id = chosen or f"{new_id}:{action_id(event.task_id):04x}"
                return msgspec.structs.replace(
                    event,
                    instance_id=child_id,
                    input=wanted.input if overwrites else event.input,
                    rerun_of=source,
                )
            case h.DetachedWorkflowInstanceCreated() if is_after:
                if not event.instance_id.startswith(f"{source}-"):
                    return event
                own = new_id + event.instance_id[len(source) :]
                return msgspec.structs.replace(event, instance_id=own)
            case h.EventSent() if is_after:
                return event
        return None

    def _origin(self, timer: h.TimerCreated) -> str:
        """Of a timer before another try: that one's key, which workers choose themselves."""
        if self.is_of_worker or not timer.origin.startswith(h.ACTIVITY_RETRY):
            return timer.origin
        return h.ACTIVITY_RETRY + derived_uuid(self.new_id, self.request_id, timer.task_id)


def _untraced(turn: h.Turn) -> h.Turn:
    """Without what a worker has told of its span, which is of one run only."""
    if turn.decided is None or turn.decided.trace is None:
        return turn
    return msgspec.structs.replace(turn, decided=msgspec.structs.replace(turn.decided, trace=None))


def _begun_by(row: Instance, first: h.Turn, turns: int, trace: h.Trace | None) -> h.Turn:
    """The first turn, which says where it and the others come from."""
    started, *others = first.incoming
    assert isinstance(started, h.ExecutionStarted)
    older = [msgspec.structs.replace(fork, turns=min(fork.turns, turns)) for fork in started.forks]
    forks = (*older, h.Fork(row.instance_id, row.execution, turns))
    # A span is of one run only.
    began = msgspec.structs.replace(started, forks=forks, span=None, trace=trace or started.trace)
    return msgspec.structs.replace(first, incoming=(began, *others))
