"""Workloads that drive a node in their own process. An edge module."""

from __future__ import annotations

from dataclasses import dataclass

from benchmarks import app
from benchmarks.measuring import (
    Round,
    Usage,
    closed_loop,
    measured,
    median_round,
    percentile,
    usage_of,
)
from benchmarks.options import Options
from benchmarks.result import Result
from perdure import Node
from perdure.runtime import garbage


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """Which workflow to run, how often in each round, and how many at a time."""

    workload: str
    workflow: str
    input: str
    output: str
    count: int
    in_flight: int
    unit: str = "workflows"
    units: int = 1
    """Units in one workflow."""


async def measure_load(load: Load, options: Options) -> Result:
    """Run the load for some rounds, after one that does not count, and check every result."""
    rounds: list[Round] = []
    async with Node(app, config=options.config(load.workload)) as node:
        if options.settle:
            garbage.settle()
        service = node.service

        async def run(number: int) -> None:
            view = await service.run(load.workflow, load.input)
            if view.row.output != load.output:
                raise AssertionError(f"{load.workflow} came to {view.row}")

        async def used() -> Usage:
            return usage_of(node)

        await closed_loop(run, max(load.count // 5, 1), load.in_flight)
        for _ in range(options.rounds):
            work = closed_loop(run, load.count, load.in_flight)
            rounds.append(await measured(used, load.count, work))
    median = median_round(rounds)
    return Result(
        workload=load.workload,
        unit=load.unit,
        rates=[each.rate * load.units for each in rounds],
        p50_ms=percentile(median.latencies_ms, 0.5),
        p99_ms=percentile(median.latencies_ms, 0.99),
        load=f"a closed loop in the node's own process, {load.in_flight} in flight",
        latency_of="start to completion",
        cpu_ms=median.used.cpu_seconds / median.count * 1000,
        transactions=median.used.transactions / median.count,
    )
