"""How many one-activity workflows a second, with 200 in flight, and what does one cost?"""

from __future__ import annotations

from benchmarks.in_process import Load, measure_load
from benchmarks.options import Options
from benchmarks.result import Result


async def measure(options: Options) -> Result:
    load = Load(
        workload="noop",
        workflow="noop",
        input="7",
        output="7",
        count=options.size(8_000, 2_000),
        in_flight=200,
    )
    return await measure_load(load, options)
