"""Scenarios about instances of another app than that of the server which is asked."""

from __future__ import annotations

from typing import Any

from tests.sdk.programs.dapr_py import flows
from tests.sdk.programs.dapr_py.scenario import SCENARIOS
from tests.sdk.programs.scenarios import WAIT_SECONDS, code, until


@SCENARIOS.alone
def manage(client: Any, app_id: str) -> Any:
    """Every method that takes the id of an app."""
    there = {"app_id": app_id}

    def status(instance_id: str) -> Any:
        state = client.get_workflow_state(instance_id, **there)
        return state and state.runtime_status.name

    client.schedule_new_workflow(flows.wait, instance_id="w", **there)
    seen: list[Any] = [client.get_workflow_state("w")]
    client.wait_for_workflow_start("w", timeout_in_seconds=WAIT_SECONDS, **there)
    client.pause_workflow("w", **there)
    seen.append(status("w"))
    client.resume_workflow("w", **there)
    seen.append(status("w"))
    client.raise_workflow_event("w", "go", data="well", **there)
    ended = client.wait_for_workflow_completion("w", timeout_in_seconds=WAIT_SECONDS, **there)
    seen.append(ended.runtime_status.name)
    again = client.rerun_workflow_from_event("w", 1, new_instance_id="again", **there)
    until(lambda: status(again) == "RUNNING")
    client.terminate_workflow(again, **there)
    seen.append(status(again))
    client.purge_workflow(again, **there)
    seen += [status(again), client.list_workflow_instance_ids().instance_ids]
    nowhere = {"app_id": "nowhere"}
    return [
        *seen,
        code(lambda: client.schedule_new_workflow(flows.wait, **nowhere)),
        code(lambda: client.raise_workflow_event("nobody", "go", **there)),
    ]
