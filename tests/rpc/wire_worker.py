"""A worker at the other end of a real connection, in each dialect, that does what a test says."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Any

from perdure.runtime.node import Node
from perdure.runtime.rpc import taskhub_pb2 as pb
from tests.rpc.serving import Client, connected
from tests.support.workers import serving_workers

PATIENCE = 15.0

HELLO = {
    "dapr": pb.GetWorkItemsRequest(),
    "dapr with a memory": pb.GetWorkItemsRequest(capabilities=[2, 3]),
    "neutral": pb.GetWorkItemsRequest(
        maxConcurrentOrchestrationWorkItems=10, maxConcurrentActivityWorkItems=10
    ),
    "microsoft": pb.GetWorkItemsRequest(microsoftCapabilities=[1]),
}
"""What workers say first, by what they are."""


class WireWorker:
    """Reads its items one by one."""

    def __init__(self, client: Client, hello: pb.GetWorkItemsRequest) -> None:
        self.client = client
        self._stream = client.stream("GetWorkItems", hello.SerializeToString())

    async def item(self, patience: float | None = PATIENCE) -> pb.WorkItem:
        async with asyncio.timeout(patience):
            while True:
                item = pb.WorkItem.FromString(await self._stream.read())
                if item.completionToken:
                    return item

    async def turn(self, *actions: pb.WorkflowAction, **also: Any) -> pb.WorkflowRequest:
        """Take the next turn, and decide it."""
        item = await self.item()
        assert item.HasField("workflowRequest"), item
        await self.decide(item, actions, **also)
        return item.workflowRequest

    async def decide(
        self, item: pb.WorkItem, actions: Iterable[pb.WorkflowAction], **also: Any
    ) -> None:
        answer = pb.WorkflowResponse(
            instanceId=item.workflowRequest.instanceId,
            completionToken=item.completionToken,
            actions=actions,
            **also,
        )
        await self.client.call("CompleteOrchestratorTask", answer, pb.Empty)

    def go(self) -> None:
        self._stream.cancel()


@asynccontextmanager
async def at_work(dialect: str = "dapr", **settings: Any) -> AsyncIterator[tuple[Node, WireWorker]]:
    """A node, and a worker that is connected to it."""
    async with serving_workers(**settings) as node:
        assert node.grpc_address is not None
        async with connected(node.grpc_address) as client:
            worker = WireWorker(client, HELLO[dialect])
            async with asyncio.timeout(PATIENCE):
                while not node.engine.pool.streams:  # noqa: ASYNC110 (it says nothing when it is)
                    await asyncio.sleep(0.001)
            yield node, worker
            worker.go()


def kinds(events: Iterable[pb.HistoryEvent]) -> list[str]:
    return [event.WhichOneof("eventType") or "" for event in events]
