"""Steps for tests that break something meanwhile."""

from __future__ import annotations

from typing import Any

from tests.sdk.programs.durabletask_py.scenario import SCENARIOS, ended, status


@SCENARIOS.alone
def start(client: Any, name: str, instance_id: str, input: Any) -> Any:
    return client.schedule_new_orchestration(name, input=input, instance_id=instance_id)


@SCENARIOS.alone
def start_many(client: Any, name: str, prefix: str, count: int, input: Any) -> Any:
    for number in range(count):
        start(client, name, f"{prefix}-{number}", input)
    return count


@SCENARIOS.alone
def end(client: Any, instance_id: str) -> Any:
    return ended(client, instance_id)


@SCENARIOS.alone
def end_many(client: Any, prefix: str, count: int) -> Any:
    return [ended(client, f"{prefix}-{number}") for number in range(count)]


@SCENARIOS.alone
def status_of(client: Any, instance_id: str) -> Any:
    return status(client, instance_id)


@SCENARIOS.alone
def raise_go(client: Any, instance_id: str) -> Any:
    client.raise_orchestration_event(instance_id, "go", data="on")
