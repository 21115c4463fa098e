"""The code of workflows that is in workers: what it decides on a history. A value module.

A worker begins each turn from nothing, as a real one does: it runs the code over all that has been
decided, which must come to the very same commands, and then over the events that are new.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from perdure.runtime.workflow import history as h
from perdure.runtime.workflow.execution import Execution, Run
from perdure.runtime.workflow.executor import ContinuedAsNew
from perdure.runtime.workflow.registry import Registry
from perdure.runtime.workflow.replay import replay
from perdure.runtime.workflow.uuids import derived_uuid
from perdure.runtime.workflow.workers.work import TurnDecided, TurnWork
from tests.simulation.programs import FAR, FAR_GEN, gen, main

_SILENT = logging.Logger("far", logging.CRITICAL)


def registry_of_workers() -> Registry:
    """The code of all workers."""
    registry = Registry()
    registry.add_workflow(main, name=FAR)
    registry.add_workflow(gen, name=FAR_GEN)
    return registry


CODE_OF_WORKERS = registry_of_workers()


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A turn as it reaches a worker."""

    instance_id: str
    execution: int
    name: str
    steps: Sequence[h.Turn]
    """All of them, or what follows those that the worker has."""
    known: int
    """How many steps the worker is said to have."""
    incoming: tuple[h.Incoming, ...]
    began_us: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What the worker's code makes of it; the rest of a decision is the node's to add."""

    outgoing: tuple[h.Outgoing, ...] = ()
    continued: ContinuedAsNew | None = None
    custom_status: str | None = None
    patches: tuple[str, ...] = ()


def replayed(instance_id: str, number: int, name: str, steps: Sequence[h.Turn]) -> Execution:
    """The code as the steps leave it. Raises `NonDeterminismError` if it does not follow them."""
    definition = CODE_OF_WORKERS.workflow(name)
    assert definition is not None
    started = steps[0].incoming[0] if steps else None
    forks = started.forks if isinstance(started, h.ExecutionStarted) else ()
    forked = forks[-1].turns if forks else 0
    run = Run(definition, instance_id, number, CODE_OF_WORKERS, _SILENT, forks=forks)
    execution = Execution(run)
    execution.recorded_patches = frozenset(name for step in steps for name in step.patches)
    try:
        for at, step in enumerate(steps):
            assert step.decided is not None
            began_us = step.decided.began_us
            _see(execution, step.incoming, began_us, is_replaying=True)
            seen = msgspec.structs.replace(step, at_us=began_us, incoming=())
            replay(execution, seen, is_forked=at < forked)
    except BaseException:
        execution.close()
        raise
    return execution


def decide(asked: Asked, steps: Sequence[h.Turn]) -> Answer:
    """Run the code over `steps`, all of the past, and over what is new."""
    execution = replayed(asked.instance_id, asked.execution, asked.name, steps)
    try:
        unseen = _see(execution, asked.incoming, asked.began_us, is_replaying=False)
        commands = execution.take_commands()
        match execution.outcome:
            case ContinuedAsNew() as again:
                carried = (*again.carried, *execution.held_events(), *unseen)
                return Answer(
                    continued=ContinuedAsNew(again.input, carried),
                    patches=tuple(execution.patches),
                )
            case h.ExecutionCompleted() as completed:
                commands = (*commands, completed)
        return Answer(
            outgoing=commands,
            custom_status=execution.custom_status,
            patches=tuple(execution.patches),
        )
    finally:
        execution.close()


def _see(
    execution: Execution, events: Sequence[h.Incoming], began_us: int, *, is_replaying: bool
) -> list[h.EventRaised]:
    """Returns the external events that came after the end of the run."""
    execution.begin_turn(began_us, is_replaying)
    unseen = []
    for event in events:
        # Not a timer that the code has given up: nobody tells a node so.
        if execution.outcome is None and (
            not isinstance(event, h.TimerFired) or execution.expects(event.task_id)
        ):
            execution.apply(event)
        elif isinstance(event, h.EventRaised):
            unseen.append(event)
    return unseen


def decision(work: TurnWork, began_us: int, answer: Answer) -> TurnDecided:
    """The answer to a turn, as the node that gave it out takes it."""
    decided = TurnDecided(
        work.key, work.execution, work.after, work.covers, began_us, patches=answer.patches
    )
    again = answer.continued
    if again is not None:
        carried = [
            msgspec.structs.replace(
                event, request_id=derived_uuid(work.execution_id, work.covers, "carried", at)
            )
            for at, event in enumerate(again.carried)
        ]
        return msgspec.structs.replace(
            decided, continued=ContinuedAsNew(again.input, tuple(carried))
        )
    return msgspec.structs.replace(
        decided,
        outgoing=answer.outgoing,
        custom_status=answer.custom_status,
    )
