"""Runs seeds: `python -m tests.simulation --seeds 300 --first 0`. An edge module."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor

from tests.simulation.scenario import Outcome, replay_command, run_seed

_CHUNK = 20


def main() -> int:
    """Exit status 0 if every seed is clean."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--seeds", type=int, default=300, help="how many")
    parser.add_argument("--first", type=int, default=0, help="the first one")
    parser.add_argument("--jobs", type=int, default=1, help="processes")
    parser.add_argument("--log", action="store_true", help="print what happened in each seed")
    parser.add_argument("--digest", action="store_true", help="print a digest of each seed")
    options = parser.parse_args()
    failed = 0
    began, simulated, commits = time.process_time(), 0.0, 0
    for outcome in _outcomes(options.first, options.seeds, options.jobs, keep_log=options.log):
        simulated += outcome.simulated
        commits += outcome.commits
        if options.log:
            print("\n".join(outcome.lines))
        if options.digest:
            print(outcome.seed, outcome.digest)
        if outcome.violation is not None:
            failed += 1
            print(f"seed {outcome.seed} {outcome.faults}: {outcome.violation}")
            print(f"  again: {replay_command(outcome.seed)}", flush=True)
    seconds = time.process_time() - began
    if options.jobs == 1 and seconds > 0:
        rate = options.seeds / seconds * 60
        print(
            f"{rate:.0f} seeds, {simulated / seconds:.0f} simulated s and "
            f"{commits / seconds:.0f} commits per CPU time (a minute, a second, a second)",
            file=sys.stderr,
        )
    print(f"{options.seeds} seeds, {failed} failed")
    return 1 if failed or not options.seeds else 0


def _outcomes(first: int, count: int, jobs: int, *, keep_log: bool) -> Iterator[Outcome]:
    seeds = range(first, first + count)
    if jobs == 1:
        for seed in seeds:
            yield run_seed(seed, keep_log=keep_log)
        return
    chunks = [seeds[i : i + _CHUNK] for i in range(0, count, _CHUNK)]
    with ProcessPoolExecutor(jobs) as pool:
        for outcomes in pool.map(_run_chunk, chunks):
            yield from outcomes


def _run_chunk(seeds: range) -> list[Outcome]:
    return [run_seed(seed) for seed in seeds]


if __name__ == "__main__":
    sys.exit(main())
