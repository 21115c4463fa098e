"""Scenarios that act on instances in every state, and the releases that stall them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timezone
from typing import Any

from tests.sdk.programs.dapr_py import flows
from tests.sdk.programs.dapr_py.scenario import (
    SCENARIOS,
    becomes,
    by_name,
    ended,
    finished,
    over_grpc,
    reports,
    status,
)
from tests.sdk.programs.scenarios import code, refusal, until

FAR = datetime(2200, 1, 1, tzinfo=timezone.utc)  # noqa: UP017  # 1.17 runs on Python 3.10 too.
STATES = ("PENDING", "RUNNING", "SUSPENDED", "COMPLETED", "FAILED", "TERMINATED", "UNKNOWN")


def _instance(client: Any, purpose: str, state: str) -> str:
    """The id of a new instance in `state`."""
    instance_id = f"{purpose}-{state}"
    if state == "UNKNOWN":
        return instance_id
    start_at = FAR if state == "PENDING" else None
    client.schedule_new_workflow(flows.wait, instance_id=instance_id, start_at=start_at)
    match state:
        case "RUNNING":
            client.wait_for_workflow_start(instance_id, timeout_in_seconds=10)
        case "SUSPENDED":
            client.pause_workflow(instance_id)
        case "COMPLETED":
            client.raise_workflow_event(instance_id, "go", data="well")
        case "FAILED":
            client.raise_workflow_event(instance_id, "go", data="badly")
        case "TERMINATED":
            client.terminate_workflow(instance_id, output="first")
    return _at(client, instance_id, state)


def _at(client: Any, instance_id: str, state: str) -> str:
    becomes(client, instance_id, state)
    return instance_id


def _in_every_state(
    client: Any, purpose: str, act: Callable[[str], Any], settled: Callable[[str, str], str]
) -> dict[str, Any]:
    """By state: what the act is refused with, if it is, and the status right afterwards."""
    found: dict[str, Any] = {}
    for state in STATES:
        instance_id = _instance(client, purpose, state)
        refused = refusal(lambda one=instance_id: act(one))  # type: ignore[misc]
        found[state] = [refused, settled(state, instance_id)]
    return found


@SCENARIOS.add
def pause(client: Any) -> Any:
    return _in_every_state(
        client, "pause", client.pause_workflow, lambda _, one: status(client, one)
    )


@SCENARIOS.add
def resume(client: Any) -> Any:
    return _in_every_state(
        client, "resume", client.resume_workflow, lambda _, one: status(client, one)
    )


@SCENARIOS.add
def terminate(client: Any) -> Any:
    found = _in_every_state(
        client,
        "terminate",
        lambda one: client.terminate_workflow(one, output={"by": "hand"}),
        lambda _, one: status(client, one),
    )
    outputs = [
        client.get_workflow_state(f"terminate-{state}").serialized_output
        for state in ("PENDING", "RUNNING", "SUSPENDED", "COMPLETED", "TERMINATED")
    ]
    return [found, outputs]


@SCENARIOS.add
def purge(client: Any) -> Any:
    return _in_every_state(
        client, "purge", client.purge_workflow, lambda _, one: status(client, one)
    )


@SCENARIOS.add
def raise_event(client: Any) -> Any:
    def settled(state: str, instance_id: str) -> str:
        if state == "RUNNING":
            finished(client, instance_id)
        return status(client, instance_id)

    found = _in_every_state(
        client,
        "raise",
        lambda one: client.raise_workflow_event(one, "go", data="late"),
        settled,
    )
    client.resume_workflow("raise-SUSPENDED")
    return [found, ended(client, "raise-SUSPENDED")]


@SCENARIOS.add
def schedule_again(client: Any) -> Any:
    def settled(state: str, instance_id: str) -> str:
        if state in ("COMPLETED", "FAILED", "TERMINATED", "UNKNOWN"):
            client.wait_for_workflow_start(instance_id, timeout_in_seconds=10)
        return status(client, instance_id)

    return _in_every_state(
        client,
        "schedule",
        lambda one: client.schedule_new_workflow(flows.wait, instance_id=one),
        settled,
    )


@SCENARIOS.add
def status_codes(client: Any) -> Any:
    over_grpc()
    running = _instance(client, "codes", "RUNNING")
    return {
        "pause": code(lambda: client.pause_workflow("nobody")),
        "resume": code(lambda: client.resume_workflow("nobody")),
        "terminate": code(lambda: client.terminate_workflow("nobody")),
        "raise": code(lambda: client.raise_workflow_event("nobody", "go")),
        "purge": code(lambda: client.purge_workflow("nobody")),
        "purge running": code(lambda: client.purge_workflow(running)),
        "schedule running": code(
            lambda: client.schedule_new_workflow(flows.wait, instance_id=running)
        ),
    }


@SCENARIOS.add
def pause_twice_and_resume_twice(client: Any) -> Any:
    """A second of either, sent on to the worker, makes it loop for ever or fail the workflow."""
    instance_id = _instance(client, "twice", "RUNNING")
    for act in (client.pause_workflow, client.resume_workflow):
        act(instance_id)
        act(instance_id)
    client.pause_workflow(instance_id)
    client.raise_workflow_event(instance_id, "go", data="well")
    client.pause_workflow(instance_id)
    client.resume_workflow(instance_id)
    return ended(client, instance_id)


@SCENARIOS.add
def waits_with_a_timeout(client: Any) -> Any:
    instance_id = _instance(client, "wait", "RUNNING")
    started = client.wait_for_workflow_start(instance_id, timeout_in_seconds=10)
    try:
        client.wait_for_workflow_completion(instance_id, timeout_in_seconds=1)
    except TimeoutError as error:
        return [started.runtime_status.name, str(error)]
    return "no timeout"


@SCENARIOS.add
def terminate_and_purge_with_children(client: Any) -> Any:
    ids = ("family", "family:0001", "family:0001:0001")
    client.schedule_new_workflow(flows.family, input=3, instance_id="family")
    for one in ids:
        becomes(client, one, "RUNNING")
    client.terminate_workflow("family")
    for one in ids:
        becomes(client, one, "TERMINATED")
    client.purge_workflow("family")
    return [status(client, one) for one in ids]


@SCENARIOS.add
def terminate_and_purge_without_children(client: Any) -> Any:
    ids = ("alone", "alone:0001", "alone:0001:0001")
    client.schedule_new_workflow(flows.family, input=3, instance_id="alone")
    for one in ids:
        becomes(client, one, "RUNNING")
    client.terminate_workflow("alone", recursive=False)
    terminated = [status(client, one) for one in ids]
    client.purge_workflow("alone", recursive=False)
    return [terminated, [status(client, one) for one in ids]]


# ---- releases; each step needs the worker of its own release


@SCENARIOS.alone
def begin(client: Any, name: str, instance_id: str) -> Any:
    """Start the workflow, and let it come to where it waits."""
    client.schedule_new_workflow(by_name(name), instance_id=instance_id)
    reports(client, instance_id, "waiting")
    return status(client, instance_id)


@SCENARIOS.alone
def go(client: Any, instance_id: str) -> Any:
    """Let it run on to its end, under whatever release there is."""
    client.raise_workflow_event(instance_id, "go")
    return ended(client, instance_id)


@SCENARIOS.alone
def stall(client: Any, instance_id: str) -> Any:
    """Let it run on under a release that lacks what it needs, and try what can be done to it."""
    client.raise_workflow_event(instance_id, "go")
    becomes(client, instance_id, "STALLED")
    refused = {
        "pause": refusal(lambda: client.pause_workflow(instance_id)),
        "resume": refusal(lambda: client.resume_workflow(instance_id)),
        "terminate": refusal(lambda: client.terminate_workflow(instance_id)),
        "raise": refusal(lambda: client.raise_workflow_event(instance_id, "more")),
        "purge": refusal(lambda: client.purge_workflow(instance_id)),
    }
    return [status(client, instance_id), refused]


@SCENARIOS.alone
def recover(client: Any, instance_id: str) -> Any:
    """It goes on by itself: a worker came that has what it needs."""
    until(lambda: status(client, instance_id) != "STALLED")
    return ended(client, instance_id)


@SCENARIOS.alone
def sell(client: Any, activity: str, count: int) -> Any:
    """Run so many at once of a workflow whose steps are in two workers."""
    ids = [
        client.schedule_new_workflow(
            by_name("sell"), input={"number": number, "activity": activity}
        )
        for number in range(count)
    ]
    return [ended(client, instance_id) for instance_id in ids]
