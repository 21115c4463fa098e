"""The client for asyncio, from the program's own event loop and from an activity."""

import asyncio
from datetime import timedelta
from typing import Any

from perdure.dapr import DaprWorkflowContext, WorkflowActivityContext, WorkflowRuntime, when_any
from perdure.dapr.aio import DaprWorkflowClient

runtime = WorkflowRuntime()


@runtime.workflow(name="greet")
def greet(ctx: DaprWorkflowContext, name: str) -> Any:
    yield ctx.call_activity(start_another, input=name)
    event = ctx.wait_for_external_event("event1")
    timeout = ctx.create_timer(timedelta(seconds=30))
    winner = yield when_any([event, timeout])
    return "timeout" if winner == timeout else f"{name} got {event.get_result()}"


@runtime.workflow(name="shout")
def shout(ctx: DaprWorkflowContext, name: str) -> str:
    return name.upper()


@runtime.activity(name="start_another")
async def start_another(ctx: WorkflowActivityContext, name: str) -> None:
    async with DaprWorkflowClient() as client:
        instance_id = await client.schedule_new_workflow("shout", input=name)
        state = await client.wait_for_workflow_completion(instance_id)
        assert state is not None
        print(f"activity: {state.serialized_output}")


async def main() -> None:
    runtime.start()
    client = DaprWorkflowClient()
    try:
        instance_id = await client.schedule_new_workflow(workflow=greet, input="Ada")
        await client.wait_for_workflow_start(instance_id)

        await client.pause_workflow(instance_id=instance_id)
        paused = await client.get_workflow_state(instance_id=instance_id)
        assert paused is not None
        print(f"after pause: {paused.runtime_status.name}")
        await client.resume_workflow(instance_id=instance_id)

        await client.raise_workflow_event(instance_id, "event1", data="a letter")
        state = await client.wait_for_workflow_completion(instance_id, timeout_in_seconds=30)
        assert state is not None
        print(f"{state.runtime_status.name}: {state.serialized_output}")

        listed = [each async for each in client.iter_workflow_instance_ids(page_size=1)]
        print(f"listed {len(listed)}, {len(await client.get_workflow_history(instance_id))} events")
        await client.purge_workflow(instance_id=instance_id)
        print(f"after purge: {await client.get_workflow_state(instance_id)}")
    finally:
        await client.close()
        runtime.shutdown()


if __name__ == "__main__":
    asyncio.run(main())
