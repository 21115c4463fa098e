"""A worker in this process that says over gRPC what a test has written down. A support module."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import grpc.aio

from perdure.runtime.rpc import taskhub_pb2 as pb

DAPR = pb.GetWorkItemsRequest(capabilities=[3])
"""What a worker of Dapr 1.19 asks for its work with; it keeps no history."""

MICROSOFT = pb.GetWorkItemsRequest(workerInstanceId=b"worker-1")
NEUTRAL = pb.GetWorkItemsRequest(maxConcurrentOrchestrationWorkItems=10)

Decide = Callable[[pb.WorkflowRequest], list[pb.WorkflowAction]]
Run = Callable[[pb.ActivityRequest], str | None]


class ScriptedWorker:
    """Answers turns by the name of their workflow, activities by their own."""

    def __init__(self, channel: grpc.aio.Channel, asks: pb.GetWorkItemsRequest) -> None:
        self._channel = channel
        self._asks = asks
        self.trace: bytes | None = None
        """What it tells, as Microsoft's workers do, of its span of each run."""
        self.workflows: dict[str, Decide] = {}
        self.activities: dict[str, Run] = {}
        self.turns: list[pb.WorkflowRequest] = []
        self.runs: list[pb.ActivityRequest] = []

    async def work(self) -> None:
        items = self._channel.unary_stream(
            "/TaskHubSidecarService/GetWorkItems",
            request_serializer=pb.GetWorkItemsRequest.SerializeToString,
            response_deserializer=pb.WorkItem.FromString,
        )
        async for item in items(self._asks):
            if item.HasField("workflowRequest"):
                await self._decide(item.workflowRequest, item.completionToken)
            elif item.HasField("activityRequest"):
                await self._run(item.activityRequest, item.completionToken)

    async def _decide(self, turn: pb.WorkflowRequest, token: str) -> None:
        self.turns.append(turn)
        actions = self.workflows[started(turn).name](turn)
        answer = pb.WorkflowResponse(
            instanceId=turn.instanceId,
            actions=actions,
            completionToken=token,
            version=self.trace,
        )
        await self._say("CompleteOrchestratorTask", answer)

    async def _run(self, asked: pb.ActivityRequest, token: str) -> None:
        self.runs.append(asked)
        result = self.activities[asked.name](asked)
        answer = pb.ActivityResponse(
            instanceId=asked.workflowInstance.instanceId,
            taskId=asked.taskId,
            result=None if result is None else pb.StringValue(value=result),
            completionToken=token,
        )
        await self._say("CompleteActivityTask", answer)

    async def _say(self, method: str, answer: pb.WorkflowResponse | pb.ActivityResponse) -> None:
        say = self._channel.unary_unary(
            f"/TaskHubSidecarService/{method}",
            request_serializer=lambda message: message.SerializeToString(),
            response_deserializer=pb.Empty.FromString,
        )
        await say(answer)


@asynccontextmanager
async def scripted_worker(
    address: str | None, asks: pb.GetWorkItemsRequest = DAPR
) -> AsyncIterator[ScriptedWorker]:
    """Connected to a node's gRPC port for as long as the block lasts."""
    assert address is not None
    async with grpc.aio.insecure_channel(address) as channel, asyncio.TaskGroup() as group:
        worker = ScriptedWorker(channel, asks)
        working = group.create_task(worker.work())
        yield worker
        working.cancel()


def events(turn: pb.WorkflowRequest) -> list[pb.HistoryEvent]:
    return [*turn.pastEvents, *turn.newEvents]


def started(turn: pb.WorkflowRequest) -> pb.ExecutionStartedEvent:
    return next(e.executionStarted for e in events(turn) if e.HasField("executionStarted"))


def answers(turn: pb.WorkflowRequest) -> dict[int, pb.HistoryEvent]:
    """What has been answered, by the number of the action."""
    found: dict[int, pb.HistoryEvent] = {}
    for event in events(turn):
        kind = event.WhichOneof("eventType") or ""
        if kind == "timerFired":
            found[event.timerFired.timerId] = event
        elif kind.endswith(("Completed", "Failed")) and kind != "executionCompleted":
            found[getattr(event, kind).taskScheduledId] = event
    return found
