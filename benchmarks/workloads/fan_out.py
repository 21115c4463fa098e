"""How many steps a second, if one workflow asks for 200 at once?"""

from __future__ import annotations

from benchmarks.in_process import Load, measure_load
from benchmarks.options import Options
from benchmarks.result import Result

WIDTH = 200


async def measure(options: Options) -> Result:
    load = Load(
        workload="fan_out",
        workflow="fan_out",
        input=str(WIDTH),
        output=str(sum(range(WIDTH))),
        count=options.size(100, 30),
        in_flight=1,
        unit="steps",
        units=WIDTH,
    )
    return await measure_load(load, options)
