"""Runs orders on a cluster of real nodes, kills one of them with `kill -9` and drains another one
while they work, and checks what has become of each order.

    python -m examples.demo [--orders 200] [--seed 7]

The checks compare what every living node says, the books of the world outside (`examples.shop`) and
the journals of all activity calls with a model of the orders (`examples.demo.orders`). Exit code 0:
nothing was lost, nothing is wrong, nothing was done twice.
"""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
import tempfile
import time
from pathlib import Path

from examples.demo import orders, verdict
from examples.demo.customers import Customers
from examples.demo.process import Cluster
from examples.demo.progress import Progress

PATIENCE_SECONDS = 90
KILLED, DRAINED = "n2", "n3"
DOWN_SECONDS = 0.3
"""How long the killed node stays away once the others have taken over."""


class Demo:
    """One run: customers who order, an approver, and two faults, all at once."""

    def __init__(self, cluster: Cluster, customers: Customers, progress: Progress) -> None:
        self._cluster = cluster
        self._customers = customers
        self._progress = progress
        self.problems: list[str] = []

    async def run(self) -> None:
        async with self._customers, asyncio.TaskGroup() as group:
            approving = group.create_task(self._customers.approve())
            group.create_task(self._customers.order_all())
            faults = [group.create_task(self._kill()), group.create_task(self._drain())]
            await self._until_all_ended()
            await asyncio.gather(*faults)
            approving.cancel()

    async def _kill(self) -> None:
        node, tell = self._cluster[KILLED], self._progress.tell
        await self._customers.reached(len(self._customers.cases) // 4)
        node.kill()
        began = time.monotonic()
        tell(f"kill -9 of {KILLED} after {self._customers.accepted} accepted orders")
        await self._customers.until_gone(KILLED)
        tell(f"the others noticed and took over its work after {time.monotonic() - began:.2f} s")
        await asyncio.sleep(DOWN_SECONDS)
        seconds = await asyncio.to_thread(node.start)
        tell(f"{KILLED} started again, and is back in the cluster after {seconds:.2f} s")

    async def _drain(self) -> None:
        node, tell = self._cluster[DRAINED], self._progress.tell
        await self._customers.reached(2 * len(self._customers.cases) // 3)
        tell(f"SIGTERM to {DRAINED} after {self._customers.accepted} accepted orders")
        began = time.monotonic()
        node.drained = True
        node.ask_to_stop()
        self.problems += await asyncio.to_thread(node.stopped)
        tell(f"{DRAINED} handed over its work and left after {time.monotonic() - began:.2f} s")

    async def _until_all_ended(self) -> None:
        number = len(self._customers.cases)
        deadline = time.monotonic() + PATIENCE_SECONDS
        ended = 0
        while ended < number:
            if time.monotonic() > deadline:
                raise SystemExit(f"{number - ended} orders have not ended")
            await asyncio.sleep(0.1)
            ended = await self._customers.count_ended()
            states = [(node.name, node.is_up) for node in self._cluster.nodes]
            self._progress.show(ended, number, states)


def main() -> int:
    arguments = _arguments()
    cases = orders.cases(arguments.orders, arguments.seed)
    # As an exception, so that the nodes are ended and the directory removed.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    with tempfile.TemporaryDirectory(prefix="perdure-demo-") as directory:
        with Cluster(Path(directory)) as cluster:
            seconds = cluster.start()
            print(f"3 nodes on {cluster.directory / 'orders.db'}, ready after {seconds:.2f} s:")
            for node in cluster.nodes:
                print(f"  {node.name}  {node.url}")
            print(f"{len(cases)} orders, {orders.PER_SECOND} a second, to all of them in turn")
            began = time.monotonic()
            customers = Customers(cluster, cases)
            demo = Demo(cluster, customers, Progress())
            try:
                asyncio.run(demo.run())
            except Exception:
                print(cluster.log_tails(), file=sys.stderr)
                raise
            elapsed = time.monotonic() - began
            found = asyncio.run(verdict.look(cluster, cases))
            found.problems += demo.problems + cluster.stop()
            print(verdict.nodes(cluster, found, customers.answered_by))
        print(verdict.table(found, elapsed))
    for problem in found.problems[:20]:
        print(f"  WRONG  {problem}")
    if not found.problems:
        print("every order ended as it must: nothing lost, nothing wrong, nothing done twice")
    return 1 if found.problems else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m examples.demo", description=__doc__)
    parser.add_argument("--orders", type=int, default=200)
    parser.add_argument("--seed", type=int, default=7)
    return parser.parse_args()


if __name__ == "__main__":
    try:
        code = main()
    except KeyboardInterrupt:
        print("\nstopped; nothing is left of it", file=sys.stderr)
        code = 130
    sys.exit(code)
