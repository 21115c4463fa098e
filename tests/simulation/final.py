"""What must be so when all is over. A value module."""

from __future__ import annotations

import logging
from collections.abc import Iterator

from perdure.actors.errors import Fault
from perdure.runtime.workflow import history as h
from perdure.runtime.workflow.execution import Execution
from perdure.runtime.workflow.execution import Run as ReplayRun
from perdure.runtime.workflow.registry import Registry
from perdure.runtime.workflow.replay import replay
from tests.simulation.programs import Journal
from tests.simulation.shadow import Life, Run, Shadow
from tests.simulation.sim_store import Disk

_SILENT = logging.Logger("replay", logging.CRITICAL)


def check_everything(shadow: Shadow, disk: Disk, journal: Journal, registry: Registry) -> None:
    """Raises `Violation` for the first thing that is not as it must be."""
    for what in (
        *_leftovers(disk),
        *_slots(disk),
        *_unfinished(shadow),
        *_activities(shadow, disk, journal),
        *_replays(shadow, registry),
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


def _activities(shadow: Shadow, disk: Disk, journal: Journal) -> Iterator[str]:
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
                if not runs and was_wanted:
                    yield f"I7: '{life.instance_id}' task {task_id} never ran"
                if len(runs) > 1 and lives[life.instance_id] == 1 and not _is_excused(runs, disk):
                    yield f"I7: '{life.instance_id}' task {task_id} ran without need: {runs}"


def _is_excused(runs: list[tuple[float, str, str]], disk: Disk) -> bool:
    """Whether something happened in between that makes a second run right."""
    if len({process for _, process, _ in runs}) == len(runs):
        return True
    first, last = runs[0][0], runs[-1][0]
    return any(first <= when <= last for when in disk.doubts)


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
    definition = registry.started(started.name, started.version)
    assert definition is not None
    execution = Execution(ReplayRun(definition, life.instance_id, run.number, registry, _SILENT))
    recorded = [name for turn in run.turns for name in turn.patches]
    execution.recorded_patches = frozenset(recorded)
    # A terminated run drops what its last turn asked for.
    terminated = run.over is not None and run.over.status is h.Status.TERMINATED
    try:
        for turn in run.turns[:-1] if terminated else run.turns:
            replay(execution, turn)
    finally:
        execution.close()
    if run.over is not None and not terminated:
        found = execution.outcome
        if not isinstance(found, h.ExecutionCompleted) or found.output != run.over.output:
            raise Fault(f"its end was {run.over}, now it is {found}")
