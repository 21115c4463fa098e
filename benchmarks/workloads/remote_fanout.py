"""How fast are activities side by side whose code is in a worker of an SDK?"""

from __future__ import annotations

from benchmarks.options import Options
from benchmarks.remote import Load, measure_remote
from benchmarks.result import Result

_WIDTH = 100


async def measure(options: Options) -> Result:
    load = Load(
        workflow="remote_fan_out",
        number=_WIDTH,
        output=sum(range(1, _WIDTH + 1)),
        steps=_WIDTH,
        count=options.size(10, 4),
        in_flight=4,
    )
    return await measure_remote("remote_fanout", load, options)
