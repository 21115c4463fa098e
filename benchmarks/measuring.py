"""Clocks, counters and percentiles, and rounds of one measurement. An edge module."""

from __future__ import annotations

import asyncio
import resource
import time
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from itertools import count as counting
from math import ceil
from pathlib import Path

from perdure import Node


@dataclass(frozen=True, slots=True)
class Usage:
    """What a node's process has used up so far."""

    cpu_seconds: float
    transactions: int

    def __add__(self, other: Usage) -> Usage:
        return Usage(self.cpu_seconds + other.cpu_seconds, self.transactions + other.transactions)

    def __sub__(self, other: Usage) -> Usage:
        return Usage(self.cpu_seconds - other.cpu_seconds, self.transactions - other.transactions)


@dataclass(frozen=True, slots=True)
class Round:
    """One measured stretch of work."""

    count: int
    seconds: float
    latencies_ms: list[float]
    used: Usage

    @property
    def rate(self) -> float:
        return self.count / self.seconds


def cpu_seconds() -> float:
    """CPU of this process with all its threads."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def usage_of(node: Node) -> Usage:
    """That of the process, which is this one, and of the node in it."""
    return Usage(cpu_seconds(), node.engine.tenure.committer.commits)


def resident_bytes() -> int:
    """Memory of this process that is in RAM at this moment; the most there was where that is
    not told."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return pages * resource.getpagesize()


def percentile(values: Iterable[float], share: float) -> float:
    """The value that `share` of all values do not exceed; 0 if there are none."""
    ordered = sorted(values)
    return ordered[max(ceil(share * len(ordered)), 1) - 1] if ordered else 0.0


def median_round(rounds: list[Round]) -> Round:
    """The round of the median rate (the lower one of two)."""
    return sorted(rounds, key=lambda each: each.rate)[(len(rounds) - 1) // 2]


async def closed_loop(
    work: Callable[[int], Awaitable[object]], count: int, in_flight: int
) -> list[float]:
    """Have `work(number)` done `count` times, `in_flight` at a time; how many ms each took."""
    numbers = counting()
    latencies: list[float] = []

    async def client() -> None:
        while (number := next(numbers)) < count:
            began = time.perf_counter()
            await work(number)
            latencies.append((time.perf_counter() - began) * 1000)

    async with asyncio.TaskGroup() as group:
        for _ in range(min(in_flight, count)):
            group.create_task(client())
    return latencies


async def measured(
    used: Callable[[], Awaitable[Usage]], count: int, work: Awaitable[list[float]]
) -> Round:
    """One round of work that returns its latencies."""
    before, began = await used(), time.perf_counter()
    latencies = await work
    ended = time.perf_counter()
    return Round(count, ended - began, latencies, await used() - before)
