"""Scenarios with events from outside."""

from __future__ import annotations

from typing import Any

from tests.sdk.programs.dapr_py import flows
from tests.sdk.programs.dapr_py.scenario import (
    SCENARIOS,
    becomes,
    ended,
    reports,
    result,
    since,
)


@SCENARIOS.add
def events_before_the_wait(client: Any) -> Any:
    client.schedule_new_workflow(flows.collect, input=3, instance_id="buffered")
    for letter in "abc":
        client.raise_workflow_event("buffered", "letter", data=letter)
    client.raise_workflow_event("buffered", "go")
    return ended(client, "buffered")


@SCENARIOS.add
def events_for_two_waiters(client: Any) -> Any:
    client.schedule_new_workflow(flows.two_waiters, instance_id="two-waiters")
    for letter in "ab":
        client.raise_workflow_event("two-waiters", "letter", data=letter)
    return ended(client, "two-waiters")


@SCENARIOS.add
def events_in_any_case(client: Any) -> Any:
    client.schedule_new_workflow(flows.echo_event, input="GoNow", instance_id="case")
    client.raise_workflow_event("case", "gOnOW", data={"a": [1, None, "ü"]})
    return ended(client, "case")


@SCENARIOS.add
def events_without_data(client: Any) -> Any:
    client.schedule_new_workflow(flows.echo_event, input="ping", instance_id="no-data")
    client.raise_workflow_event("no-data", "ping")
    return ended(client, "no-data")


@SCENARIOS.add
def events_within_their_time(client: Any) -> Any:
    since(1, 18)
    client.schedule_new_workflow(flows.event_or_timeout, input=60, instance_id="in-time")
    client.raise_workflow_event("in-time", "late", data=1)
    return ended(client, "in-time")


@SCENARIOS.add
def events_after_their_time(client: Any) -> Any:
    since(1, 18)
    client.schedule_new_workflow(flows.event_or_timeout, input=0.05, instance_id="too-late")
    reports(client, "too-late", "timed out")
    client.raise_workflow_event("too-late", "late", data=2)
    return ended(client, "too-late")


@SCENARIOS.add
def timer_before_the_event(client: Any) -> Any:
    return result(client, flows.race, None, "race-timer")


@SCENARIOS.add
def event_before_the_timer(client: Any) -> Any:
    # Paused, so that the timer is held up if it should be the faster one.
    client.schedule_new_workflow(flows.collect, input=1, instance_id="race-event")
    client.pause_workflow("race-event")
    client.raise_workflow_event("race-event", "go")
    client.raise_workflow_event("race-event", "letter", data="held")
    paused = becomes(client, "race-event", "SUSPENDED")
    client.resume_workflow("race-event")
    return [paused, *ended(client, "race-event")]


@SCENARIOS.add
def continue_as_new_keeps_events(client: Any) -> Any:
    start = {"seen": 0, "total": 0}
    client.schedule_new_workflow(flows.add_up, input=start, instance_id="add-up")
    for number in range(1, 32):
        client.raise_workflow_event("add-up", "tick", data=number)
    return ended(client, "add-up")


@SCENARIOS.add
def continue_as_new_with_kept_events(client: Any) -> Any:
    _begin_again(client, "again-keep", keep=True)
    return ended(client, "again-keep")


@SCENARIOS.add
def continue_as_new_without_kept_events(client: Any) -> Any:
    _begin_again(client, "again-lose", keep=False)
    reports(client, "again-lose", "second round")
    client.raise_workflow_event("again-lose", "extra", data="new")
    return ended(client, "again-lose")


def _begin_again(client: Any, instance_id: str, *, keep: bool) -> None:
    first = {"round": 1, "keep": keep}
    client.schedule_new_workflow(flows.begin_again, input=first, instance_id=instance_id)
    client.raise_workflow_event(instance_id, "extra", data="old")
    client.raise_workflow_event(instance_id, "go")


@SCENARIOS.add
def custom_status(client: Any) -> Any:
    client.schedule_new_workflow(flows.report, instance_id="custom")
    reports(client, "custom", "half")
    half = client.get_workflow_state("custom").serialized_custom_status
    client.raise_workflow_event("custom", "go")
    ended(client, "custom")
    done = client.get_workflow_state("custom").serialized_custom_status
    bare = client.get_workflow_state("custom", fetch_payloads=False)
    return [half, done, bare.serialized_custom_status, bare.serialized_output]
