"""Runs a stored history again, from its first turn to its last, and compares. A check for tests."""

from __future__ import annotations

import logging

from perdure.runtime.workflow import history as h
from perdure.runtime.workflow.execution import Execution, Run
from perdure.runtime.workflow.payload import DEFAULT_LIMITS, PayloadLimits
from perdure.runtime.workflow.records import Instance
from perdure.runtime.workflow.registry import Registry
from perdure.runtime.workflow.replay import replay

_log = logging.getLogger("perdure.tests.replay")


def check_replay(
    row: Instance,
    turns: list[h.Turn],
    registry: Registry,
    limits: PayloadLimits = DEFAULT_LIMITS,
    app_id: str = "default",
) -> None:
    """The code of `row`, run over `turns`, asks for the same and ends in the same way."""
    definition = registry.started(row.name, row.version)
    if definition is None:
        return
    forks = _forks(turns)
    forked = forks[-1].turns if forks else 0
    run = Run(definition, row.instance_id, row.execution, registry, _log, limits, app_id, forks)
    execution = Execution(run)
    execution.recorded_patches = frozenset(name for turn in turns for name in turn.patches)
    try:
        for number, turn in enumerate(turns):
            assert execution.outcome is None or number == forked, (
                f"{row.instance_id}: ended before turn {number}"
            )
            if any(isinstance(event, h.ExecutionTerminated) for event in turn.incoming):
                assert number == len(turns) - 1
                assert row.status is h.Status.TERMINATED
                return  # What the code asked for in the turn of its end was dropped.
            if row.failure is not None and row.failure.error_type == "EndlessTurn":
                return  # Code that never blocks cannot be run again either.
            replay(execution, turn, is_forked=number < forked)
        _compare(row, turns, execution)
    finally:
        execution.close()


def _forks(turns: list[h.Turn]) -> tuple[h.Fork, ...]:
    started = turns[0].incoming[0] if turns else None
    return started.forks if isinstance(started, h.ExecutionStarted) else ()


def _compare(row: Instance, turns: list[h.Turn], execution: Execution) -> None:
    last = turns[-1].outgoing[-1:] if turns else ()
    then = last[0] if last and isinstance(last[0], h.ExecutionCompleted) else None
    now = execution.outcome
    assert then is None or isinstance(now, h.ExecutionCompleted), f"{then} became {now}"
    if then is None:
        assert now is None, f"{row.instance_id}: replay came to {now}"
        assert execution.custom_status == row.custom_status
        return
    assert isinstance(now, h.ExecutionCompleted)
    assert (now.status, now.output) == (then.status, then.output)
    assert _why(now.failure) == _why(then.failure)


def _why(failure: h.Failure | None) -> tuple[str, str] | None:
    return None if failure is None else (failure.error_type, failure.message)
