"""Scenarios that act on instances in every state, and look at them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timezone
from typing import Any

from tests.sdk.programs.durabletask_py import flows
from tests.sdk.programs.durabletask_py.scenario import (
    SCENARIOS,
    becomes,
    ended,
    finished,
    result,
    status,
)
from tests.sdk.programs.scenarios import refusal

FAR = datetime(2200, 1, 1, tzinfo=timezone.utc)  # noqa: UP017
STATES = ("PENDING", "RUNNING", "SUSPENDED", "COMPLETED", "FAILED", "TERMINATED", "UNKNOWN")


def _instance(client: Any, purpose: str, state: str) -> str:
    """The id of a new instance in `state`."""
    instance_id = f"{purpose}-{state}"
    if state == "UNKNOWN":
        return instance_id
    start_at = FAR if state == "PENDING" else None
    client.schedule_new_orchestration(flows.wait, instance_id=instance_id, start_at=start_at)
    match state:
        case "SUSPENDED":
            client.suspend_orchestration(instance_id)
        case "COMPLETED":
            client.raise_orchestration_event(instance_id, "go", data="well")
        case "FAILED":
            client.raise_orchestration_event(instance_id, "go", data="badly")
        case "TERMINATED":
            client.terminate_orchestration(instance_id, output="first")
    becomes(client, instance_id, state)
    return instance_id


def _in_every_state(
    client: Any, purpose: str, act: Callable[[str], Any], after: dict[str, str]
) -> dict[str, Any]:
    """By state: what the act is refused with, if it is, and the status that follows.

    This SDK's own backend answers before it acts, so that the status in `after` is waited for.
    """
    found: dict[str, Any] = {}
    for state in STATES:
        instance_id = _instance(client, purpose, state)
        refused = refusal(lambda one=instance_id: act(one))  # type: ignore[misc]
        if state in after:
            becomes(client, instance_id, after[state])
        found[state] = [refused, status(client, instance_id)]
    return found


@SCENARIOS.add
def suspend(client: Any) -> Any:
    return _in_every_state(client, "pause", client.suspend_orchestration, {"RUNNING": "SUSPENDED"})


@SCENARIOS.add
def resume(client: Any) -> Any:
    return _in_every_state(client, "resume", client.resume_orchestration, {"SUSPENDED": "RUNNING"})


@SCENARIOS.add
def terminate(client: Any) -> Any:
    return _in_every_state(
        client,
        "terminate",
        lambda one: client.terminate_orchestration(one, output={"by": "hand"}),
        dict.fromkeys(("PENDING", "RUNNING", "SUSPENDED"), "TERMINATED"),
    )


@SCENARIOS.add
def purge(client: Any) -> Any:
    counts = {}

    def act(instance_id: str) -> None:
        counts[instance_id] = client.purge_orchestration(instance_id).deleted_instance_count

    found = _in_every_state(client, "purge", act, {})
    return {state: [*found[state], counts.get(f"purge-{state}")] for state in STATES}


@SCENARIOS.add
def raise_event(client: Any) -> Any:
    def act(instance_id: str) -> None:
        client.raise_orchestration_event(instance_id, "go", data="late")

    found = _in_every_state(client, "raise", act, {"RUNNING": "COMPLETED"})
    client.resume_orchestration("raise-SUSPENDED")
    return [found, ended(client, "raise-SUSPENDED")]


@SCENARIOS.add
def schedule_again(client: Any) -> Any:
    return _in_every_state(
        client,
        "schedule",
        lambda one: client.schedule_new_orchestration(flows.wait, instance_id=one),
        dict.fromkeys(("COMPLETED", "FAILED", "TERMINATED", "UNKNOWN"), "RUNNING"),
    )


@SCENARIOS.add
def pause_twice_and_resume_twice(client: Any) -> Any:
    """A second of either, sent on to the worker, makes it loop for ever or fail the workflow."""
    instance_id = _instance(client, "twice", "RUNNING")
    for act in (client.suspend_orchestration, client.resume_orchestration):
        act(instance_id)
        act(instance_id)
    client.suspend_orchestration(instance_id)
    client.raise_orchestration_event(instance_id, "go", data="well")
    client.suspend_orchestration(instance_id)
    client.resume_orchestration(instance_id)
    return ended(client, instance_id)


@SCENARIOS.add
def waits_with_a_timeout(client: Any) -> Any:
    instance_id = _instance(client, "wait", "RUNNING")
    try:
        client.wait_for_orchestration_completion(instance_id, timeout=1)
    except TimeoutError as error:
        return str(error)
    return "no timeout"


@SCENARIOS.add
def terminate_and_purge_with_children(client: Any) -> Any:
    client.schedule_new_orchestration(flows.family, input=2, instance_id="family")
    becomes(client, "family", "RUNNING")
    client.terminate_orchestration("family", recursive=True)
    finished(client, "family")
    client.purge_orchestration("family", recursive=True)
    return status(client, "family")


@SCENARIOS.add
def restart_with_a_new_id(client: Any) -> Any:
    result(client, flows.chain, 1, "restart")
    new_id = client.restart_orchestration("restart", restart_with_new_instance_id=True)
    return [new_id != "restart", *ended(client, new_id)]


@SCENARIOS.add
def restart_under_the_same_id(client: Any) -> Any:
    result(client, flows.chain, 1, "again")
    same_id = client.restart_orchestration("again")
    return [same_id, *ended(client, same_id)]


@SCENARIOS.add
def history(client: Any) -> Any:
    result(client, flows.chain, 1, "history")
    events = client.get_orchestration_history("history")
    return [type(event).__name__ for event in events]


@SCENARIOS.add
def history_of_an_unknown_instance(client: Any) -> Any:
    return refusal(lambda: client.get_orchestration_history("nobody"))
