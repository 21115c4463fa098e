"""`async def` activities that wait side by side, and a plain one that sums up."""

from __future__ import annotations

import asyncio
from typing import Any

from pydantic import BaseModel

import perdure.dapr as wf

FAN_OUT = 5
runtime = wf.WorkflowRuntime()
together = asyncio.Barrier(FAN_OUT)


class Payload(BaseModel):
    index: int
    data: str


@runtime.workflow(name="fan_out_fan_in_workflow")
def fan_out(ctx: wf.DaprWorkflowContext, payloads: list[dict[str, Any]]) -> Any:
    results = yield wf.when_all([ctx.call_activity(process, input=each) for each in payloads])
    summary = yield ctx.call_activity(summarize, input=results)
    return summary


@runtime.activity(name="process_payload")
async def process(ctx: wf.WorkflowActivityContext, payload: Payload) -> str:
    await together.wait()  # Ends only if all of them run at the same time.
    print(f"payload {payload.index}: {len(payload.data)} characters")
    return payload.data * 2


@runtime.activity(name="summarize")
def summarize(ctx: wf.WorkflowActivityContext, results: list[str]) -> str:
    return f"{len(results)} results, {sum(map(len, results))} characters"


def main() -> None:
    runtime.start()
    client = wf.DaprWorkflowClient()
    payloads = [Payload(index=index, data="x" * index).model_dump() for index in range(FAN_OUT)]
    instance_id = client.schedule_new_workflow(workflow=fan_out, input=payloads)
    state = client.wait_for_workflow_completion(instance_id, timeout_in_seconds=10)
    assert state is not None
    assert state.serialized_output is not None
    print(f"{state.runtime_status.name}: {state.serialized_output.strip(chr(34))}")
    runtime.shutdown()


if __name__ == "__main__":
    main()
