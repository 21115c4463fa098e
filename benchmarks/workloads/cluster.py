"""How many one-activity workflows a second with 1, 2 and 4 nodes on one machine and one database?

Each node's process drives a closed loop of its own, under ids that it makes itself and so owns; 200
workflows are in flight in all. The rate is that of two nodes. The sizes take turns, one round each,
while the other clusters are idle: a machine's speed changes from one minute to the next, and would
else be taken for what the nodes make of it.
"""

from __future__ import annotations

from contextlib import AsyncExitStack
from statistics import median

from benchmarks.cluster import Cluster, Measured
from benchmarks.measuring import Round
from benchmarks.options import Options
from benchmarks.result import Result

SIZES = (1, 2, 4)
IN_FLIGHT = 200


async def measure(options: Options) -> Result:
    # A multiple of all sizes, so that every node does the same.
    count = options.size(8_000, 2_000)
    measured = {size: Measured([], []) for size in SIZES}
    async with AsyncExitStack() as open_ones:
        clusters = {
            size: await open_ones.enter_async_context(Cluster(options, "cluster", size))
            for size in SIZES
        }
        for cluster in clusters.values():
            await _round(cluster, count // 5)
        for _ in range(options.rounds):
            for size, cluster in clusters.items():
                before = await cluster.traffic()
                measured[size].rounds.append(await _round(cluster, count))
                measured[size].traffic.append(await cluster.traffic() - before)
    figures: dict[str, float] = {}
    for size, found in measured.items():
        figures |= found.figures(size)
    one, two = measured[1], measured[2]
    ratios = [b.rate / a.rate for a, b in zip(one.rounds, two.rounds, strict=True)]
    return Result(
        workload="cluster",
        unit="workflows",
        rates=[each.rate for each in two.rounds],
        p50_ms=figures["nodes_2_p50_ms"],
        p99_ms=figures["nodes_2_p99_ms"],
        load=f"each node's process has a closed loop of its own, {IN_FLIGHT} in flight in all",
        latency_of="start to completion, with two nodes",
        cpu_ms=figures["nodes_2_cpu_ms"],
        transactions=figures["nodes_2_transactions"],
        figures=figures | {"two_to_one": median(ratios)},
    )


async def _round(cluster: Cluster, count: int) -> Round:
    size = len(cluster.nodes)
    before = await cluster.usage()
    driven = await cluster.ask_all(
        "benchmarks.cluster.drive",
        workflow="noop",
        input="7",
        count=count // size,
        in_flight=IN_FLIGHT // size,
    )
    seconds = max(each["ended"] for each in driven) - min(each["began"] for each in driven)
    latencies = [ms for each in driven for ms in each["latencies_ms"]]
    return Round(count, seconds, latencies, await cluster.usage() - before)
