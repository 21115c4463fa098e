"""A worker of the chaos rounds, a process of its own: `python -m tests.chaos.worker PORT`.

It has one workflow, `remote`, a chain of three activities, and speaks the protocol by the product's
own messages. It stays with one node, and comes back to it whenever the line breaks.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import grpc
import grpc.aio

from perdure.runtime.rpc import taskhub_pb2 as pb
from perdure.runtime.rpc.management import TASK_HUB
from tests.chaos.tether import end_with_the_parent

PLACE = Path(os.environ["CHAOS_PLACE"])
STEP_SECONDS = 0.03
STEPS = 3
_COMPLETED = 1


def _note(phase: str, asked: pb.ActivityRequest) -> None:
    """As the activities in `app` do; a call is known by its instance and its number."""
    line = f"{asked.workflowInstance.instanceId} {asked.name} - {asked.taskId}"
    file = os.open(PLACE / "journal", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        os.write(file, f"{phase} {time.monotonic():.6f} {os.getpid()} {line}\n".encode())
    finally:
        os.close(file)


def decide(asked: pb.WorkflowRequest) -> pb.WorkflowAction | None:
    """The next activity, or the end; nothing while one is under way."""
    events = [*asked.pastEvents, *asked.newEvents]
    [number] = [e.executionStarted.input.value for e in events if e.HasField("executionStarted")]
    results = [e.taskCompleted.result.value for e in events if e.HasField("taskCompleted")]
    begun = sum(event.HasField("taskScheduled") for event in events)
    so_far = results[-1] if results else number
    if len(results) < begun:
        return None
    if begun < STEPS:
        task = pb.ScheduleTaskAction(name="remote_double", input=pb.StringValue(value=so_far))
        return pb.WorkflowAction(id=begun + 1, scheduleTask=task)
    end = pb.CompleteWorkflowAction(workflowStatus=_COMPLETED, result=pb.StringValue(value=so_far))
    return pb.WorkflowAction(id=begun + 1, completeWorkflow=end)


async def _serve(channel: Any, item: pb.WorkItem) -> None:
    answer: pb.WorkflowResponse | pb.ActivityResponse
    if item.HasField("workflowRequest"):
        turn = item.workflowRequest
        action = decide(turn)
        method = "CompleteOrchestratorTask"
        answer = pb.WorkflowResponse(
            instanceId=turn.instanceId,
            actions=[] if action is None else [action],
            completionToken=item.completionToken,
        )
    elif item.HasField("activityRequest"):
        asked = item.activityRequest
        _note("begin", asked)
        await asyncio.sleep(STEP_SECONDS)
        _note("end", asked)
        method = "CompleteActivityTask"
        answer = pb.ActivityResponse(
            instanceId=asked.workflowInstance.instanceId,
            taskId=asked.taskId,
            result=pb.StringValue(value=json.dumps(2 * json.loads(asked.input.value))),
            completionToken=item.completionToken,
        )
    else:
        return
    call = channel.unary_unary(f"/{TASK_HUB}/{method}")
    try:
        await call(answer.SerializeToString())
    except grpc.aio.AioRpcError as error:
        print(f"not answered: {error.code()}", flush=True)  # Somebody else gets it then.


async def main(port: str) -> None:
    channel: Any
    async with asyncio.TaskGroup() as group:
        while True:
            async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
                stream = channel.unary_stream(f"/{TASK_HUB}/GetWorkItems")(b"")
                served: list[asyncio.Task[None]] = []
                try:
                    async for data in stream:
                        item = pb.WorkItem.FromString(data)
                        served.append(group.create_task(_serve(channel, item)))
                        served = [task for task in served if not task.done()]
                except grpc.aio.AioRpcError as error:
                    print(f"the stream has ended: {error.code()}", flush=True)
                await asyncio.gather(*served)  # As long as there is a channel to answer on.
            await asyncio.sleep(0.2)


if __name__ == "__main__":
    end_with_the_parent()
    asyncio.run(main(sys.argv[1]))
