"""`python -m benchmarks`: measures, and prints a table for people and JSON for machines.

The only edge that starts workloads; each runs in a process of its own.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import msgspec

from benchmarks.budget import judged
from benchmarks.options import Options
from benchmarks.result import Circumstances, Result, as_json, circumstances
from benchmarks.table import budget_table, heading, results_table

WORKLOADS = (
    "noop",
    "chain",
    "fan_out",
    "latency",
    "http_start",
    "http_noop",
    "recovery",
    "sleepers",
    "cluster",
    "cluster_http",
    "forwarded",
    "peer_link",
    "takeover",
    "remote_noop",
    "remote_chain",
    "remote_fanout",
)


def main() -> int:
    arguments = _arguments()
    with tempfile.TemporaryDirectory(prefix="perdure-bench-", dir=arguments.store) as directory:
        options = Options(
            directory=directory,
            durability=arguments.durability,
            quick=arguments.quick,
            uvloop=not arguments.no_uvloop,
            settle=not arguments.python_gc,
        )
        under = circumstances(options)
        print(heading(under), file=sys.stderr)
        results = _measured(arguments.only or WORKLOADS, options)
    for judgement in (
        heading(under),
        "",
        results_table(results, under),
        "",
        budget_table(judged(results, quick=options.quick)),
    ):
        print(judgement)
    if arguments.json is not None:
        _write(arguments.json, results, under)
    return 0


def _measured(workloads: list[str] | tuple[str, ...], options: Options) -> dict[str, Result]:
    results: dict[str, Result] = {}
    for workload in workloads:
        began = time.perf_counter()
        print(f"{workload} …", end=" ", file=sys.stderr, flush=True)
        done = subprocess.run(
            [sys.executable, "-m", "benchmarks.one", workload, options.encoded()],
            stdout=subprocess.PIPE,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            raise SystemExit(f"the workload {workload} has failed; its error stands above")
        results[workload] = msgspec.json.decode(done.stdout, type=Result)
        print(f"{time.perf_counter() - began:.0f} s", file=sys.stderr)
    return results


def _write(path: Path, results: dict[str, Result], under: Circumstances) -> None:
    lines = [as_json(result, under) + "\n" for result in results.values()]
    if str(path) == "-":
        sys.stdout.writelines(lines)
    else:
        path.write_text("".join(lines))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "--only", nargs="+", choices=WORKLOADS, metavar="NAME", help=", ".join(WORKLOADS)
    )
    parser.add_argument("--quick", action="store_true", help="small sizes, about two minutes")
    parser.add_argument("--json", type=Path, metavar="FILE", help="a line a workload; - for stdout")
    parser.add_argument(
        "--store", metavar="DIR", help="where to put the databases  [a temporary directory]"
    )
    parser.add_argument("--durability", choices=("full", "normal"), default="full")
    parser.add_argument(
        "--no-uvloop", action="store_true", help="asyncio's own loop even if uvloop is installed"
    )
    parser.add_argument(
        "--python-gc",
        action="store_true",
        help="leave the garbage collector alone, which `perdure serve` does not",
    )
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
