"""How many one-activity workflows a second with 1, 2 and 4 nodes on one machine and one database?

Each node's process drives a closed loop of its own, under ids that it makes itself and so owns; 200
workflows are in flight in all. The rate is that of two nodes.
"""

from __future__ import annotations

from dataclasses import dataclass

from benchmarks.cluster import Cluster, Traffic
from benchmarks.measuring import Round, median_round, percentile
from benchmarks.options import Options
from benchmarks.result import Result

SIZES = (1, 2, 4)
IN_FLIGHT = 200


@dataclass(frozen=True, slots=True)
class _Measured:
    """A cluster of one size: all rounds, and the traffic of the one that counts."""

    rounds: list[Round]
    traffic: dict[int, Traffic]

    @property
    def median(self) -> Round:
        return median_round(self.rounds)

    def figures(self, name: str) -> dict[str, float]:
        median = self.median
        traffic = self.traffic[self.rounds.index(median)]
        return {
            f"{name}_rate": median.rate,
            f"{name}_p50_ms": percentile(median.latencies_ms, 0.5),
            f"{name}_p99_ms": percentile(median.latencies_ms, 0.99),
            f"{name}_cpu_ms": median.used.cpu_seconds / median.count * 1000,
            f"{name}_transactions": median.used.transactions / median.count,
            f"{name}_forwarded_share": traffic.forwarded_share,
            f"{name}_peer_messages_rate": traffic.messages / median.seconds,
        }


async def measure(options: Options) -> Result:
    # A multiple of all sizes, so that every node does the same.
    count = options.size(8_000, 2_000)
    measured = {size: await _with_nodes(options, size, count) for size in SIZES}
    figures: dict[str, float] = {}
    for size, found in measured.items():
        figures |= found.figures(f"nodes_{size}")
    two = measured[2]
    return Result(
        workload="cluster",
        unit="workflows",
        rates=[each.rate for each in two.rounds],
        p50_ms=figures["nodes_2_p50_ms"],
        p99_ms=figures["nodes_2_p99_ms"],
        latency_of="start to completion, two nodes, each with a closed loop in its own process",
        cpu_ms=figures["nodes_2_cpu_ms"],
        transactions=figures["nodes_2_transactions"],
        figures=figures | {"two_to_one": two.median.rate / measured[1].median.rate},
    )


async def _with_nodes(options: Options, size: int, count: int) -> _Measured:
    rounds: list[Round] = []
    traffic: dict[int, Traffic] = {}
    async with Cluster(options, "cluster", size) as cluster:
        await _round(cluster, count // 5)
        for number in range(options.rounds):
            before = await cluster.traffic()
            rounds.append(await _round(cluster, count))
            traffic[number] = await cluster.traffic() - before
    return _Measured(rounds, traffic)


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
