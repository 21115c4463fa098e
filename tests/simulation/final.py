"""What must be so when all is over. A value module."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Iterator, Sequence
from typing import TypeAlias

from perdure.actors.errors import Fault
from perdure.runtime.workflow import history as h
from perdure.runtime.workflow.execution import Execution
from perdure.runtime.workflow.execution import Run as ReplayRun
from perdure.runtime.workflow.registry import Registry
from perdure.runtime.workflow.replay import replay
from perdure.runtime.workflow.workers.execution import steps_of
from tests.simulation.far import replayed
from tests.simulation.line import Stay
from tests.simulation.lives import Life, Run
from tests.simulation.process import Machine
from tests.simulation.programs import Journal
from tests.simulation.shadow import Shadow
from tests.simulation.sim_store import Disk

Ran: TypeAlias = tuple[float, str, str]
"""When an activity began to run, in which process, and its execution id."""
Breaks: TypeAlias = Sequence[tuple[float, float]]
HEARING = 0.1
"""Seconds in which a process that was frozen hears that it was taken for dead."""
PATIENCE = 12.0
"""For how long the effect of a broken line may be felt."""

_SILENT = logging.Logger("replay", logging.CRITICAL)


def check_everything(
    shadow: Shadow, machine: Machine, journal: Journal, breaks: Breaks, stays: Sequence[Stay] = ()
) -> None:
    """Raises `Violation` for the first thing that is not as it must be.

    `breaks` are the times in which lines between nodes did not work, `stays` those in which workers
    were connected.
    """
    disk = machine.disk
    for what in (
        *_leftovers(disk),
        *_slots(disk),
        *_unfinished(shadow),
        *_activities(shadow, journal, Excuses(shadow, machine, breaks, stays)),
        *_replays(shadow, machine.registry),
    ):
        raise disk.world.violated(what)


def _leftovers(disk: Disk) -> Iterator[str]:
    """Rows that nobody needs any more."""
    for table, condition in (
        ("inbox", "1"),
        ("reminders", "1"),
        ("workflows", "has_work = 1"),
        ("history", "key NOT IN (SELECT key FROM workflows)"),
        ("history", "execution <> (SELECT execution FROM workflows WHERE key = history.key)"),
    ):
        rows = disk.connection.execute(
            f"SELECT * FROM {table} WHERE {condition} LIMIT 3"
        ).fetchall()
        if rows:
            yield f"I11: left over in {table}: {rows}"


def _slots(disk: Disk) -> Iterator[str]:
    found = disk.connection.execute("SELECT slot FROM slots ORDER BY slot").fetchall()
    if [slot for (slot,) in found] != list(range(len(found))) or not found:
        yield f"I12: the slots are {found}"


def _unfinished(shadow: Shadow) -> Iterator[str]:
    for life in shadow.current.values():
        if not life.status.is_terminal:
            yield f"I1: '{life.instance_id}' is {life.status!r} at the end"


def _activities(shadow: Shadow, journal: Journal, excuses: Excuses) -> Iterator[str]:
    """At least once; again only after a fault."""
    lives: dict[str, int] = {}
    for life in shadow.by_key.values():
        lives[life.instance_id] = lives.get(life.instance_id, 0) + 1
    for life in shadow.by_key.values():
        for run in life.runs.values():
            for task_id, event in run.tasks.items():
                runs = [
                    entry
                    for entry in journal.runs.get((life.instance_id, task_id), ())
                    if entry[2] == event.execution_id
                ]
                # What nobody waits for is given up if its node dies of it again and again.
                was_wanted = task_id in run.answered or (
                    run is life.run
                    and life.status is not h.Status.TERMINATED
                    and not life.is_gone
                    and not shadow.may_stall
                )
                if not runs and was_wanted and task_id not in run.taken_over:
                    yield f"I7: '{life.instance_id}' task {task_id} never ran"
                if lives[life.instance_id] > 1:
                    continue
                for first, second in itertools.pairwise(runs):
                    if not excuses.cover(first, second):
                        yield (
                            f"I7: '{life.instance_id}' task {task_id} ran without need: "
                            f"{first[:2]}, then {second[:2]}"
                        )


class Excuses:
    """Whether something happened between two runs of an activity that makes the second one right.

    The process of the first run has ended, or was taken for dead; or that of either began it when
    it was dead already: it was frozen, and had not heard. Or nobody could tell whether some
    transaction stood; or nodes could not be asked. That another process has died is no excuse.

    What a worker runs is lost with its line to the node, or with that node.
    """

    def __init__(
        self, shadow: Shadow, machine: Machine, breaks: Breaks, stays: Sequence[Stay]
    ) -> None:
        names = {process.incarnation: process.loop.name for process in machine.processes}
        thaws = [(i.when, i.process) for i in machine.incidents if i.what == "thaw"]
        self._gone = [(i.when, i.when, i.process) for i in machine.incidents if i.what == "end"]
        for when, incarnation in shadow.gone:
            name = names[incarnation]
            heard = [thaw + HEARING for thaw, thawed in thaws if thawed == name and thaw >= when]
            self._gone.append((when, min(heard, default=when), name))
        for stay in stays:
            until = max(stay.until, stay.heard)
            self._gone += [
                (when, max(heard, until), stay.worker)
                for when, heard, name in self._gone
                if name == stay.node and stay.since <= heard and when <= stay.until
            ]
            self._gone.append((stay.until, until, stay.worker))
        self._doubts = machine.disk.doubts
        self._breaks = breaks

    def cover(self, first: Ran, second: Ran) -> bool:
        begin, end = first[0], second[0]
        return (
            any(
                (name == first[1] and begin <= heard and when <= end)
                or (name == second[1] and when <= end <= heard)
                for when, heard, name in self._gone
            )
            or any(begin <= when <= end for when in self._doubts)
            or any(since <= end and begin <= until + PATIENCE for since, until in self._breaks)
        )


def _replays(shadow: Shadow, registry: Registry) -> Iterator[str]:
    for life in shadow.by_key.values():
        for run in life.runs.values():
            try:
                _replay(life, run, registry)
            except Fault as error:
                yield f"I8: '{life.instance_id}' run {run.number} does not replay: {error}"


def _replay(life: Life, run: Run, registry: Registry) -> None:
    started = run.started
    assert started is not None
    if run.sight.is_far:
        _replay_far(life, run, started)
        return
    definition = registry.started(started.name, started.version)
    assert definition is not None
    this = ReplayRun(
        definition, life.instance_id, run.number, registry, _SILENT, forks=started.forks
    )
    execution = Execution(this)
    recorded = [name for turn in run.turns for name in turn.patches]
    execution.recorded_patches = frozenset(recorded)
    # A terminated run drops what its last turn asked for.
    terminated = run.over is not None and run.over.status is h.Status.TERMINATED
    try:
        for number, turn in enumerate(run.turns[:-1] if terminated else run.turns):
            replay(execution, turn, is_forked=number < run.forked)
    finally:
        execution.close()
    _check_end(run, execution)


def _replay_far(life: Life, run: Run, started: h.ExecutionStarted) -> None:
    terminated = run.over is not None and run.over.status is h.Status.TERMINATED
    steps = steps_of(run.turns[:-1] if terminated else run.turns)
    execution = replayed(life.instance_id, run.number, started.name, steps)
    execution.close()
    _check_end(run, execution)


def _check_end(run: Run, execution: Execution) -> None:
    if run.over is not None and run.over.status is not h.Status.TERMINATED:
        found = execution.outcome
        if not isinstance(found, h.ExecutionCompleted) or found.output != run.over.output:
            raise Fault(f"its end was {run.over}, now it is {found}")
