"""What all scenarios of Microsoft's SDK need."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.sdk.programs.scenarios import WAIT_SECONDS, Scenarios, until

SCENARIOS = Scenarios()


def finished(client: Any, instance_id: str) -> Any:
    """The state of an instance that comes to its end."""
    state = client.wait_for_orchestration_completion(instance_id, timeout=WAIT_SECONDS)
    assert state is not None, f"there is no {instance_id}"
    return state


def status(client: Any, instance_id: str) -> str:
    state = client.get_orchestration_state(instance_id)
    return "UNKNOWN" if state is None else str(state.runtime_status.name)


def becomes(client: Any, instance_id: str, wanted: str) -> str:
    until(lambda: status(client, instance_id) == wanted)
    return wanted


def reports(client: Any, instance_id: str, wanted: str) -> None:
    """Wait for a custom status, which is JSON text."""

    def is_so() -> bool:
        state = client.get_orchestration_state(instance_id)
        return state is not None and state.serialized_custom_status == wanted

    until(is_so)


def result(client: Any, name: Callable[..., Any] | str, input: Any, instance_id: str) -> Any:
    """Run an orchestration to its end: the status, and the output as its JSON text."""
    client.schedule_new_orchestration(name, input=input, instance_id=instance_id)
    return ended(client, instance_id)


def ended(client: Any, instance_id: str) -> list[Any]:
    state = finished(client, instance_id)
    return [state.runtime_status.name, state.serialized_output]


def failure(client: Any, name: Callable[..., Any] | str, input: Any, instance_id: str) -> Any:
    """Run an orchestration that fails: the status, the error's type and message."""
    client.schedule_new_orchestration(name, input=input, instance_id=instance_id)
    state = finished(client, instance_id)
    found = state.failure_details
    return [state.runtime_status.name, found.error_type, found.message, bool(found.stack_trace)]
