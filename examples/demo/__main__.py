"""Runs orders on a real node, kills it half way with `kill -9`, and checks what has become of each.

    python -m examples.demo [--orders 200] [--seed 7]

The checks compare results, the books of the world outside (`examples.shop`) and a journal of all
activity calls with a model of the orders (`examples.demo.orders`). Exit code 0: nothing was lost,
nothing is wrong, nothing was done twice.
"""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import perdure
from examples.demo import orders, verdict
from examples.demo.process import NodeProcess
from examples.demo.progress import Progress
from examples.order_processing import process_order

PATIENCE_SECONDS = 90

_ORDERS = perdure.ListFilter(name="process_order")
_ENDED = ("COMPLETED", "FAILED", "TERMINATED")


class Demo:
    """One run: a customer who orders, an approver, and a fault, all at once."""

    def __init__(self, node: NodeProcess, cases: Sequence[orders.Case], progress: Progress) -> None:
        self._node = node
        self._cases = cases
        self._progress = progress
        self._acknowledged = 0
        self._half_way = asyncio.Event()

    async def run(self) -> None:
        async with perdure.WorkflowClient(self._node.url) as client, asyncio.TaskGroup() as group:
            approving = group.create_task(self._approve(client))
            group.create_task(self._order_all(client))
            group.create_task(self._kill_half_way())
            await self._until_all_ended(client)
            approving.cancel()

    async def _order_all(self, client: perdure.WorkflowClient) -> None:
        async with asyncio.TaskGroup() as group:
            for case in self._cases:
                group.create_task(self._order(client, case))
                await asyncio.sleep(1 / orders.PER_SECOND)

    async def _order(self, client: perdure.WorkflowClient, case: orders.Case) -> None:
        """One HTTP call; the client repeats it while nobody answers, under one idempotency key."""
        await client.schedule_new_workflow(
            process_order, input=case.order, instance_id=case.order.order_id
        )
        self._acknowledged += 1
        if self._acknowledged >= len(self._cases) // 2:
            self._half_way.set()

    async def _approve(self, client: perdure.WorkflowClient) -> None:
        """Look for orders that wait for approval, and answer each once."""
        answers = {
            case.order.order_id: case.approval for case in self._cases if case.approval is not None
        }
        while True:
            try:
                async for state in client.list_workflows(
                    perdure.ListFilter(name="process_order", statuses=("RUNNING",))
                ):
                    if state.serialized_custom_status != "waiting for approval":
                        continue
                    answer = answers.get(state.instance_id)
                    if answer is not None:
                        data = {"approved": answer, "by": orders.APPROVER}
                        await client.raise_workflow_event(state.instance_id, "approval", data=data)
                        del answers[state.instance_id]
            except perdure.Retryable:
                pass  # The node is down; what has been answered is remembered here.
            await asyncio.sleep(0.1)

    async def _kill_half_way(self) -> None:
        await self._half_way.wait()
        self._node.kill()
        self._progress.tell(f"kill -9 after {self._acknowledged} accepted orders")
        seconds = await asyncio.to_thread(self._node.start)
        self._progress.tell(f"the node is back after {seconds:.2f} s")

    async def _until_all_ended(self, client: perdure.WorkflowClient) -> None:
        deadline = time.monotonic() + PATIENCE_SECONDS
        ended = 0
        while ended < len(self._cases):
            if time.monotonic() > deadline:
                raise SystemExit(f"{len(self._cases) - ended} orders have not ended")
            await asyncio.sleep(0.1)
            try:
                counts = await client.count_workflows(_ORDERS)
            except perdure.Retryable:
                continue
            ended = sum(number for status, number in counts.items() if status in _ENDED)
            self._progress.show(ended, len(self._cases))


def main() -> int:
    arguments = _arguments()
    cases = orders.cases(arguments.orders, arguments.seed)
    # As an exception, so that the node is ended and the directory removed.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    with tempfile.TemporaryDirectory(prefix="perdure-demo-") as directory:
        with NodeProcess(Path(directory)) as node:
            seconds = node.start()
            print(f"node {node.url}, store {node.store}, ready after {seconds:.2f} s")
            began = time.monotonic()
            try:
                asyncio.run(Demo(node, cases, Progress()).run())
            except Exception:
                print(node.log_tail(), file=sys.stderr)
                raise
            elapsed = time.monotonic() - began
            found = asyncio.run(verdict.look(node, cases))
            found.problems.extend(node.stop())
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
    sys.exit(main())
