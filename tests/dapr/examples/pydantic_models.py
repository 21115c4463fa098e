"""Models as inputs, by annotation; results are plain objects until somebody validates them."""

from typing import Any

from pydantic import BaseModel

from perdure.dapr import (
    DaprWorkflowClient,
    DaprWorkflowContext,
    WorkflowActivityContext,
    WorkflowRuntime,
)

runtime = WorkflowRuntime()


class OrderRequest(BaseModel):
    order_id: str
    customer: str
    amount: float


class OrderResult(BaseModel):
    order_id: str
    approved: bool
    message: str


@runtime.workflow(name="order_workflow")
def order_workflow(ctx: DaprWorkflowContext, order: OrderRequest) -> Any:
    if not ctx.is_replaying:
        print(f"workflow: {order.order_id} of {order.customer}, {order.amount}")
    answer = yield ctx.call_activity(approve, input=order)
    result = OrderResult.model_validate(answer)
    print(f"workflow: a {type(answer).__name__} says approved={result.approved}")
    return result


@runtime.activity(name="approve_order")
def approve(ctx: WorkflowActivityContext, order: OrderRequest) -> OrderResult:
    print(f"activity: {order!r}")
    small = order.amount <= 100
    message = "approved by itself" if small else "somebody has to look"
    return OrderResult(order_id=order.order_id, approved=small, message=message)


def main() -> None:
    runtime.start()
    client = DaprWorkflowClient()
    order = OrderRequest(order_id="O-1", customer="Ada", amount=42.0)
    client.schedule_new_workflow(workflow=order_workflow, input=order, instance_id="models")
    state = client.wait_for_workflow_completion("models", timeout_in_seconds=10)
    assert state is not None
    assert state.serialized_output is not None
    print(f"client: {OrderResult.model_validate_json(state.serialized_output)!r}")
    client.purge_workflow("models")
    runtime.shutdown()


if __name__ == "__main__":
    main()
