"""What does it cost that the node that was asked does not own the instance, with nothing else going
on?

Two nodes; one start at a time, under ids that are in turn of the asked node's own slots and of the
other's. The workflow waits for an event, so that one commit is all that a start causes.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from typing import Any

from benchmarks.cluster import Cluster
from benchmarks.measuring import percentile
from benchmarks.options import Options
from benchmarks.result import Result
from perdure import Node


async def time_starts(node: Node, prefix: str, count: int) -> Any:
    """Milliseconds of each start: `count` of this node's own instances, and as many of others."""
    router = node.engine.router
    ids = (f"{prefix}-{number}" for number in itertools.count())
    latencies: dict[bool, list[float]] = {True: [], False: []}
    for number in range(2 * count):
        is_own = number % 2 == 0
        instance_id = next(each for each in ids if (router.owned(each) is not None) is is_own)
        began = time.perf_counter()
        await node.service.start("wait_for_event", "7", instance_id=instance_id)
        latencies[is_own].append((time.perf_counter() - began) * 1000)
        await asyncio.sleep(0)
    return {"local_ms": latencies[True], "forwarded_ms": latencies[False]}


async def measure(options: Options) -> Result:
    count = options.size(500, 200)
    local_p50s: list[float] = []
    forwarded_p50s: list[float] = []
    every: list[float] = []
    async with Cluster(options, "forwarded", 2) as cluster:
        asked = cluster.nodes[0]
        function = f"{__name__}.time_starts"
        await asked.ask(function, prefix="first", count=count // 5)
        before = await cluster.usage()
        began = time.perf_counter()
        for number in range(options.rounds):
            timed = await asked.ask(function, prefix=f"round-{number}", count=count)
            local_p50s.append(percentile(timed["local_ms"], 0.5))
            forwarded_p50s.append(percentile(timed["forwarded_ms"], 0.5))
            every += timed["forwarded_ms"]
        seconds = time.perf_counter() - began
        used = await cluster.usage() - before
    started = 2 * count * options.rounds
    local, forwarded = percentile(local_p50s, 0.5), percentile(forwarded_p50s, 0.5)
    return Result(
        workload="forwarded",
        unit="starts",
        rates=[started / seconds],
        p50_ms=percentile(every, 0.5),
        p99_ms=percentile(every, 0.99),
        load="starts one at a time in the process of one of two nodes, half of them forwarded",
        latency_of="forwarded start request",
        cpu_ms=used.cpu_seconds / started * 1000,
        transactions=used.transactions / started,
        figures={
            "local_p50_ms": local,
            "forwarded_p50_ms": forwarded,
            "more_p50_ms": forwarded - local,
        },
    )
