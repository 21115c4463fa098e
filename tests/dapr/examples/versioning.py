"""Versions and patches of workflows that are under way, and how they stall and go on.

Part 1 leaves two instances stalled; part 2 is the deployment that has what they need.
"""

import sys
import time
from collections.abc import Callable
from typing import Any

import perdure.dapr as wf

client = wf.DaprWorkflowClient()
runtime = wf.WorkflowRuntime()


def redeploy() -> None:
    """What a new release does: another process, with other code."""
    global runtime
    runtime.shutdown()
    runtime = wf.WorkflowRuntime()
    runtime.register_activity(tell)


def tell(ctx: wf.WorkflowActivityContext, text: str) -> None:
    print(text)


def version1(ctx: wf.DaprWorkflowContext) -> Any:
    yield ctx.call_activity(tell, input="version 1 begins")
    ctx.set_custom_status("waiting")
    yield ctx.wait_for_external_event(name="event")
    yield ctx.call_activity(tell, input="version 1 ends")
    return 1


def version2(ctx: wf.DaprWorkflowContext) -> Any:
    yield ctx.call_activity(tell, input="version 2 begins")
    yield ctx.wait_for_external_event(name="event")
    yield ctx.call_activity(tell, input="version 2 ends")
    return 2


def register(version: Any, *, is_latest: bool) -> None:
    runtime.register_versioned_workflow(
        version, name="versioned", version_name=version.__name__, is_latest=is_latest
    )


def run(instance_id: str) -> None:
    client.raise_workflow_event(instance_id, event_name="event")
    client.wait_for_workflow_completion(instance_id, timeout_in_seconds=10)


def versions() -> None:
    register(version1, is_latest=True)
    runtime.start()
    print("1: one version")
    run(client.schedule_new_workflow("versioned"))

    print("2: a second one appears half-way")
    under_way = client.schedule_new_workflow("versioned")
    register(version2, is_latest=True)
    run(under_way)

    print("3: new instances run the second one")
    run(client.schedule_new_workflow("versioned"))


def patches() -> None:
    redeploy()

    @runtime.workflow(name="patching")
    def before(ctx: wf.DaprWorkflowContext) -> Any:
        yield ctx.call_activity(tell, input="patching begins")
        ctx.set_custom_status("waiting")
        yield ctx.wait_for_external_event(name="event")
        return 1

    runtime.start()
    under_way = client.schedule_new_workflow("patching")
    until(under_way, lambda state: state.serialized_custom_status == "waiting")
    redeploy()

    @runtime.workflow(name="patching")
    def after(ctx: wf.DaprWorkflowContext) -> Any:
        yield ctx.call_activity(tell, input="patching begins")
        early = ctx.is_patched("early")
        ctx.set_custom_status("waiting")
        yield ctx.wait_for_external_event(name="event")
        late = ctx.is_patched("late")
        yield ctx.call_activity(tell, input=f"early patch: {early}, late patch: {late}")
        return 1

    runtime.start()
    print("4: new instances are patched")
    run(client.schedule_new_workflow("patching"))
    print("5: one that began before is patched from where it was")
    run(under_way)


def stall() -> None:
    redeploy()
    register(version1, is_latest=True)
    runtime.start()
    print("6: its version is gone")
    instance_id = client.schedule_new_workflow("versioned", instance_id="without-version")
    until(instance_id, lambda state: state.serialized_custom_status == "waiting")
    redeploy()
    register(version2, is_latest=True)
    runtime.start()
    client.raise_workflow_event(instance_id, event_name="event")
    until(instance_id, lambda state: state.runtime_status == wf.WorkflowStatus.STALLED)
    print("it is stalled")


def until(instance_id: str, reached: Callable[[wf.WorkflowState], bool]) -> None:
    for _ in range(1000):
        state = client.get_workflow_state(instance_id)
        assert state is not None
        if reached(state):
            return
        time.sleep(0.005)
    print("that takes too long")


def main(part: str) -> None:
    runtime.register_activity(tell)
    if part == "part1":
        versions()
        patches()
        stall()
    else:
        register(version1, is_latest=False)
        register(version2, is_latest=True)
        runtime.start()
        client.wait_for_workflow_completion("without-version", timeout_in_seconds=10)
    runtime.shutdown()


if __name__ == "__main__":
    main(sys.argv[1])
