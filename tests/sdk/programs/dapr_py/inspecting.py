"""Scenarios that look at instances: lists, histories, reruns; and steps for tests of faults."""

from __future__ import annotations

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
    result,
    since,
    status,
)
from tests.sdk.programs.dapr_py.sdk import IS_DAPR, VERSION
from tests.sdk.programs.scenarios import Unsupported, code, refusal, until


@SCENARIOS.add
def history(client: Any) -> Any:
    since(1, 19)
    result(client, flows.chain, 1, "history")
    events = client.get_workflow_history("history")
    names = [event.event_type.name for event in events]
    scheduled = [event.event_id for event in events if event.name == "add_one"]
    unknown = refusal(lambda: client.get_workflow_history("nobody"))
    return [names, scheduled, unknown]


@SCENARIOS.add
def history_of_an_unknown_instance(client: Any) -> Any:
    since(1, 19)
    over_grpc()
    return code(lambda: client.get_workflow_history("nobody"))


@SCENARIOS.add
def list_ids(client: Any) -> Any:
    since(1, 19)
    mine = {f"listed-{number}" for number in range(5)}
    for instance_id in mine:
        client.schedule_new_workflow(flows.wait, instance_id=instance_id)
    pages, token = [], None
    while True:
        page = client.list_workflow_instance_ids(page_size=2, continuation_token=token)
        pages.append(page.instance_ids)
        token = page.continuation_token
        if not token:
            break
    listed = [one for page in pages for one in page]
    return {
        "all pages but the last are full": all(len(page) == 2 for page in pages[:-1]),
        "each once": len(listed) == len(set(listed)),
        "all of mine": mine <= set(listed),
        "the same in one go": sorted(listed) == sorted(client.iter_workflow_instance_ids()),
    }


@SCENARIOS.add
def rerun_from_an_activity(client: Any) -> Any:
    since(1, 19)
    result(client, flows.chain, 1, "rerun-source")
    again = client.rerun_workflow_from_event("rerun-source", 2, new_instance_id="rerun-same")
    other = client.rerun_workflow_from_event(
        "rerun-source", 2, new_instance_id="rerun-other", input=10
    )
    unnamed = client.rerun_workflow_from_event("rerun-source", 1)
    return [
        [again, *ended(client, "rerun-same")],
        [other, *ended(client, "rerun-other")],
        [bool(unnamed), *ended(client, unnamed)],
    ]


@SCENARIOS.add
def rerun_refusals(client: Any) -> Any:
    since(1, 19)
    over_grpc()
    result(client, flows.chain, 1, "rerun-refused")
    client.schedule_new_workflow(flows.wait, instance_id="rerun-running")
    becomes(client, "rerun-running", "RUNNING")
    result(client, flows.nest, 2, "rerun-parent")
    rerun = client.rerun_workflow_from_event
    attempts = {
        "unknown": lambda: rerun("nobody", 1),
        "running": lambda: rerun("rerun-running", 1),
        "no such event": lambda: rerun("rerun-refused", 99),
        "id is taken": lambda: rerun("rerun-refused", 1, new_instance_id="rerun-parent"),
        "child": lambda: rerun("rerun-parent:0001", 1),
    }
    return {name: [code(attempt), refusal(attempt)] for name, attempt in attempts.items()}


@SCENARIOS.add
def dapr_client(_client: Any) -> Any:
    """The workflow methods of DaprClient, which went with 1.18: they use the other service."""
    if not IS_DAPR or VERSION >= (1, 18):
        raise Unsupported("until 1.17")
    from dapr.clients import DaprClient  # Not there in the other environments.

    with DaprClient() as dapr:
        where = {"instance_id": "old", "workflow_component": "dapr"}
        started = dapr.start_workflow(workflow_name="wait", **where)
        found = [started.instance_id, _becomes(dapr, where, "RUNNING")]
        dapr.pause_workflow(**where)
        found.append(_becomes(dapr, where, "SUSPENDED"))
        dapr.resume_workflow(**where)
        found.append(_becomes(dapr, where, "RUNNING"))
        dapr.raise_workflow_event(**where, event_name="go", event_data="well")
        found.append(_becomes(dapr, where, "COMPLETED"))
        dapr.purge_workflow(**where)
        dapr.start_workflow(workflow_name="wait", **where)
        dapr.terminate_workflow(**where)
        found.append(_becomes(dapr, where, "TERMINATED"))
        return found


def _becomes(dapr: Any, where: dict[str, str], wanted: str) -> str:
    until(lambda: dapr.get_workflow(**where).runtime_status.upper() == wanted)
    return wanted


# ---- steps for tests that break something meanwhile


@SCENARIOS.alone
def start(client: Any, name: str, instance_id: str, input: Any) -> Any:
    return client.schedule_new_workflow(by_name(name), input=input, instance_id=instance_id)


@SCENARIOS.alone
def start_many(client: Any, name: str, prefix: str, count: int, input: Any) -> Any:
    for number in range(count):
        client.schedule_new_workflow(by_name(name), input=input, instance_id=f"{prefix}-{number}")
    return count


@SCENARIOS.alone
def end(client: Any, instance_id: str) -> Any:
    return ended(client, instance_id)


@SCENARIOS.alone
def end_many(client: Any, prefix: str, count: int) -> Any:
    return [ended(client, f"{prefix}-{number}") for number in range(count)]


@SCENARIOS.alone
def until_status(client: Any, instance_id: str, wanted: str) -> Any:
    return becomes(client, instance_id, wanted)


@SCENARIOS.alone
def until_reported(client: Any, instance_id: str, wanted: str) -> Any:
    return reports(client, instance_id, wanted)


@SCENARIOS.alone
def status_of(client: Any, instance_id: str) -> Any:
    return status(client, instance_id)


@SCENARIOS.alone
def terminate_one(client: Any, instance_id: str) -> Any:
    client.terminate_workflow(instance_id)
    return finished(client, instance_id).runtime_status.name


@SCENARIOS.alone
def raise_go(client: Any, instance_id: str) -> Any:
    client.raise_workflow_event(instance_id, "go", data="on")
