"""The benchmarks themselves: that what is listed is there, and that what is wrong is found."""

from __future__ import annotations

import importlib
import inspect
import pkgutil

import pytest

import benchmarks.workloads
from benchmarks import app
from benchmarks.__main__ import WORKLOADS
from benchmarks.app import Holder
from benchmarks.budget import BUDGET, Line, Mark, judged
from benchmarks.cluster import Measured, Traffic
from benchmarks.measuring import Round, Usage
from benchmarks.result import Result
from benchmarks.workloads import takeover
from perdure import Node

NOTHING = Usage(0.0, 0)


def result_of(line: Line, value: float) -> Result:
    """A result in which all figures that a line could ask for are the same."""
    own = ("two_to_one", "more_p50_ms", "killed_last_ms", "frozen_last_after_lease_ms", "lost")
    return Result(
        workload=line.workload,
        unit="",
        rates=[value],
        p50_ms=value,
        p99_ms=value,
        load="",
        latency_of="",
        cpu_ms=value,
        transactions=value,
        figures=dict.fromkeys(own, value),
    )


def line_of(figure: str) -> Line:
    [line] = [line for line in BUDGET if figure in line.figure]
    return line


# ---- the list of workloads, and the budget


def test_the_workloads_that_are_listed_are_those_that_there_are() -> None:
    found = {module.name for module in pkgutil.iter_modules(benchmarks.workloads.__path__)}
    assert sorted(WORKLOADS) == sorted(found)


@pytest.mark.parametrize("workload", WORKLOADS)
def test_a_workload_measures_by_the_options(workload: str) -> None:
    measure = importlib.import_module(f"benchmarks.workloads.{workload}").measure
    assert inspect.iscoroutinefunction(measure)
    assert list(inspect.signature(measure).parameters) == ["options"]


@pytest.mark.parametrize("line", BUDGET, ids=lambda line: line.figure)
def test_a_line_of_the_budget_is_of_a_workload_and_its_goal_no_worse_than_its_floor(
    line: Line,
) -> None:
    assert line.workload in WORKLOADS
    assert line.mark(line.goal) is Mark.GOAL
    assert line.mark(line.floor) in (Mark.GOAL, Mark.OK)


@pytest.mark.parametrize(
    ("figure", "floor", "worse"),
    [
        ("two nodes, against one", 1.4, 1.39),
        ("forwarded start", 1.0, 1.01),
        ("requests with replies", 15_000, 14_999),
        ("kill -9 of one of two nodes, lease", 6_000, 6_001),
        ("freeze of one of two nodes: last", 1_000, 1_001),
        ("or freeze of one of two nodes: workflows lost", 0, 1),
    ],
)
def test_what_a_cluster_has_to_reach_is_judged_by_what_was_measured(
    figure: str, floor: float, worse: float
) -> None:
    line = line_of(figure)
    for value, expected in ((floor, True), (worse, False)):
        results = {line.workload: result_of(line, value)}
        marks = {each.line.figure: each.mark for each in judged(results, quick=False)}
        assert (marks[line.figure] is not Mark.BELOW) is expected


def test_the_ratio_of_two_nodes_to_one_is_not_judged_in_a_quick_run() -> None:
    line = line_of("two nodes, against one")
    [found] = judged({"cluster": result_of(line, 0.1)}, quick=True)
    assert found.mark is Mark.NONE


# ---- clusters


def test_the_figures_of_a_cluster_are_those_of_its_median_round() -> None:
    rounds = [
        Round(100, 1.0, [9.0], NOTHING),
        Round(100, 2.0, [1.0, 2.0], Usage(0.05, 10)),
        Round(100, 4.0, [8.0], NOTHING),
    ]
    traffic = [Traffic(0, 0, 0, 0), Traffic(150, 50, 30, 7), Traffic(0, 99, 99, 99)]
    assert Measured(rounds, traffic).figures(2) == {
        "nodes_2_rate": 50.0,
        "nodes_2_p50_ms": 1.0,
        "nodes_2_p99_ms": 2.0,
        "nodes_2_cpu_ms": 0.5,
        "nodes_2_transactions": 0.1,
        "nodes_2_forwarded_share": 0.5,
        "nodes_2_peer_messages_rate": 15.0,
    }


# ---- the take-over


def taken_over(times: list[float], numbers: list[int]) -> takeover.TakeOver:
    """Three instances; the blow was at 10, and the timer due at 11."""
    began = {Holder.ACTIVITY: 10.0, Holder.EVENT: 10.0, Holder.TIMER: 11.0}
    holders = [Holder.ACTIVITY, Holder.EVENT, Holder.TIMER]
    return takeover.TakeOver(began, holders, times, numbers, NOTHING)


def test_instances_wait_from_the_blow_and_timers_from_when_they_are_due() -> None:
    found = taken_over([11.5, 12.0, 13.0], [1, 0, 2])
    found.check()
    assert found.waits_ms() == [2000.0, 1500.0, 2000.0]
    assert found.waits_ms(Holder.EVENT) == [1500.0]


def test_a_step_that_was_done_twice_counts_from_its_first_time_and_is_reported() -> None:
    found = taken_over([11.0, 12.0, 12.5, 13.0], [0, 1, 0, 2])
    assert found.waits_ms(Holder.ACTIVITY) == [1000.0]
    assert found.repeated == 1


def test_an_instance_that_has_not_gone_on_is_an_error() -> None:
    with pytest.raises(AssertionError, match=r"1 of 3 instances .* number 2, held by timer"):
        taken_over([11.0, 12.0], [0, 1]).check()


async def test_an_instance_that_has_not_come_to_its_number_is_an_error() -> None:
    async with Node(app, store=":memory:") as node:
        ids = [(await node.service.run("noop", text)).row.instance_id for text in ("0", "1", "2")]
        await takeover.check(node, ids)
        with pytest.raises(AssertionError, match="2 of 3 instances are lost"):
            await takeover.check(node, [ids[0], ids[2], ids[1]])
        running = await node.service.start("wait_for_event", "3")
        with pytest.raises(AssertionError, match="1 of 4 instances are lost"):
            await takeover.check(node, [*ids, running])
