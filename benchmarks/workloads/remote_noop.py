"""How much does a one-activity workflow cost whose code is in a worker of an SDK?"""

from __future__ import annotations

from benchmarks.options import Options
from benchmarks.remote import Load, measure_remote
from benchmarks.result import Result


async def measure(options: Options) -> Result:
    load = Load(
        workflow="remote_noop",
        number=7,
        output=8,
        steps=1,
        count=options.size(500, 150),
        in_flight=50,
    )
    return await measure_remote("remote_noop", load, options)
