"""How fast are steps one after the other in a worker of an SDK, and does a long history cost more?

The worker itself goes through all of a history in every turn, whatever it is sent; what must not
grow is the server's share.
"""

from __future__ import annotations

from dataclasses import replace

from benchmarks.options import Options
from benchmarks.remote import Load, measure_remote, measure_round, perdure_with
from benchmarks.result import Result
from benchmarks.sdk_process import DAPR

_STEPS = 10


async def measure(options: Options) -> Result:
    load = Load(
        workflow="remote_chain",
        number=_STEPS,
        output=_STEPS,
        steps=_STEPS,
        count=options.size(100, 30),
        in_flight=20,
    )
    found = await measure_remote("remote_chain", load, options)
    length = options.size(2_000, 400)
    async with perdure_with(DAPR, options, "remote_chain-long") as setting:
        one = replace(load, count=1, in_flight=1)
        await measure_round(setting, one)
        short, long = [
            await measure_round(setting, replace(one, number=steps, output=steps, steps=steps))
            for steps in (length // 10, length)
        ]
    figures = {
        "long_steps": length,
        "long_seconds": long.round.seconds,
        "long_server_ms_per_step": long.server_ms,
        "short_server_ms_per_step": short.server_ms,
        "long_worker_ms_per_step": long.worker_ms,
        "short_worker_ms_per_step": short.worker_ms,
        "long_to_short": long.server_ms / short.server_ms,
    }
    return replace(found, figures={**found.figures, **figures})
