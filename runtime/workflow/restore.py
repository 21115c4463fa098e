"""From stored rows to the live code of an instance, or to the reason why not. A value module."""

from __future__ import annotations

from dataclasses import dataclass

from perdure.actors.errors import Fault
from perdure.runtime.workflow import history as h
from perdure.runtime.workflow.codec import CorruptHistory, decode_turn
from perdure.runtime.workflow.errors import NonDeterminismError
from perdure.runtime.workflow.execution import Execution, Run
from perdure.runtime.workflow.executor import Executor
from perdure.runtime.workflow.records import Instance, StoredWorkflow
from perdure.runtime.workflow.registry import WorkflowDefinition
from perdure.runtime.workflow.replay import described_end, replay
from perdure.runtime.workflow.surroundings import Surroundings
from perdure.runtime.workflow.workers.execution import (
    CODE,
    WorkerExecution,
    WorkerRun,
    steps_of,
)


@dataclass(frozen=True, slots=True)
class Stalled:
    """The instance cannot go on until its code, or its data, is put right."""

    reason: str


@dataclass(frozen=True, slots=True)
class Restored:
    """An instance as its history leaves it."""

    execution: Executor | None
    """The live code; None for a finished instance."""
    turns: list[h.Turn]
    """As the code has seen them."""
    open_tasks: dict[int, h.TaskScheduled]
    """Activities that were asked for and have not answered."""
    seen_requests: dict[str, None]
    """Request ids of the events that were accepted, oldest first."""
    events: int
    bytes: int
    last_turn_us: int


def restore(stored: StoredWorkflow, around: Surroundings) -> Restored | Stalled:
    """Read the history of an instance and run its code over it."""
    row = stored.row
    if stored.damage is not None:
        return Stalled(stored.damage)
    try:
        turns = _turns(stored)
        execution = None if row.status.is_terminal else _replayed(row, turns, around)
    except Fault as error:
        return Stalled(f"{type(error).__name__}: {error}")
    if isinstance(execution, Stalled):
        return execution
    events = sum(1 + len(turn.incoming) + len(turn.outgoing) for turn in turns)
    return Restored(
        execution,
        steps_of(turns) if turns and turns[0].code == CODE else turns,
        open_tasks(turns),
        _seen_requests(turns),
        events,
        sum(len(blob) for _, blob in stored.history),
        turns[-1].at_us if turns else 0,
    )


def _turns(stored: StoredWorkflow) -> list[h.Turn]:
    row = stored.row
    found = [seq for seq, _ in stored.history]
    if found != list(range(row.next_seq)):
        raise CorruptHistory(
            f"history of '{row.instance_id}' has rows {found[:20]}, "
            f"expected 0 to {row.next_seq - 1}"
        )
    return [decode_turn(blob) for _, blob in stored.history]


def _replayed(row: Instance, turns: list[h.Turn], around: Surroundings) -> Executor | Stalled:
    if turns and turns[0].code == CODE:
        worker_execution = WorkerExecution(worker_run_of(row))
        worker_execution.custom_status = row.custom_status
        for turn in turns:
            worker_execution.recall(turn)
        return worker_execution
    registry = around.registry
    definition = registry.started(row.name, row.version)
    if definition is None:
        if row.version is not None and registry.versions(row.name):
            return Stalled(
                f"Version not available: {row.version} of workflow '{row.name}'; "
                "start a node whose app has it and the instance goes on"
            )
        others = around.elsewhere(row.name)
        has = f", but on {', '.join(others)}" if others else ""
        return Stalled(
            f"workflow '{row.name}' is not registered here{has}; "
            "start a node whose app has it and the instance goes on"
        )
    forks = _forks(turns)
    forked = forks[-1].turns if forks else 0
    execution = Execution(run_of(row, definition, around, forks))
    recorded = [name for turn in turns for name in turn.patches]
    execution.recorded_patches = frozenset(recorded)
    try:
        for number, turn in enumerate(turns):
            if execution.outcome is not None and number != forked:
                came = ", ".join(type(event).__name__ for event in turn.incoming)
                raise NonDeterminismError(
                    f"history goes on with {came} in turn {number}, "
                    f"the code now ends {described_end(execution.outcome)}"
                )
            replay(execution, turn, is_forked=number < forked)
        # A fork waits for the event that it was made for, even if the code does not.
        if execution.outcome is not None and len(turns) != forked:
            raise NonDeterminismError(
                "history waits for what is to come, "
                f"the code now ends {described_end(execution.outcome)}"
            )
    except Fault:
        execution.close()
        raise
    if execution.patches != recorded:
        execution.close()
        return Stalled(
            f"Patch mismatch. History patches: [{', '.join(recorded)}], "
            f"current patches: [{', '.join(execution.patches)}]. "
        )
    return execution


def _forks(turns: list[h.Turn]) -> tuple[h.Fork, ...]:
    started = turns[0].incoming[0] if turns else None
    return started.forks if isinstance(started, h.ExecutionStarted) else ()


def run_of(
    row: Instance,
    definition: WorkflowDefinition,
    around: Surroundings,
    forks: tuple[h.Fork, ...] = (),
) -> Run:
    """The run that `row` stands for, by that code."""
    limits = around.config.payloads
    return Run(
        definition,
        row.instance_id,
        row.execution,
        around.registry,
        around.log,
        limits,
        around.app_id,
        forks,
    )


def worker_run_of(row: Instance) -> WorkerRun:
    """The same, of code that is in a worker."""
    return WorkerRun(row.instance_id, row.key, row.execution, row.name)


def open_tasks(turns: list[h.Turn]) -> dict[int, h.TaskScheduled]:
    """Activities that were asked for and have not answered."""
    found: dict[int, h.TaskScheduled] = {}
    for turn in turns:
        for event in turn.incoming:
            if isinstance(event, (h.TaskCompleted, h.TaskFailed)):
                found.pop(event.task_id, None)
        for asked in turn.outgoing:
            if isinstance(asked, h.TaskScheduled):
                found[asked.task_id] = asked
    return found


def _seen_requests(turns: list[h.Turn]) -> dict[str, None]:
    seen: dict[str, None] = {}
    for turn in turns:
        for event in turn.incoming:
            if isinstance(event, h.EventRaised):
                seen[event.request_id] = None
            elif isinstance(event, h.ExecutionStarted):
                seen.update(dict.fromkeys(event.seen_requests))
    return seen


def too_long(found: int, unit: str, limit: int) -> str:
    """Why a history that could be replayed no more in good time stalls its instance."""
    return (
        f"its history has {found} {unit}, the limit is {limit}; "
        "use continue_as_new in long loops, or raise the limit"
    )
