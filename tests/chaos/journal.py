"""What the activities themselves have left behind, and the logs: how often each ran, and why."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

from tests.chaos.model import Case
from tests.chaos.nodes import FROZEN, KILLED, LEASE_SECONDS, Process, said_at
from tests.chaos.verdict import LOST, TAKEN, TWICE, UNEXPLAINED, WRONG, Problem

NAP_SECONDS = 0.4
"""As in `app`, which only a node can import."""
_AFTERMATH_SECONDS = 1.0
"""A process that was frozen learns only then, by its first write, what has happened meanwhile."""

_TAKEN_OVER = re.compile(r"a node is dead; its work goes on elsewhere node=(\S+) .*pid=(\d+)")
_FENCED = "this node was declared dead by others"
_CANCELLED = "activities did not end in time and were cancelled"


class Call(NamedTuple):
    """One try of one activity."""

    instance_id: str
    activity: str
    execution_id: str
    task_id: int


class Run(NamedTuple):
    began: float
    pid: int


def read(path: Path) -> dict[Call, list[Run]]:
    """The runs of each call, in the order of their beginning."""
    runs: dict[Call, list[Run]] = defaultdict(list)
    for line in path.read_text().splitlines():
        phase, at, pid, instance_id, activity, execution_id, task_id = line.split()
        if phase == "begin":
            call = Call(instance_id, activity, execution_id, int(task_id))
            runs[call].append(Run(float(at), int(pid)))
    for each in runs.values():
        each.sort()
    return runs


# ---- how often each activity ran


def check_calls(cases: Sequence[Case], runs: dict[Call, list[Run]]) -> list[Problem]:
    """Each case has made the calls that it must, and nobody has made others."""
    made: dict[str, Counter[str]] = defaultdict(Counter)
    for call in runs:
        made[call.instance_id][call.activity] += 1
    problems = []
    for case in cases:
        wanted = {case.instance_id: case.calls}
        if case.kind == "family":
            wanted |= {child: Counter(double=4) for child in case.children}
        for instance_id, calls in wanted.items():
            found = made.pop(instance_id, Counter())
            if found != calls and not (case.calls_may_miss and found <= calls):
                kind = LOST if found < calls else TWICE
                text = f"{instance_id} has called {dict(found)}, expected {dict(calls)}"
                problems.append(Problem(kind, text))
    problems += [Problem(WRONG, f"{instance_id} was never started") for instance_id in made]
    return problems + _early_timers(runs)


def _early_timers(runs: dict[Call, list[Run]]) -> list[Problem]:
    """Between two steps of a sleeper lies a whole nap."""
    began: dict[str, list[float]] = defaultdict(list)
    for call, times in runs.items():
        if call.instance_id.startswith("sleeper-"):
            began[call.instance_id].append(times[0].began)
    return [
        Problem(WRONG, f"{instance_id} was woken after {later - earlier:.3f} s")
        for instance_id, times in began.items()
        for earlier, later in pairwise(sorted(times))
        if later - earlier < NAP_SECONDS
    ]


def check_repeats(
    runs: dict[Call, list[Run]], processes: Sequence[Process]
) -> tuple[int, list[Problem]]:
    """How many runs were repeats, and those that nothing explains."""
    by_pid = {process.pid: process for process in processes}
    excuses = {pid: _excuses(process) for pid, process in by_pid.items()}
    repeats, problems = 0, []
    for call, times in runs.items():
        for before, after in pairwise(times):
            repeats += 1
            if any(
                before.began <= until and after.began >= since
                for since, until in excuses[before.pid]
            ) or any(since <= after.began <= until for since, until in excuses[after.pid]):
                continue
            ran = ", ".join(f"{by_pid[run.pid].log.stem} at {run.began:.3f}" for run in times)
            problems.append(Problem(UNEXPLAINED, f"{call} ran on {ran}"))
    return repeats, problems


def _excuses(process: Process) -> list[tuple[float, float]]:
    """In which times a process may have lost what it ran."""
    found = []
    for fault in process.faults:
        if fault.kind == KILLED:
            found.append((fault.began, fault.began))
        elif fault.kind == FROZEN:
            found.append((fault.began, fault.ended + _AFTERMATH_SECONDS))
    for line in process.said().splitlines():
        at = said_at(line)
        if at is not None and _FENCED in line:
            found.append((at - LEASE_SECONDS, at + _AFTERMATH_SECONDS))
        elif at is not None and _CANCELLED in line:
            found.append((at - _AFTERMATH_SECONDS, at))
    return found


# ---- who was taken for dead


def check_take_overs(processes: Sequence[Process]) -> tuple[int, list[Problem]]:
    """How many nodes were taken over, and those that were neither killed nor frozen."""
    by_pid = {process.pid: process for process in processes}
    problems, count = [], 0
    for process in processes:
        for line in process.said().splitlines():
            taken = _TAKEN_OVER.search(line)
            if taken is None:
                continue
            count += 1
            victim, at = by_pid.get(int(taken[2])), said_at(line)
            assert at is not None
            before = [] if victim is None else [f.kind for f in victim.faults if f.began <= at]
            if not {KILLED, FROZEN} & {*before}:
                text = f"{process.log.stem} took over {taken[1]}, which had {before}: {line}"
                problems.append(Problem(TAKEN, text))
    return count, problems
