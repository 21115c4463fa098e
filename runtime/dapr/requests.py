"""What the clients of Dapr's SDK ask for, as calls of perdure's own clients. A value module.

Both clients, with and without asyncio, send exactly these. They are answered by a node in this
process (`perdure.runtime.dapr.local`) or, over HTTP, by one elsewhere: all of these have the same
methods.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Generic, TypeVar

from perdure.runtime.dapr.local import LocalClient
from perdure.runtime.dapr.naming import name_for
from perdure.runtime.dapr.state import (
    WorkflowHistoryEvent,
    WorkflowInstanceIdPage,
    WorkflowState,
    event_of,
    state_of,
)
from perdure.runtime.dapr.wire import raw
from perdure.runtime.environment import SystemEnv
from perdure.runtime.remote import state as remote
from perdure.runtime.remote.errors import WorkflowNotFound
from perdure.runtime.workflow.errors import InstanceNotFound

T = TypeVar("T")

UNKNOWN_INSTANCE = (InstanceNotFound, WorkflowNotFound)
PAGE_SIZE = 1000
UNSET = type("Unset", (), {"__repr__": lambda _: "<unset>"})()
"""Stands for an argument that was not given, where None means something."""


@dataclass(frozen=True, slots=True)
class Request(Generic[T]):
    """A method of the client, its arguments, and how the SDK shows the answer."""

    method: str
    arguments: Mapping[str, Any]
    shown: Callable[[Any], T]
    missing_is_none: bool = field(default=False, kw_only=True)
    """An instance that does not exist is no error."""
    in_process: bool = field(default=False, kw_only=True)
    """The HTTP API has nothing like it."""

    async def ask(self, local: LocalClient, app_id: str | None) -> Any:
        """Its answer by the node in this process, for an app."""
        return await getattr(await local.of(app_id), self.method)(**self.arguments)

    def refuse_http(self) -> None:
        """Raise `NotImplementedError` if only a runtime in this process can answer it."""
        if self.in_process:
            raise NotImplementedError(
                f"{self.method} is not part of the HTTP API: call it where the WorkflowRuntime "
                "runs, or use Dapr's own SDK, which speaks gRPC"
            )


def schedule(
    workflow: Callable[..., Any] | str,
    input: Any,
    instance_id: str | None,
    start_at: datetime | None,
) -> Request[str]:
    if start_at is not None and start_at.tzinfo is None:
        start_at = start_at.replace(tzinfo=UTC)
    arguments = {
        "workflow": name_for(workflow),
        "input": raw(input),
        # In the SDK's form, which the user may know from its output: 32 digits, no hyphens.
        "instance_id": instance_id or SystemEnv().new_id().replace("-", ""),
        "start_at": start_at,
    }
    return Request("schedule_new_workflow", arguments, str)


def find(instance_id: str, fetch_payloads: bool) -> Request[WorkflowState | None]:
    arguments = {"instance_id": instance_id}
    shown = _state_with(fetch_payloads)
    return Request("get_workflow_state", arguments, shown, missing_is_none=True)


def wait(
    until: str, instance_id: str, fetch_payloads: bool, seconds: float
) -> Request[WorkflowState | None]:
    """`until` is `start` or `completion`; 0 seconds are no limit."""
    arguments = {"instance_id": instance_id, "timeout_in_seconds": seconds}
    shown = _state_with(fetch_payloads)
    return Request(f"wait_for_workflow_{until}", arguments, shown, missing_is_none=True)


def raise_event(instance_id: str, event_name: str, data: Any) -> Request[None]:
    # As in the SDK, what is false (0, "", [], {}) is sent as nothing.
    arguments = {"instance_id": instance_id, "event_name": event_name, "data": raw(data or None)}
    return Request("raise_workflow_event", arguments, _nothing)


def terminate(instance_id: str, output: Any, recursive: bool) -> Request[None]:
    arguments = {
        "instance_id": instance_id,
        "output": raw(output or None),
        "recursive": recursive,
    }
    return Request("terminate_workflow", arguments, _nothing)


def pause(instance_id: str) -> Request[None]:
    return Request("pause_workflow", {"instance_id": instance_id}, _nothing)


def resume(instance_id: str) -> Request[None]:
    return Request("resume_workflow", {"instance_id": instance_id}, _nothing)


def purge(instance_id: str, recursive: bool) -> Request[None]:
    arguments = {"instance_id": instance_id, "recursive": recursive}
    return Request("purge_workflow", arguments, _nothing)


def page_of_ids(
    page_size: int | None, continuation_token: str | None
) -> Request[WorkflowInstanceIdPage]:
    if page_size is not None and page_size < 1:
        raise ValueError(f"page_size must be at least 1, or None for no wish, found {page_size}")
    chosen = remote.ListFilter(newest_first=False, page_size=min(page_size or PAGE_SIZE, PAGE_SIZE))
    return Request("list_page", {"chosen": chosen, "cursor": continuation_token}, _page)


def history(instance_id: str) -> Request[list[WorkflowHistoryEvent]]:
    return Request("get_workflow_history", {"instance_id": instance_id}, _history)


def rerun(
    instance_id: str,
    event_id: int,
    new_instance_id: str | None,
    input: Any,
    new_child_workflow_instance_id: str | None,
) -> Request[str]:
    """`input` is `UNSET` if the event keeps the one that it had."""
    if not 0 <= event_id < 1 << 32:
        raise ValueError(f"event_id must be between 0 and {(1 << 32) - 1}, found {event_id}")
    for name, given in (
        ("new_instance_id", new_instance_id),
        ("new_child_workflow_instance_id", new_child_workflow_instance_id),
    ):
        if given == "":
            raise ValueError(f"{name} must not be empty; None stands for the default")
    arguments = {
        "instance_id": instance_id,
        "event_id": event_id,
        "new_instance_id": new_instance_id,
        "input": None if input is UNSET else raw(input),
        "overwrite_input": input is not UNSET,
        "new_child_id": new_child_workflow_instance_id,
    }
    return Request("rerun_workflow_from_event", arguments, str, in_process=True)


def _state_with(payloads: bool) -> Callable[[Any], WorkflowState | None]:
    return lambda found: None if found is None else state_of(found, payloads)


def _nothing(answer: Any) -> None:
    return None


def _page(found: remote.StateListing) -> WorkflowInstanceIdPage:
    return WorkflowInstanceIdPage([state.instance_id for state in found.instances], found.cursor)


def _history(found: list[remote.HistoryEvent]) -> list[WorkflowHistoryEvent]:
    return [event_of(event) for event in found]
