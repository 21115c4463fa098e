"""An order that somebody has to approve in time, with dataclasses for inputs."""

import sys
import threading
from dataclasses import asdict, dataclass
from datetime import timedelta
from typing import Any

import perdure.dapr as wf


@dataclass
class Order:
    cost: float
    product: str
    quantity: int


@dataclass
class Approval:
    approver: str


def purchase(ctx: wf.DaprWorkflowContext, order: Order) -> Any:
    if order.cost < 1000:
        return "approved unseen"
    yield ctx.call_activity(ask, input=order)
    approved = ctx.wait_for_external_event("approval_received")
    too_late = ctx.create_timer(timedelta(milliseconds=PATIENCE_MS))
    winner = yield wf.when_any([approved, too_late])
    if winner == too_late:
        return "cancelled"
    yield ctx.call_activity(place, input=order)
    return f"approved by '{Approval(**approved.get_result()).approver}'"


def ask(_: wf.WorkflowActivityContext, order: Order) -> None:
    print(f"approval is needed for {order}")


def place(_: wf.WorkflowActivityContext, order: Order) -> None:
    print(f"placed {order}")


if __name__ == "__main__":
    answer, cost = sys.argv[1], float(sys.argv[2])
    PATIENCE_MS = 5000 if answer == "yes" else 20

    runtime = wf.WorkflowRuntime("localhost", "50001")
    runtime.register_workflow(purchase)
    runtime.register_activity(ask)
    runtime.register_activity(place)
    runtime.start()

    client = wf.DaprWorkflowClient()
    instance_id = client.schedule_new_workflow(workflow=purchase, input=Order(cost, "lamp", 1))

    def approve() -> None:
        client.raise_workflow_event(
            instance_id=instance_id, event_name="approval_received", data=asdict(Approval("Ada"))
        )

    if answer == "yes":
        threading.Thread(target=approve, daemon=True).start()
    try:
        state = client.wait_for_workflow_completion(instance_id, timeout_in_seconds=10)
        assert state is not None
        print(f"{state.runtime_status.name}: {state.serialized_output}")
    except TimeoutError:
        print("no answer in time")

    runtime.shutdown()
