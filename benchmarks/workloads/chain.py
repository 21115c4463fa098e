"""How many steps a second, if each waits for the one before: 50 chains of 10 at any time?"""

from __future__ import annotations

from benchmarks.in_process import Load, measure_load
from benchmarks.options import Options
from benchmarks.result import Result


async def measure(options: Options) -> Result:
    load = Load(
        workload="chain",
        workflow="chain",
        input="10",
        output="10",
        count=options.size(2_000, 400),
        in_flight=50,
        unit="steps",
        units=10,
    )
    return await measure_load(load, options)
