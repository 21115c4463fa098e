"""How long does a one-activity workflow take, from start to completion, when nothing else runs?"""

from __future__ import annotations

from benchmarks.in_process import Load, measure_load
from benchmarks.options import Options
from benchmarks.result import Result


async def measure(options: Options) -> Result:
    load = Load(
        workload="latency",
        workflow="noop",
        input="7",
        output="7",
        count=options.size(1_000, 400),
        in_flight=1,
    )
    return await measure_load(load, options)
