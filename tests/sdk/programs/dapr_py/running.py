"""Scenarios that run to their end by themselves."""

from __future__ import annotations

import asyncio
import time
from datetime import datetime, timedelta, timezone
from typing import Any

from tests.sdk.programs.dapr_py import flows
from tests.sdk.programs.dapr_py.scenario import (
    SCENARIOS,
    by_name,
    ended,
    failure,
    finished,
    over_grpc,
    result,
    since,
    status,
)
from tests.sdk.programs.dapr_py.sdk import IS_DAPR, aio
from tests.sdk.programs.scenarios import WAIT_SECONDS, code

STRANGE_IDS = ("a|b@c:d", "with space/and%2Fslash?#", "größe-日本", "-", "x" * 200)
MIB = 2**20


@SCENARIOS.add
def chaining(client: Any) -> Any:
    return result(client, flows.chain, 1, "chaining")


@SCENARIOS.add
def chaining_async(client: Any) -> Any:
    since(1, 18)
    return result(client, flows.chain_async, 1, "chaining-async")


@SCENARIOS.add
def fan_out_100(client: Any) -> Any:
    return result(client, flows.fan_out, 100, "fan-out")


@SCENARIOS.add
def children_three_deep(client: Any) -> Any:
    found = result(client, flows.nest, 3, "children")
    ids = ("children", "children:0001", "children:0001:0001")
    return [*found, [status(client, one) for one in ids]]


@SCENARIOS.add
def identity(client: Any) -> Any:
    return result(client, flows.identify, None, "identity")


@SCENARIOS.add
def timer(client: Any) -> Any:
    return result(client, flows.sleep, 0.05, "timer")


@SCENARIOS.add
def timer_in_the_past(client: Any) -> Any:
    return result(client, flows.sleep_until_yesterday, None, "timer-past")


@SCENARIOS.add
def retries(client: Any) -> Any:
    return result(client, flows.retry, 3, "retries")


@SCENARIOS.add
def retries_exhausted(client: Any) -> Any:
    return result(client, flows.retry, 99, "retries-exhausted")


@SCENARIOS.add
def retries_of_a_child(client: Any) -> Any:
    found = result(client, flows.retry_child, "the-child", "retries-child")
    return [*found, status(client, "the-child")]


@SCENARIOS.add
def continue_as_new_30_times(client: Any) -> Any:
    return result(client, flows.count_up, 1, "count-up")


@SCENARIOS.add
def failure_of_an_activity(client: Any) -> Any:
    return failure(client, flows.activity_raises, "boom", "fails-activity")


@SCENARIOS.add
def failure_of_an_activity_caught(client: Any) -> Any:
    return result(client, flows.activity_raises_and_is_caught, "boom", "fails-caught")


@SCENARIOS.add
def failure_of_a_workflow(client: Any) -> Any:
    return failure(client, flows.raises, "wrong", "fails-workflow")


@SCENARIOS.add
def failure_of_a_child_caught(client: Any) -> Any:
    return result(client, flows.child_raises_and_is_caught, "wrong", "fails-child")


@SCENARIOS.add
def unregistered_activity(client: Any) -> Any:
    return failure(client, flows.calls_nobody, None, "no-activity")


@SCENARIOS.add
def unregistered_workflow(client: Any) -> Any:
    return failure(client, by_name("nobody"), None, "no-workflow")


@SCENARIOS.add
def long_payload(client: Any) -> Any:
    text = "ü" * (MIB // 6)  # As JSON text about one MiB.
    client.schedule_new_workflow(flows.pass_on, input=text, instance_id="long")
    state = finished(client, "long")
    encoded = state.serialized_output
    return [state.runtime_status.name, len(encoded), encoded == state.serialized_input]


@SCENARIOS.add
def too_long_an_input(client: Any) -> Any:
    over_grpc()
    found = code(
        lambda: client.schedule_new_workflow(
            flows.pass_on, input="x" * (5 * MIB), instance_id="too-long"
        )
    )
    return [found, status(client, "too-long")]


@SCENARIOS.add
def too_long_a_result(client: Any) -> Any:
    # Older SDKs say nothing at all about it, and the task stays open for ever.
    since(1, 18)
    over_grpc()
    return result(client, flows.too_big_a_result, 5 * MIB, "too-long-result")


@SCENARIOS.add
def strange_ids(client: Any) -> Any:
    found = {}
    for instance_id in STRANGE_IDS:
        found[instance_id] = result(client, flows.nest, 2, instance_id)
        client.purge_workflow(instance_id)
        found[instance_id].append(status(client, instance_id))
    return found


@SCENARIOS.add
def delayed_start(client: Any) -> Any:
    began = time.monotonic()
    start_at = datetime.now(timezone.utc) + timedelta(seconds=0.5)  # noqa: TID251, UP017
    client.schedule_new_workflow(flows.nest, input=1, instance_id="delayed", start_at=start_at)
    before = status(client, "delayed")
    found = ended(client, "delayed")
    return [before, *found, time.monotonic() - began >= 0.45]


@SCENARIOS.add
def history_passed_on(client: Any) -> Any:
    since(1, 18)
    return result(client, flows.pass_history, None, "propagation")


@SCENARIOS.add
def results_of_a_caller(client: Any) -> Any:
    since(1, 18)
    return result(client, flows.show_results, None, "results")


@SCENARIOS.add
def history_over_continue_as_new(client: Any) -> Any:
    since(1, 18)
    return result(client, flows.hand_down, None, "handed-down")


@SCENARIOS.add
def asyncio_client(_client: Any) -> Any:
    async def run() -> list[Any]:
        client = aio.DaprWorkflowClient()
        await client.schedule_new_workflow(flows.chain, input=1, instance_id="asyncio")
        state = await client.wait_for_workflow_completion(
            "asyncio", timeout_in_seconds=WAIT_SECONDS
        )
        await client.purge_workflow("asyncio")
        gone = await client.get_workflow_state("asyncio")
        # Dapr's has no way to close it.
        if not IS_DAPR:
            await client.close()
        return [state.runtime_status.name, state.serialized_output, gone]

    return asyncio.run(run())
