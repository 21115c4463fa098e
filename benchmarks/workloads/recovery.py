"""After `kill -9` in the middle of many chains: how soon does the work go on, how fast, and is
all of it there?
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

from benchmarks.app import STEPS
from benchmarks.measuring import closed_loop, percentile
from benchmarks.node_process import NodeProcess
from benchmarks.options import Options
from benchmarks.result import Result
from perdure import Node
from perdure.runtime.workflow.history import Status
from perdure.runtime.workflow.records import ListQuery

LENGTH = 10
GIVE_UP_SECONDS = 60.0


async def start_chains(node: Node, count: int, enough: int) -> int:
    """Start all, and return how many were acknowledged once `enough` steps have been taken."""

    async def start(number: int) -> None:
        await node.service.start("chain", str(LENGTH), instance_id=f"chain-{number}")

    await closed_loop(start, count, 500)
    await STEPS.reach(enough)
    return count


async def steps_taken(node: Node) -> int:
    return len(STEPS)


async def completed(node: Node) -> int:
    query = ListQuery(statuses=(Status.COMPLETED,), limit=1)
    return (await node.service.counts(query)).get(Status.COMPLETED, 0)


async def finish(node: Node, count: int) -> dict[str, Any]:
    """Wait until all chains have ended, and tell what that took."""
    with contextlib.suppress(TimeoutError):  # Those that never end are lost, and reported as such.
        async with asyncio.timeout(GIVE_UP_SECONDS):
            while True:
                if await completed(node) == count:
                    break
                await asyncio.sleep(0.05)
    right = 0
    for number in range(count):
        view = await node.service.get(f"chain-{number}")
        right += view.row.status is Status.COMPLETED and view.row.output == str(LENGTH)
    return {"right": right, "times": STEPS.times}


async def measure(options: Options) -> Result:
    count = options.size(3_000, 500)
    rates, first_steps, latencies, cpu, transactions = [], [], [], [], []
    lost = repeated = 0
    for number in range(options.size(3, 1)):
        database = f"recovery-{number}"
        async with NodeProcess(options, database) as node:
            acknowledged = await node.ask(
                f"{__name__}.start_chains", count=count, enough=count * LENGTH * 2 // 5
            )
            taken_before = await node.ask(f"{__name__}.steps_taken")
            await node.kill()
        async with NodeProcess(options, database) as node:
            found = await node.ask(f"{__name__}.finish", count=count)
            used = await node.usage()
            asked_at = node.asked_at
        times: list[float] = found["times"]
        lost += acknowledged - found["right"]
        repeated += max(taken_before + len(times) - count * LENGTH, 0)
        rates.append((len(times) - 1) / (times[-1] - times[0]))
        first_steps.append(times[0] - asked_at)
        latencies += [(at - asked_at) * 1000 for at in times]
        cpu.append(used.cpu_seconds / count * 1000)
        transactions.append(used.transactions / count)
    return Result(
        workload="recovery",
        unit="steps",
        rates=rates,
        p50_ms=percentile(latencies, 0.5),
        p99_ms=percentile(latencies, 0.99),
        load=f"{count} chains of {LENGTH} steps, 2 in 5 of all steps done before the kill",
        latency_of="restart to step",
        cpu_ms=percentile(cpu, 0.5),
        transactions=percentile(transactions, 0.5),
        figures={
            "chains": count,
            "first_step_seconds": percentile(first_steps, 0.5),
            "lost": lost,
            "repeated_steps": repeated,
        },
    )
