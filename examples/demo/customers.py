"""Those who use the shop: they order from all nodes in turn, and ask another one if one is away."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Self, TypeVar

import perdure
from examples.demo import orders
from examples.demo.process import Cluster
from examples.order_processing import process_order

T = TypeVar("T")

_ORDERS = perdure.ListFilter(name="process_order")
_RUNNING = perdure.ListFilter(name="process_order", statuses=("RUNNING",))
_ENDED = ("COMPLETED", "FAILED", "TERMINATED")
_AT_ONCE = perdure.Patience(timeout_seconds=10, retry_seconds=0)
"""Nobody waits for a node that is away: there are others."""


class Customers:
    """One client for each node, and what they have been answered."""

    def __init__(self, cluster: Cluster, cases: Sequence[orders.Case]) -> None:
        self.cases = cases
        self.answered_by: Counter[str] = Counter()
        """How many orders were accepted through each node."""
        self._cluster = cluster
        self._clients: dict[str, perdure.WorkflowClient] = {}
        self._progress = asyncio.Condition()
        self._open = AsyncExitStack()

    async def __aenter__(self) -> Self:
        for node in self._cluster.nodes:
            client = perdure.WorkflowClient(node.url, patience=_AT_ONCE)
            self._clients[node.name] = await self._open.enter_async_context(client)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._open.aclose()

    @property
    def accepted(self) -> int:
        return self.answered_by.total()

    async def reached(self, count: int) -> None:
        """Wait until so many orders have been accepted."""
        async with self._progress:
            await self._progress.wait_for(lambda: self.accepted >= count)

    # ---- orders

    async def order_all(self) -> None:
        async with asyncio.TaskGroup() as group:
            for number, case in enumerate(self.cases):
                group.create_task(self._order(number, case))
                await asyncio.sleep(1 / orders.PER_SECOND)

    async def _order(self, number: int, case: orders.Case) -> None:
        by = await self._ask(number, lambda client: self._start(client, case))
        async with self._progress:
            self.answered_by[by] += 1
            self._progress.notify_all()

    async def _start(self, client: perdure.WorkflowClient, case: orders.Case) -> None:
        """Order once, although nobody may know what became of the attempt before this one."""
        order = case.order
        if await client.get_workflow_state(order.order_id) is not None:
            return
        try:
            await client.schedule_new_workflow(
                process_order, input=order, instance_id=order.order_id
            )
        except perdure.ApiError:
            # An id is taken once: if somebody has it, it is the attempt before.
            if await client.get_workflow_state(order.order_id) is None:
                raise

    async def approve(self) -> None:
        """Look for orders that wait for approval, and answer each."""
        answers = {
            case.order.order_id: case.approval for case in self.cases if case.approval is not None
        }
        turn = 0
        while True:
            turn += 1
            page = await self._result(turn, lambda client: client.list_page(_RUNNING))
            for state in page.instances:
                if state.serialized_custom_status != "waiting for approval":
                    continue
                if (answer := answers.pop(state.instance_id, None)) is not None:
                    data = {"approved": answer, "by": orders.APPROVER}
                    await self._raise(turn, state.instance_id, data)
            await asyncio.sleep(0.1)

    async def _raise(self, turn: int, instance_id: str, data: object) -> None:
        """The workflow waits for one approval: a second one would change nothing."""
        await self._ask(
            turn, lambda client: client.raise_workflow_event(instance_id, "approval", data=data)
        )

    # ---- questions

    async def count_ended(self) -> int:
        counts = await self._result(0, lambda client: client.count_workflows(_ORDERS))
        return sum(number for status, number in counts.items() if status in _ENDED)

    async def until_gone(self, name: str) -> None:
        """Wait until the others count a node out."""
        while True:
            status = await self._result(0, lambda client: client.cluster_status())
            if all(node.node_id != name for node in status.nodes):
                return
            await asyncio.sleep(0.02)

    async def _result(
        self, turn: int, question: Callable[[perdure.WorkflowClient], Awaitable[T]]
    ) -> T:
        results: list[T] = []

        async def keep(client: perdure.WorkflowClient) -> None:
            results.append(await question(client))

        await self._ask(turn, keep)
        return results[-1]

    async def _ask(
        self, turn: int, question: Callable[[perdure.WorkflowClient], Awaitable[None]]
    ) -> str:
        """Ask the node whose turn it is, then the others, for ever. Returns who has answered."""
        names = list(self._clients)
        while True:
            name = names[turn % len(names)]
            try:
                await question(self._clients[name])
            except (perdure.Retryable, TimeoutError):
                turn += 1
                await asyncio.sleep(0.02)
            else:
                return name
