"""Workloads that drive a node in another process over HTTP. An edge module."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack

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
from benchmarks.node_process import NodeProcess
from benchmarks.options import Options
from benchmarks.result import Result

Request = Callable[[Connection], Awaitable[None]]

CONNECTIONS = 64


async def measure_requests(
    workload: str, request: Request, latency_of: str, options: Options
) -> Result:
    """Rounds of requests on kept connections, after one that does not count."""
    count = options.size(6_000, 1_500)
    rounds: list[Round] = []
    node_cpu: list[float] = []
    async with NodeProcess(options, workload, http=True) as node, AsyncExitStack() as open_ones:
        free: asyncio.LifoQueue[Connection] = asyncio.LifoQueue()
        for _ in range(CONNECTIONS):
            free.put_nowait(await open_ones.enter_async_context(Connection(node.url)))

        async def one(number: int) -> None:
            connection = free.get_nowait()
            await request(connection)
            free.put_nowait(connection)

        async def used() -> Usage:
            return await node.usage() + Usage(cpu_seconds(), 0)

        await closed_loop(one, count // 5, CONNECTIONS)
        for _ in range(options.rounds):
            before = (await node.usage()).cpu_seconds
            rounds.append(await measured(used, count, closed_loop(one, count, CONNECTIONS)))
            node_cpu.append(((await node.usage()).cpu_seconds - before) / count * 1000)
        started = count // 5 + options.rounds * count
        await node.ask("benchmarks.node_process.all_completed", count=started)
    median = median_round(rounds)
    cpu_ms = median.used.cpu_seconds / count * 1000
    node_cpu_ms = node_cpu[rounds.index(median)]
    return Result(
        workload=workload,
        unit="starts" if latency_of == "start request" else "workflows",
        rates=[each.rate for each in rounds],
        p50_ms=percentile(median.latencies_ms, 0.5),
        p99_ms=percentile(median.latencies_ms, 0.99),
        load=f"a closed loop in one client process, on {CONNECTIONS} kept connections",
        latency_of=latency_of,
        cpu_ms=cpu_ms,
        transactions=median.used.transactions / count,
        figures={
            "connections": CONNECTIONS,
            "node_cpu_ms": node_cpu_ms,
            "client_cpu_ms": cpu_ms - node_cpu_ms,
            "node_cpu_busy": node_cpu_ms * median.rate / 1000,
        },
    )
