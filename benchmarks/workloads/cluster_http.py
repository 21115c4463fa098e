"""How many workflows a second can be started over HTTP on 1, 2 and 4 nodes, through any of them?

The client, one process, gives the ids and goes round the nodes, so that of n nodes about n-1 in n
requests come to one that does not own the id. The rate is that of two nodes.
"""

from __future__ import annotations

from contextlib import AsyncExitStack

from benchmarks.cluster import Cluster, Traffic
from benchmarks.http_client import Connection
from benchmarks.measuring import (
    Round,
    Usage,
    closed_loop,
    cpu_seconds,
    measured,
    median_round,
    percentile,
)
from benchmarks.options import Options
from benchmarks.result import Result

SIZES = (1, 2, 4)
CONNECTIONS = 64
PATH = "/v1.0/workflows/dapr/noop/start?instanceID="


class _Clients:
    """Starts workflows under ever new ids, through the nodes in turn."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._started = 0
        self._free: list[list[Connection]] = [[] for _ in cluster.nodes]

    async def open(self, open_ones: AsyncExitStack) -> None:
        # As many for each node as could ever be busy there at once.
        for free, node in zip(self._free, self._cluster.nodes, strict=True):
            for _ in range(CONNECTIONS):
                free.append(await open_ones.enter_async_context(Connection(node.url)))

    async def start(self, _: int) -> None:
        number = self._started
        self._started += 1
        free = self._free[number % len(self._free)]
        connection = free.pop()
        status, body = await connection.request("POST", f"{PATH}given-{number}", b"7")
        free.append(connection)
        if status != 202:
            raise AssertionError(f"a start was answered with {status}: {body!r}")

    async def used(self) -> Usage:
        return await self._cluster.usage() + Usage(cpu_seconds(), 0)

    async def finish(self) -> None:
        """All that were started have been completed."""
        node = self._cluster.nodes[0]
        await node.ask("benchmarks.node_process.all_completed", count=self._started)


async def measure(options: Options) -> Result:
    count = options.size(4_000, 1_000)
    figures: dict[str, float] = {}
    of_two: list[Round] = []
    for size in SIZES:
        rounds, traffic = await _with_nodes(options, size, count)
        median = median_round(rounds)
        figures |= {
            f"nodes_{size}_rate": median.rate,
            f"nodes_{size}_p50_ms": percentile(median.latencies_ms, 0.5),
            f"nodes_{size}_p99_ms": percentile(median.latencies_ms, 0.99),
            f"nodes_{size}_forwarded": traffic.calls_forwarded / (count * len(rounds)),
            f"nodes_{size}_peer_messages": traffic.messages / (count * len(rounds)),
        }
        if size == 2:
            of_two = rounds
    median = median_round(of_two)
    return Result(
        workload="cluster_http",
        unit="starts",
        rates=[each.rate for each in of_two],
        p50_ms=figures["nodes_2_p50_ms"],
        p99_ms=figures["nodes_2_p99_ms"],
        latency_of="start request, two nodes; the client has one process",
        cpu_ms=median.used.cpu_seconds / count * 1000,
        transactions=median.used.transactions / count,
        figures=figures,
    )


async def _with_nodes(options: Options, size: int, count: int) -> tuple[list[Round], Traffic]:
    """The rounds, and the traffic of all of them together."""
    rounds: list[Round] = []
    async with (
        Cluster(options, "cluster-http", size, http=True) as cluster,
        AsyncExitStack() as open_ones,
    ):
        clients = _Clients(cluster)
        await clients.open(open_ones)
        await closed_loop(clients.start, count // 5, CONNECTIONS)
        await clients.finish()
        before = await cluster.traffic()
        for _ in range(options.rounds):
            work = closed_loop(clients.start, count, CONNECTIONS)
            rounds.append(await measured(clients.used, count, work))
            # Else one round's workflows would still run while the next is measured.
            await clients.finish()
        traffic = await cluster.traffic() - before
    return rounds, traffic
