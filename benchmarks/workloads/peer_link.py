"""How many requests with their replies a second go over the link between two nodes?

That of `python -m benchmarks.peer_link`, which needs no database: what the nodes say is empty.
"""

from __future__ import annotations

import asyncio
import re
import sys

from benchmarks.measuring import percentile
from benchmarks.options import Options
from benchmarks.result import Result

_RATE = re.compile(r"([\d,]+) request/reply messages/s .* ([\d.]+) us of CPU")
_ALONE = re.compile(r"one at a time: p50 ([\d.]+) ms, p99 ([\d.]+) ms")


async def measure(options: Options) -> Result:
    rates, cpu, medians, slow = [], [], [], []
    for _ in range(options.rounds):
        told = await _told(options)
        rate, alone = _RATE.search(told), _ALONE.search(told)
        assert rate is not None, told
        assert alone is not None, told
        rates.append(float(rate[1].replace(",", "")))
        cpu.append(float(rate[2]) / 1000)
        medians.append(float(alone[1]))
        slow.append(float(alone[2]))
    return Result(
        workload="peer_link",
        unit="requests",
        rates=rates,
        p50_ms=percentile(medians, 0.5),
        p99_ms=percentile(slow, 0.5),
        load="200 calls at a time by one process, of 200 bytes each, given back by another",
        latency_of="request to reply, one at a time; CPU is that of the asker, for one request",
        cpu_ms=percentile(cpu, 0.5),
        transactions=0.0,
    )


async def _told(options: Options) -> str:
    count = options.size(100_000, 20_000)
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "benchmarks.peer_link", "--count", str(count)),
        *([] if options.uvloop else ["--no-uvloop"]),
        stdout=asyncio.subprocess.PIPE,
    )
    told, _ = await process.communicate()
    if process.returncode:
        raise RuntimeError("benchmarks.peer_link has failed; its error stands above")
    return told.decode()
