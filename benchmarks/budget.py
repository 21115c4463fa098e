"""What each figure ought to be: a floor that is kept and a goal. A value module.

The figures are for two cores, with SQLite on a local disk and `durability = full`; for one node
where none other is named.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from benchmarks.result import Result


class Mark(StrEnum):
    GOAL = "goal"
    """As good as the goal, or better."""
    OK = "ok"
    BELOW = "below"
    """Worse than the floor."""
    NONE = ""
    """Measured at another size than the budget is for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One promise."""

    figure: str
    workload: str
    unit: str
    floor: float
    goal: float
    read: Callable[[Result], float]
    less_is_better: bool = False
    quick_too: bool = True
    """Whether it also holds for the small sizes of a quick run."""

    def mark(self, value: float) -> Mark:
        sign = -1 if self.less_is_better else 1
        if sign * value >= sign * self.goal:
            return Mark.GOAL
        return Mark.OK if sign * value >= sign * self.floor else Mark.BELOW


def _rate(result: Result) -> float:
    return result.rate


def _figure(name: str) -> Callable[[Result], float]:
    return lambda result: result.figures[name]


BUDGET: tuple[Line, ...] = (
    Line(
        figure="CPU per one-activity workflow, in process",
        workload="noop",
        unit="ms",
        floor=0.30,
        goal=0.20,
        read=lambda result: result.cpu_ms,
        less_is_better=True,
    ),
    Line(
        figure="one-activity workflows, 200 in flight",
        workload="noop",
        unit="/s",
        floor=3_000,
        goal=7_500,
        read=_rate,
    ),
    Line(
        figure="transactions per workflow, 200 in flight",
        workload="noop",
        unit="",
        floor=0.2,
        goal=0.1,
        read=lambda result: result.transactions,
        less_is_better=True,
    ),
    Line(
        figure="sequential steps, 50 chains of 10",
        workload="chain",
        unit="/s",
        floor=10_000,
        goal=16_500,
        read=_rate,
    ),
    Line(
        figure="steps of a fan-out of 200",
        workload="fan_out",
        unit="/s",
        floor=10_000,
        goal=25_000,
        read=_rate,
    ),
    Line(
        figure="start to completion, one at a time, p50",
        workload="latency",
        unit="ms",
        floor=3.0,
        goal=1.0,
        read=lambda result: result.p50_ms,
        less_is_better=True,
    ),
    Line(
        figure="HTTP start requests",
        workload="http_start",
        unit="/s",
        floor=2_000,
        goal=5_000,
        read=_rate,
    ),
    Line(
        figure="memory with 100,000 sleepers",
        workload="sleepers",
        unit="MB",
        floor=150,
        goal=100,
        read=_figure("resident_mb"),
        less_is_better=True,
        quick_too=False,
    ),
    Line(
        figure="start on 100,000 sleepers, against an empty store",
        workload="sleepers",
        unit="times",
        floor=2.0,
        goal=1.25,
        read=lambda result: result.figures["start_ms"] / result.figures["start_empty_ms"],
        less_is_better=True,
        quick_too=False,
    ),
    Line(
        figure="sleepers woken by events",
        workload="sleepers",
        unit="/s",
        floor=2_000,
        goal=4_000,
        read=_rate,
    ),
    Line(
        figure="sleepers woken by timers due at once",
        workload="sleepers",
        unit="/s",
        floor=2_000,
        goal=4_000,
        read=_figure("timers_woken_rate"),
    ),
    Line(
        figure="kill -9 and restart: first step after",
        workload="recovery",
        unit="s",
        floor=1.0,
        goal=0.5,
        read=_figure("first_step_seconds"),
        less_is_better=True,
    ),
    Line(
        figure="kill -9 and restart: recovered steps",
        workload="recovery",
        unit="/s",
        floor=3_000,
        goal=10_000,
        read=_rate,
    ),
    Line(
        figure="kill -9 and restart: workflows lost",
        workload="recovery",
        unit="",
        floor=0,
        goal=0,
        read=_figure("lost"),
        less_is_better=True,
    ),
    Line(
        figure="one-activity workflows of two nodes, against one",
        workload="cluster",
        unit="times",
        floor=1.4,
        goal=1.6,
        read=_figure("two_to_one"),
        quick_too=False,
    ),
    Line(
        figure="a forwarded start, more than a local one, p50",
        workload="forwarded",
        unit="ms",
        floor=1.0,
        goal=0.5,
        read=_figure("more_p50_ms"),
        less_is_better=True,
    ),
    Line(
        figure="requests with replies between two nodes",
        workload="peer_link",
        unit="/s",
        floor=15_000,
        goal=50_000,
        read=_rate,
    ),
    Line(
        figure="kill -9 of one of two nodes, lease 5 s: last instance goes on",
        workload="takeover",
        unit="s",
        floor=6.0,
        goal=1.0,
        read=lambda result: result.figures["killed_last_ms"] / 1000,
        less_is_better=True,
    ),
    Line(
        figure="freeze of one of two nodes: last instance goes on, after the lease",
        workload="takeover",
        unit="s",
        floor=1.0,
        goal=0.5,
        read=lambda result: result.figures["frozen_last_after_lease_ms"] / 1000,
        less_is_better=True,
    ),
    Line(
        figure="kill -9 or freeze of one of two nodes: workflows lost",
        workload="takeover",
        unit="",
        floor=0,
        goal=0,
        read=_figure("lost"),
        less_is_better=True,
    ),
    Line(
        figure="server CPU per step, worker of Dapr's SDK, 20 chains of 10",
        workload="remote_chain",
        unit="ms",
        floor=0.6,
        goal=0.6,
        read=_figure("server_ms_per_step"),
        less_is_better=True,
    ),
    Line(
        figure="server CPU per step, worker of Dapr's SDK, fan-out of 100",
        workload="remote_fanout",
        unit="ms",
        floor=0.6,
        goal=0.6,
        read=_figure("server_ms_per_step"),
        less_is_better=True,
    ),
    Line(
        figure="server CPU per step of a chain of 2,000, against one of 200",
        workload="remote_chain",
        unit="times",
        floor=1.5,
        goal=1.1,
        read=_figure("long_to_short"),
        less_is_better=True,
        quick_too=False,
    ),
    Line(
        figure="one-activity workflows of Microsoft's SDK, against its own server",
        workload="remote_noop",
        unit="times",
        floor=3.0,
        goal=3.0,
        read=_figure("to_microsoft"),
    ),
    Line(
        figure="steps of Microsoft's SDK, 20 chains of 10, against its own server",
        workload="remote_chain",
        unit="times",
        floor=3.0,
        goal=3.0,
        read=_figure("to_microsoft"),
    ),
    Line(
        figure="share of a core that the worker of Dapr's SDK uses (at 1 it is the limit)",
        workload="remote_chain",
        unit="",
        floor=0.0,
        goal=0.9,
        read=_figure("worker_busy"),
    ),
)


@dataclass(frozen=True, slots=True)
class Judged:
    """A line of the budget, with what was measured."""

    line: Line
    value: float
    mark: Mark


def judged(results: Mapping[str, Result], *, quick: bool) -> list[Judged]:
    """Every line whose workload was measured."""
    found: list[Judged] = []
    for line in BUDGET:
        result = results.get(line.workload)
        if result is not None:
            value = line.read(result)
            mark = line.mark(value) if line.quick_too or not quick else Mark.NONE
            found.append(Judged(line, value, mark))
    return found
