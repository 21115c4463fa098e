"""What do 100,000 waiting instances cost, and how fast are they woken?

Half of them wait for an event, half for timers that fall due at one instant. The node is started
anew on them: its memory and its time to start, against those of a node on an empty store. Then the
events are raised, in no order, and at last the timers fall due.
"""

from __future__ import annotations

import asyncio
import random
import time
from dataclasses import dataclass
from typing import Any

from benchmarks.app import WOKEN
from benchmarks.measuring import Usage, closed_loop, percentile
from benchmarks.node_process import NodeProcess, all_completed
from benchmarks.options import Options
from benchmarks.result import Result
from perdure import Node

IN_FLIGHT = 200
SETTLE_SECONDS = 2.0
"""After a start, before the memory is read: the first look at due timers and unfinished work."""


async def fill(node: Node, count: int) -> dict[str, float]:
    """Have `count` instances wait for an event, and as many for one point in time.

    That point leaves time for the events to be raised, should waking be three times as slow as
    falling asleep.
    """

    async def start_waiter(number: int) -> None:
        await node.service.start("wait_for_event", str(number), instance_id=f"waiter-{number}")

    began = time.perf_counter()
    await closed_loop(start_waiter, count, IN_FLIGHT)
    taken = time.perf_counter() - began
    due = now_seconds() + 2 * SETTLE_SECONDS + 6 + taken * 4

    async def start_sleeper(number: int) -> None:
        text = str(round(due * 1_000_000))
        await node.service.start("sleep_until", text, instance_id=f"sleeper-{number}")

    await closed_loop(start_sleeper, count, IN_FLIGHT)
    return {"due": due, "seconds": time.perf_counter() - began}


async def raise_events(node: Node, count: int) -> dict[str, Any]:
    order = list(range(count))
    random.Random(1).shuffle(order)

    async def wake(number: int) -> None:
        await node.service.raise_event(f"waiter-{order[number]}", "wake")

    began = time.perf_counter()
    latencies = await closed_loop(wake, count, IN_FLIGHT)
    seconds = time.perf_counter() - began
    await all_completed(node, count)
    return {"seconds": seconds, "latencies_ms": latencies}


async def fire_timers(node: Node, count: int, due: float) -> dict[str, Any]:
    """Wait until all have fired; how many ms after their time each was woken."""
    too_early = len(WOKEN)
    due_at = time.perf_counter() + due - now_seconds()
    await WOKEN.reach(count)
    seconds = WOKEN.times[-1] - max(due_at, WOKEN.times[0])
    await all_completed(node, 2 * count)
    return {
        "seconds": seconds,
        "too_early": too_early,
        "late_ms": [(at - due_at) * 1000 for at in WOKEN.times],
    }


def now_seconds() -> float:
    """The wall clock, in which timers are due."""
    return time.time_ns() / 1e9


@dataclass(frozen=True, slots=True)
class _Woken:
    """What waking half of them came to."""

    rate: float
    latencies_ms: list[float]
    used: Usage


async def _events(node: NodeProcess, count: int) -> _Woken:
    before = await node.usage()
    found = await node.ask(f"{__name__}.raise_events", count=count)
    used = await node.usage() - before
    return _Woken(count / found["seconds"], found["latencies_ms"], used)


async def _timers(node: NodeProcess, count: int, due: float) -> _Woken:
    before = await node.usage()
    found = await node.ask(f"{__name__}.fire_timers", count=count, due=due)
    if found["too_early"]:
        raise AssertionError(
            f"the timers fell due while the events were still being raised: {found['too_early']} "
            "had fired; this machine is too busy to measure them by themselves"
        )
    return _Woken(count / found["seconds"], found["late_ms"], await node.usage() - before)


async def _settled_bytes(node: NodeProcess) -> int:
    await asyncio.sleep(SETTLE_SECONDS)
    return await node.resident_bytes()


async def measure(options: Options) -> Result:
    count = options.size(50_000, 5_000)
    starts_empty, starts_full = [], []
    async with NodeProcess(options, "sleepers-none") as node:
        empty_bytes = await _settled_bytes(node)
    async with NodeProcess(options, "sleepers") as node:
        filled = await node.ask(f"{__name__}.fill", count=count)
    for _ in range(3):
        async with NodeProcess(options, "sleepers-none") as node:
            starts_empty.append(node.start_seconds)
        async with NodeProcess(options, "sleepers") as node:
            starts_full.append(node.start_seconds)
    async with NodeProcess(options, "sleepers") as node:
        resident = await _settled_bytes(node)
        by_event = await _events(node, count)
        by_timer = await _timers(node, count, filled["due"])
    used = by_event.used + by_timer.used
    return Result(
        workload="sleepers",
        unit="woken by events",
        rates=[by_event.rate],
        p50_ms=percentile(by_event.latencies_ms, 0.5),
        p99_ms=percentile(by_event.latencies_ms, 0.99),
        load=f"a closed loop of events in the node's own process, {IN_FLIGHT} in flight",
        latency_of="raise event to woken",
        cpu_ms=used.cpu_seconds / (2 * count) * 1000,
        transactions=used.transactions / (2 * count),
        figures={
            "instances": 2 * count,
            "put_to_sleep_rate": 2 * count / filled["seconds"],
            "resident_mb": resident / 1e6,
            "resident_empty_mb": empty_bytes / 1e6,
            "bytes_per_instance": (resident - empty_bytes) / (2 * count),
            "start_ms": percentile(starts_full, 0.5) * 1000,
            "start_empty_ms": percentile(starts_empty, 0.5) * 1000,
            "timers_woken_rate": by_timer.rate,
            "timer_late_p50_ms": percentile(by_timer.latencies_ms, 0.5),
            "timer_late_p99_ms": percentile(by_timer.latencies_ms, 0.99),
        },
    )
