"""Orders: a worker of Dapr's Python SDK, which calls the app `labels`, written in JavaScript."""

from __future__ import annotations

import threading
from typing import Any

import dapr.ext.workflow as wf


def process_order(ctx: wf.DaprWorkflowContext, order: dict[str, Any]) -> Any:
    cost = yield ctx.call_activity(price, input=order)
    # What another app has, it has by name: these two are in labels.js.
    label = yield ctx.call_activity("print_label", input=order, app_id="labels")
    parcel = {"label": label, "hurry": cost > 100}
    delivery = yield ctx.call_child_workflow("deliver", input=parcel, app_id="labels")
    return {"cost": cost, "delivery": delivery}


def price(_ctx: wf.WorkflowActivityContext, order: dict[str, Any]) -> float:
    return 12.5 * int(order["pieces"])


if __name__ == "__main__":
    runtime = wf.WorkflowRuntime()
    runtime.register_workflow(process_order)
    runtime.register_activity(price)
    runtime.start()
    threading.Event().wait()
