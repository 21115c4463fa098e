"""Scenarios that run to their end by themselves, or with events."""

from __future__ import annotations

import asyncio
import time
from datetime import datetime, timedelta, timezone
from typing import Any

from tests.sdk.programs.durabletask_py import flows
from tests.sdk.programs.durabletask_py.scenario import (
    SCENARIOS,
    becomes,
    ended,
    failure,
    finished,
    reports,
    result,
    status,
)
from tests.sdk.programs.scenarios import WAIT_SECONDS

STRANGE_IDS = ("a|b@c:d", "with space/and%2Fslash?#", "größe-日本", "x" * 200)
MIB = 2**20


@SCENARIOS.add
def chaining(client: Any) -> Any:
    return result(client, flows.chain, 1, "chaining")


@SCENARIOS.add
def fan_out_100(client: Any) -> Any:
    return result(client, flows.fan_out, 100, "fan-out")


@SCENARIOS.add
def children_three_deep(client: Any) -> Any:
    return result(client, flows.nest, 3, "children")


@SCENARIOS.add
def identity(client: Any) -> Any:
    return result(client, flows.identify, None, "identity")


@SCENARIOS.add
def timer(client: Any) -> Any:
    return result(client, flows.sleep, 0.05, "timer")


@SCENARIOS.add
def timer_before_the_event(client: Any) -> Any:
    return result(client, flows.race, None, "race-timer")


@SCENARIOS.add
def retries(client: Any) -> Any:
    return result(client, flows.retry, 3, "retries")


@SCENARIOS.add
def retries_exhausted(client: Any) -> Any:
    return result(client, flows.retry, 99, "retries-exhausted")


@SCENARIOS.add
def retries_of_a_child(client: Any) -> Any:
    return [*result(client, flows.retry_child, "the-child", "parent"), status(client, "the-child")]


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
    return failure(client, "nobody", None, "no-workflow")


@SCENARIOS.add
def long_payload(client: Any) -> Any:
    client.schedule_new_orchestration(flows.pass_on, input="x" * MIB, instance_id="long")
    state = finished(client, "long")
    encoded = state.serialized_output
    return [state.runtime_status.name, len(encoded), encoded == state.serialized_input]


@SCENARIOS.add
def strange_ids(client: Any) -> Any:
    found = {}
    for instance_id in STRANGE_IDS:
        found[instance_id] = result(client, flows.chain, 1, instance_id)
        client.purge_orchestration(instance_id)
        found[instance_id].append(status(client, instance_id))
    return found


@SCENARIOS.add
def delayed_start(client: Any) -> Any:
    began = time.monotonic()
    start_at = datetime.now(timezone.utc) + timedelta(seconds=0.5)  # noqa: TID251, UP017
    client.schedule_new_orchestration(
        flows.chain, input=1, instance_id="delayed", start_at=start_at
    )
    before = status(client, "delayed")
    return [before, *ended(client, "delayed"), time.monotonic() - began >= 0.45]


@SCENARIOS.add
def events_before_the_wait(client: Any) -> Any:
    client.schedule_new_orchestration(flows.collect, input=3, instance_id="buffered")
    for letter in "abc":
        client.raise_orchestration_event("buffered", "letter", data=letter)
    client.raise_orchestration_event("buffered", "go")
    return ended(client, "buffered")


@SCENARIOS.add
def events_for_two_waiters(client: Any) -> Any:
    client.schedule_new_orchestration(flows.two_waiters, instance_id="two-waiters")
    for letter in "ab":
        client.raise_orchestration_event("two-waiters", "letter", data=letter)
    return ended(client, "two-waiters")


@SCENARIOS.add
def events_in_any_case(client: Any) -> Any:
    client.schedule_new_orchestration(flows.echo_event, input="GoNow", instance_id="case")
    client.raise_orchestration_event("case", "gOnOW", data={"a": [1, None, "ü"]})
    return ended(client, "case")


@SCENARIOS.add
def events_to_another_instance(client: Any) -> Any:
    client.schedule_new_orchestration(flows.wait, instance_id="told")
    becomes(client, "told", "RUNNING")
    return [*result(client, flows.tell_other, "told", "teller"), *ended(client, "told")]


@SCENARIOS.add
def continue_as_new_keeps_events(client: Any) -> Any:
    start = {"seen": 0, "total": 0}
    client.schedule_new_orchestration(flows.add_up, input=start, instance_id="add-up")
    for number in range(1, 32):
        client.raise_orchestration_event("add-up", "tick", data=number)
    return ended(client, "add-up")


@SCENARIOS.add
def continue_as_new_with_kept_events(client: Any) -> Any:
    _begin_again(client, "again-keep", keep=True)
    return ended(client, "again-keep")


@SCENARIOS.add
def continue_as_new_without_kept_events(client: Any) -> Any:
    _begin_again(client, "again-lose", keep=False)
    reports(client, "again-lose", '"second round"')
    client.raise_orchestration_event("again-lose", "extra", data="new")
    return ended(client, "again-lose")


def _begin_again(client: Any, instance_id: str, *, keep: bool) -> None:
    first = {"round": 1, "keep": keep}
    client.schedule_new_orchestration(flows.begin_again, input=first, instance_id=instance_id)
    client.raise_orchestration_event(instance_id, "extra", data="old")
    client.raise_orchestration_event(instance_id, "go")


@SCENARIOS.add
def custom_status(client: Any) -> Any:
    client.schedule_new_orchestration(flows.report, instance_id="custom")
    reports(client, "custom", '"half"')
    client.raise_orchestration_event("custom", "go")
    state = finished(client, "custom")
    bare = client.get_orchestration_state("custom", fetch_payloads=False)
    return [state.serialized_custom_status, bare.serialized_custom_status, bare.serialized_output]


@SCENARIOS.add
def version_of_an_instance(client: Any) -> Any:
    client.schedule_new_orchestration(flows.version, instance_id="version", version="1.2.3")
    return ended(client, "version")


@SCENARIOS.add
def deterministic_ids(client: Any) -> Any:
    return result(client, flows.unique, None, "unique")


@SCENARIOS.add
def asyncio_client(_client: Any) -> Any:
    import sys

    from durabletask.client import AsyncTaskHubGrpcClient

    async def run() -> list[Any]:
        async with AsyncTaskHubGrpcClient(host_address=sys.argv[1]) as client:
            await client.schedule_new_orchestration(flows.chain, input=1, instance_id="asyncio")
            state = await client.wait_for_orchestration_completion("asyncio", timeout=WAIT_SECONDS)
            assert state is not None
            return [state.runtime_status.name, state.serialized_output]

    return asyncio.run(run())
