"""Whether an instance begins with the past of the one that it is run again of. A value module.

Written from what a rerun promises, not from the code that makes one.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from perdure.runtime.workflow import history as h
from perdure.runtime.workflow.workers.seen import as_seen
from tests.simulation.lives import Life, Run

_Answered = h.TaskScheduled | h.TimerCreated | h.ChildWorkflowInstanceCreated


def problem_of(life: Life, lives: Iterable[Life]) -> str | None:
    """What is wrong with the past that an instance has just begun with; `lives` are all others."""
    run = life.run
    fork = run.fork
    assert fork is not None
    sources = [
        there
        for other in lives
        if other.instance_id == fork.instance_id
        for there in (other.runs.get(fork.execution),)
        if there is not None
    ]
    if not sources:
        return f"there is no run {fork.execution} of '{fork.instance_id}'"
    found = [_difference(life, source) for source in sources]
    return None if None in found else found[-1]


def _difference(life: Life, source: Run) -> str | None:
    run = life.run
    if source.over is None:
        return "its source has not finished"
    if source.started is None or source.started.parent is not None:
        return "its source is a child"
    then = as_seen(source.turns)[: run.forked]
    if len(then) != len(run.turns):
        return f"it has {len(run.turns)} turns of {len(then)}"
    if not set(run.tasks) | set(run.timers) | set(run.children) > run.answered:
        return "it waits for nothing"
    for number, (old, new) in enumerate(zip(then, run.turns, strict=True)):
        is_last = number == len(then) - 1
        problem = _unlike(old, new, life, is_last=is_last)
        if problem is not None:
            return f"turn {number}: {problem}"
    return None


def _unlike(old: h.Turn, new: h.Turn, life: Life, *, is_last: bool) -> str | None:
    if (old.at_us, old.code, old.patches, old.decided) != (
        new.at_us,
        new.code,
        new.patches,
        new.decided,
    ):
        return f"{new} was {old}"
    if _plain(old.incoming) != _plain(new.incoming):
        return f"what came is {new.incoming}, was {old.incoming}"
    asked: Sequence[h.Outgoing] = old.outgoing
    if is_last and asked and isinstance(asked[-1], h.ExecutionCompleted):
        asked = asked[:-1]
    if len(asked) != len(new.outgoing):
        return f"what was asked for is {new.outgoing}, was {old.outgoing}"
    for then, now in zip(asked, new.outgoing, strict=True):
        if not _is_told_again(then, now, life, is_last=is_last):
            return f"{now} was {then}"
    return None


def _plain(events: Sequence[h.Incoming]) -> list[h.Incoming]:
    """Without what says of which run they are."""
    return [
        msgspec.structs.replace(event, forks=(), span=None)
        if isinstance(event, h.ExecutionStarted)
        else event
        for event in events
    ]


def _is_told_again(then: h.Outgoing, now: h.Outgoing, life: Life, *, is_last: bool) -> bool:
    run = life.run
    source = None if run.fork is None else run.fork.instance_id
    if not isinstance(now, _Answered) or now.task_id in run.answered:
        return now == then or (is_last and _is_renamed(then, now))
    if now.rerun_of != source:
        return False
    same: h.Outgoing
    match then, now:
        case h.TaskScheduled(), h.TaskScheduled():
            if then.execution_id == now.execution_id:
                return False  # Whoever has carried it out once would take it for done.
            same = msgspec.structs.replace(
                then, execution_id=now.execution_id, input=now.input, rerun_of=source
            )
        case h.TimerCreated(), h.TimerCreated():
            is_try = then.origin.startswith("activityRetry:") and not run.sight.is_far
            if is_try and then.origin == now.origin:
                return False  # As above, of the try that it is the timer of.
            origin = now.origin if is_try else then.origin
            same = msgspec.structs.replace(then, origin=origin, rerun_of=source)
        case h.ChildWorkflowInstanceCreated(), h.ChildWorkflowInstanceCreated():
            if now.instance_id == then.instance_id:
                return False
            same = msgspec.structs.replace(
                then, instance_id=now.instance_id, input=now.input, rerun_of=source
            )
        case _:
            return False
    return same == now


def _is_renamed(then: h.Outgoing, now: h.Outgoing) -> bool:
    """A detached instance, started once more under an id of its own."""
    return (
        isinstance(then, h.DetachedWorkflowInstanceCreated)
        and isinstance(now, h.DetachedWorkflowInstanceCreated)
        and msgspec.structs.replace(then, instance_id=now.instance_id) == now
    )
