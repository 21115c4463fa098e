"""Measures one workload in this process and prints its result as JSON. An edge module.

Started by `python -m benchmarks`, so that no workload feels what another has left in memory.
"""

from __future__ import annotations

import asyncio
import importlib
import logging
import sys

import msgspec

from benchmarks.options import decoded, loop_factory
from benchmarks.result import Result


def main() -> None:
    workload, text = sys.argv[1:]
    options = decoded(text)
    logging.basicConfig(level=logging.ERROR)
    measure = importlib.import_module(f"benchmarks.workloads.{workload}").measure
    with asyncio.Runner(loop_factory=loop_factory(options)) as runner:
        result: Result = runner.run(measure(options))
    print(msgspec.json.encode(result).decode())


if __name__ == "__main__":
    main()
