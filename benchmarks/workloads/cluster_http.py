"""How many workflows a second can be started over HTTP on 1, 2 and 4 nodes, through any of them?

The client, one process, gives the ids and goes round the nodes, so that of n nodes about n-1 in n
requests come to one that does not own the id. The rate is that of two nodes. CPU is that of the
whole workflow, the client included; `client_busy` tells how much of one core the client took, and
so whether it is what limits the rate.
"""

from __future__ import annotations

import time
from contextlib import AsyncExitStack

from benchmarks.cluster import Cluster, Measured, Traffic
from benchmarks.http_client import Connection
from benchmarks.measuring import Round, Usage, closed_loop, cpu_seconds
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

    async def finish(self) -> None:
        """All that were started have been completed."""
        node = self._cluster.nodes[0]
        await node.ask("benchmarks.node_process.all_completed", count=self._started)


async def measure(options: Options) -> Result:
    count = options.size(4_000, 1_000)
    figures: dict[str, float] = {}
    measured: dict[int, Measured] = {}
    for size in SIZES:
        found, client_busy = await _with_nodes(options, size, count)
        measured[size] = found
        figures |= found.figures(size) | {f"nodes_{size}_client_busy": client_busy}
    two = measured[2]
    return Result(
        workload="cluster_http",
        unit="starts",
        rates=[each.rate for each in two.rounds],
        p50_ms=figures["nodes_2_p50_ms"],
        p99_ms=figures["nodes_2_p99_ms"],
        load=f"one client process goes round the nodes with ids of its own, {CONNECTIONS} requests "
        "in flight",
        latency_of="start request, with two nodes",
        cpu_ms=figures["nodes_2_cpu_ms"],
        transactions=figures["nodes_2_transactions"],
        figures=figures | {"two_to_one": two.median.rate / measured[1].median.rate},
    )


async def _with_nodes(options: Options, size: int, count: int) -> tuple[Measured, float]:
    """All rounds, and how much of one core the client took in the median one."""
    rounds: list[Round] = []
    traffic: list[Traffic] = []
    client_busy: list[float] = []
    async with (
        Cluster(options, "cluster-http", size, http=True) as cluster,
        AsyncExitStack() as open_ones,
    ):
        clients = _Clients(cluster)
        await clients.open(open_ones)
        await closed_loop(clients.start, count // 5, CONNECTIONS)
        await clients.finish()
        for _ in range(options.rounds):
            before, used = await cluster.traffic(), await cluster.usage()
            began, client_used = time.perf_counter(), cpu_seconds()
            latencies = await closed_loop(clients.start, count, CONNECTIONS)
            seconds, client_used = time.perf_counter() - began, cpu_seconds() - client_used
            # Else one round's workflows would still run while the next is measured.
            await clients.finish()
            used = await cluster.usage() - used + Usage(client_used, 0)
            rounds.append(Round(count, seconds, latencies, used))
            traffic.append(await cluster.traffic() - before)
            client_busy.append(client_used / seconds)
    found = Measured(rounds, traffic)
    return found, client_busy[rounds.index(found.median)]
