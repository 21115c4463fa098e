"""Chaos rounds from the command line: `python -m tests.chaos --rounds 50 --seed 1`.

Each round has its own seed. A failed round keeps its directory: the logs of all nodes, the journal
of the activities, the database, and in `problems` what was found.
"""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
import time

from tests.chaos.rounds import Size, run
from tests.chaos.verdict import Tally


def main() -> int:
    arguments = _arguments()
    # As an exception, so that the nodes are ended.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    size = Size(arguments.cases, arguments.faults, tuple(arguments.only))
    total, failed = Tally(), 0
    for seed in range(arguments.seed, arguments.seed + arguments.rounds):
        began = time.monotonic()
        tell = (lambda text: print(f"    {text}", flush=True)) if arguments.verbose else _silent
        tally, place = asyncio.run(run(seed, size, tell))
        total.add(tally)
        faults = " ".join(f"{name}:{times}" for name, times in sorted(tally.faults.items()))
        print(
            f"seed {seed}: {tally.numbers()}, {time.monotonic() - began:.1f} s; {faults}",
            flush=True,
        )
        if place is not None:
            failed += 1
            for problem in tally.problems[:10]:
                print(f"  {problem.kind}: {problem.text[:1500]}")
            print(f"  evidence: {place}")
            print(f"  again: {_command(seed, arguments)}", flush=True)
    print(
        f"{arguments.rounds} rounds, {failed} failed: {total.numbers()}, {total.cases} workflows, "
        f"{total.faults.total()} faults, {total.take_overs} take-overs"
    )
    return 1 if failed or not total.cases else 0


def _command(seed: int, arguments: argparse.Namespace) -> str:
    size = f"--cases {arguments.cases} --faults {arguments.faults}"
    if arguments.only:
        size += f" --only {' '.join(arguments.only)}"
    return f"python -m tests.chaos --verbose --rounds 1 --seed {seed} {size}"


def _silent(text: str) -> None:
    """Nobody wants to know."""


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--rounds", type=int, default=50)
    parser.add_argument("--seed", type=int, default=1, help="of the first round")
    parser.add_argument("--cases", type=int, default=Size.cases)
    parser.add_argument("--faults", type=int, default=Size.faults)
    parser.add_argument("--only", nargs="+", default=[], help="names of faults, as they are told")
    parser.add_argument("--verbose", action="store_true", help="say what happens in each round")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
