"""What a client can do, each operation as a flow of requests. A value module.

Both clients offer exactly these; this is the only place that knows what they mean.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Any

from perdure.runtime.remote.calls import Calls
from perdure.runtime.remote.cluster import ClusterStatus
from perdure.runtime.remote.errors import WorkflowNotFound
from perdure.runtime.remote.flow import Conversation, Flow
from perdure.runtime.remote.state import (
    HistoryEvent,
    ListFilter,
    StartWorkflowResponse,
    StateListing,
    WorkflowState,
)
from perdure.runtime.remote.status import WorkflowStatus
from perdure.runtime.remote.tracing import trace_headers
from perdure.runtime.remote.values import (
    body_of,
    new_key,
    start_time_of,
    verbatim_body_of,
)
from perdure.runtime.workflow.registry import name_of


class Operations:
    """The operations of one client on one node."""

    def __init__(self, calls: Calls, conversation: Conversation) -> None:
        self._calls = calls
        self._talk = conversation

    def schedule(
        self,
        workflow: Callable[..., Any] | str,
        value: Any,
        instance_id: str | None,
        start_at: datetime | None,
    ) -> Flow[str]:
        name = name_of(workflow)
        body = body_of(value, f"input of workflow '{name}'")
        call = self._calls.start(
            name,
            body,
            instance_id=instance_id,
            start_at=start_at,
            key=new_key(),
            trace=trace_headers(),
        )
        return self._talk.perform(call)

    def find(self, instance_id: str, fetch_payloads: bool) -> Flow[WorkflowState | None]:
        try:
            state = yield from self._talk.perform(self._calls.get(instance_id))
        except WorkflowNotFound:
            return None
        return state if fetch_payloads else state.without_payloads()

    def wait(
        self, instance_id: str, until: str, fetch_payloads: bool, timeout: float | None
    ) -> Flow[WorkflowState]:
        state = yield from self._talk.wait(self._calls, instance_id, until, timeout)
        return state if fetch_payloads else state.without_payloads()

    def poll(self, instance_id: str, until: Iterable[str], seconds: float) -> Flow[WorkflowState]:
        return self._talk.poll(self._calls, instance_id, ",".join(until), seconds)

    def raise_event(self, instance_id: str, event_name: str, data: Any) -> Flow[None]:
        body = body_of(data, f"data of event '{event_name}'")
        call = self._calls.raise_event(instance_id, event_name, body, key=new_key())
        return self._talk.perform(call)

    def pause(self, instance_id: str, component: str | None) -> Flow[None]:
        return self._talk.perform(self._calls.of(component).pause(instance_id))

    def resume(self, instance_id: str, component: str | None) -> Flow[None]:
        return self._talk.perform(self._calls.of(component).resume(instance_id))

    def terminate(
        self, instance_id: str, component: str | None, output: Any, recursive: bool
    ) -> Flow[None]:
        body = body_of(output, f"output of '{instance_id}'")
        call = self._calls.of(component).terminate(instance_id, output=body, recursive=recursive)
        return self._talk.perform(call)

    def purge(
        self, instance_id: str, component: str | None, recursive: bool, force: bool
    ) -> Flow[None]:
        call = self._calls.of(component).purge(instance_id, recursive=recursive, force=force)
        return self._talk.perform(call)

    def page(self, chosen: ListFilter | None, cursor: str | None) -> Flow[StateListing]:
        return self._talk.perform(self._calls.page(chosen or ListFilter(), cursor))

    def counts(self, chosen: ListFilter | None) -> Flow[Mapping[WorkflowStatus, int]]:
        return self._talk.perform(self._calls.counts(chosen or ListFilter()))

    def history(self, instance_id: str) -> Flow[list[HistoryEvent]]:
        return self._talk.perform(self._calls.history(instance_id))

    def cluster(self) -> Flow[ClusterStatus]:
        return self._talk.perform(self._calls.cluster())

    def drain(self, node_id: str) -> Flow[None]:
        return self._talk.perform(self._calls.drain(node_id))

    def start_classic(
        self,
        instance_id: str | None,
        name: str,
        component: str | None,
        value: Any,
        options: Mapping[str, str] | None,
    ) -> Flow[StartWorkflowResponse]:
        call = self._calls.of(component).start(
            name,
            verbatim_body_of(value, f"input of workflow '{name}'"),
            instance_id=instance_id,
            start_at=start_time_of(options),
            key=new_key(),
            trace=trace_headers(),
        )
        return StartWorkflowResponse((yield from self._talk.perform(call)))

    def get_classic(self, instance_id: str, component: str | None) -> Flow[WorkflowState]:
        return self._talk.perform(self._calls.of(component).get(instance_id))

    def raise_event_classic(
        self, instance_id: str, component: str | None, event_name: str, data: Any
    ) -> Flow[None]:
        body = verbatim_body_of(data, f"data of event '{event_name}'")
        call = self._calls.of(component).raise_event(instance_id, event_name, body, key=new_key())
        return self._talk.perform(call)
