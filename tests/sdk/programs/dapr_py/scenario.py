"""What all scenarios of Dapr's Python SDK need."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.sdk.programs.dapr_py.sdk import IS_DAPR, VERSION
from tests.sdk.programs.scenarios import WAIT_SECONDS, Scenarios, Unsupported, until

SCENARIOS = Scenarios()


def since(major: int, minor: int) -> None:
    """For scenarios that older SDKs have no words for."""
    if (major, minor) > VERSION:
        raise Unsupported(f"since {major}.{minor}")


def over_grpc() -> None:
    """For scenarios about what is special to gRPC."""
    if not IS_DAPR:
        raise Unsupported("not over gRPC")


def by_name(name: str) -> Any:
    """A workflow that only the workers have. 1.17's client takes functions alone, by their name."""
    if VERSION >= (1, 18):
        return name

    def named() -> None:
        """Never called."""

    named.__name__ = name
    return named


def finished(client: Any, instance_id: str) -> Any:
    """The state of an instance that comes to its end."""
    state = client.wait_for_workflow_completion(instance_id, timeout_in_seconds=WAIT_SECONDS)
    assert state is not None, f"there is no {instance_id}"
    return state


def status(client: Any, instance_id: str) -> str:
    state = client.get_workflow_state(instance_id)
    return "UNKNOWN" if state is None else str(state.runtime_status.name)


def becomes(client: Any, instance_id: str, wanted: str) -> str:
    until(lambda: status(client, instance_id) == wanted)
    return wanted


def reports(client: Any, instance_id: str, wanted: str) -> None:
    """Wait for a custom status."""

    def is_so() -> bool:
        state = client.get_workflow_state(instance_id)
        return state is not None and state.serialized_custom_status == wanted

    until(is_so)


def result(client: Any, workflow: Callable[..., Any] | str, input: Any, instance_id: str) -> Any:
    """Run a workflow to its end: the status, and the output as its JSON text."""
    client.schedule_new_workflow(workflow, input=input, instance_id=instance_id)
    return ended(client, instance_id)


def ended(client: Any, instance_id: str) -> list[Any]:
    state = finished(client, instance_id)
    return [state.runtime_status.name, state.serialized_output]


def failure(client: Any, workflow: Callable[..., Any] | str, input: Any, instance_id: str) -> Any:
    """Run a workflow that fails: the status, the error's type and message, and who is to blame."""
    client.schedule_new_workflow(workflow, input=input, instance_id=instance_id)
    state = finished(client, instance_id)
    found = state.failure_details
    return [state.runtime_status.name, found.error_type, found.message, bool(found.stack_trace)]
