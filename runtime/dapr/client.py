"""`DaprWorkflowClient`, without asyncio. An edge module."""

from __future__ import annotations

import concurrent.futures
import os
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any, TypeVar

from perdure.actors.errors import NodeStopping
from perdure.runtime.dapr import requests
from perdure.runtime.dapr.address import address_of, url_of
from perdure.runtime.dapr.background import RUNNING
from perdure.runtime.dapr.state import (
    WorkflowHistoryEvent,
    WorkflowInstanceIdPage,
    WorkflowState,
)
from perdure.runtime.sync_client import SyncWorkflowClient

T = TypeVar("T")


class DaprWorkflowClient:
    """Starts and manages workflows, on the runtime in this process or on a node over HTTP.

    It looks for a running `WorkflowRuntime` of the same address at each call, so that it may be
    made first; if there is none, it talks to PERDURE_URL, DAPR_HTTP_ENDPOINT or port DAPR_HTTP_PORT
    (3500) of the host. `perdure.dapr.aio` has the same client for asyncio.

    Errors are perdure's own: `perdure.runtime.workflow.errors` and `perdure.runtime.remote.errors`.
    """

    def __init__(
        self,
        host: str | None = None,
        port: str | int | None = None,
        logger_options: Any = None,
        max_grpc_message_length: int | None = None,
    ) -> None:
        self._address = address_of(host, port, os.environ)
        self._url = url_of(host, os.environ)
        self._remotes: dict[str | None, SyncWorkflowClient] = {}
        """By the app."""

    def schedule_new_workflow(
        self,
        workflow: Callable[..., Any] | str,
        *,
        input: Any = None,
        instance_id: str | None = None,
        start_at: datetime | None = None,
        reuse_id_policy: Any = None,
        app_id: str | None = None,
    ) -> str:
        """Start a workflow, by its function or name, and return its instance id.

        `reuse_id_policy` has no effect, as in Dapr: a finished instance's id may be used again.
        """
        return self._send(requests.schedule(workflow, input, instance_id, start_at), app_id)

    def get_workflow_state(
        self, instance_id: str, *, fetch_payloads: bool = True, app_id: str | None = None
    ) -> WorkflowState | None:
        """The state of an instance as it is now; None if there is none of that id."""
        return self._send(requests.find(instance_id, fetch_payloads), app_id)

    def wait_for_workflow_start(
        self,
        instance_id: str,
        *,
        fetch_payloads: bool = False,
        timeout_in_seconds: float = 0,
        app_id: str | None = None,
    ) -> WorkflowState | None:
        """Wait until the instance is not PENDING; 0 waits for ever. Raises `TimeoutError`."""
        return self._send(
            requests.wait("start", instance_id, fetch_payloads, timeout_in_seconds), app_id
        )

    def wait_for_workflow_completion(
        self,
        instance_id: str,
        *,
        fetch_payloads: bool = True,
        timeout_in_seconds: float = 0,
        app_id: str | None = None,
    ) -> WorkflowState | None:
        """Wait until the instance has ended; 0 waits for ever. Raises `TimeoutError`."""
        return self._send(
            requests.wait("completion", instance_id, fetch_payloads, timeout_in_seconds),
            app_id,
        )

    def raise_workflow_event(
        self, instance_id: str, event_name: str, *, data: Any = None, app_id: str | None = None
    ) -> None:
        """Send an event to an instance. It is kept until the workflow waits for it."""
        self._send(requests.raise_event(instance_id, event_name, data), app_id)

    def terminate_workflow(
        self,
        instance_id: str,
        *,
        output: Any = None,
        recursive: bool = True,
        app_id: str | None = None,
    ) -> None:
        """End an instance now, and its children unless `recursive` is False."""
        self._send(requests.terminate(instance_id, output, recursive), app_id)

    def pause_workflow(self, instance_id: str, *, app_id: str | None = None) -> None:
        """Suspend an instance: it takes no further step until it is resumed."""
        self._send(requests.pause(instance_id), app_id)

    def resume_workflow(self, instance_id: str, *, app_id: str | None = None) -> None:
        """Let a suspended instance go on."""
        self._send(requests.resume(instance_id), app_id)

    def purge_workflow(
        self, instance_id: str, recursive: bool = True, *, app_id: str | None = None
    ) -> None:
        """Delete all that is stored of a finished instance."""
        self._send(requests.purge(instance_id, recursive), app_id)

    def list_workflow_instance_ids(
        self, *, page_size: int | None = None, continuation_token: str | None = None
    ) -> WorkflowInstanceIdPage:
        """One page of the ids of all instances, oldest first."""
        return self._send(requests.page_of_ids(page_size, continuation_token))

    def iter_workflow_instance_ids(self, *, page_size: int = requests.PAGE_SIZE) -> Iterator[str]:
        """The ids of all instances, read page by page while you iterate."""
        token: str | None = None
        while True:
            page = self.list_workflow_instance_ids(page_size=page_size, continuation_token=token)
            yield from page.instance_ids
            token = page.continuation_token
            if token is None:
                return

    def get_workflow_history(self, instance_id: str) -> list[WorkflowHistoryEvent]:
        """All events of the instance's current run, in order."""
        return self._send(requests.history(instance_id))

    def rerun_workflow_from_event(
        self,
        instance_id: str,
        event_id: int,
        *,
        new_instance_id: str | None = None,
        input: Any = requests.UNSET,
        new_child_workflow_instance_id: str | None = None,
        app_id: str | None = None,
    ) -> str:
        """Run a finished instance again from one of its events on; returns the new one's id.

        The event is a call, a timer or a child, by its `event_id` in the history; a call or a child
        may be given another `input`, None included. Only on the runtime in this process.
        """
        return self._send(
            requests.rerun(
                instance_id, event_id, new_instance_id, input, new_child_workflow_instance_id
            ),
            app_id,
        )

    def close(self) -> None:
        """Close the connections, if there are any. The client may be used again."""
        for remote in self._remotes.values():
            remote.close()

    def _send(self, request: requests.Request[T], app_id: str | None = None) -> T:
        try:
            answer = self._answer(request, app_id)
        except requests.UNKNOWN_INSTANCE:
            if not request.missing_is_none:
                raise
            answer = None
        return request.shown(answer)

    def _answer(self, request: requests.Request[T], app_id: str | None) -> Any:
        node = RUNNING.at(self._address)
        if node is None:
            request.refuse_http()
            remote = self._remotes.get(app_id)
            if remote is None:
                remote = self._remotes[app_id] = SyncWorkflowClient(self._url, app_id=app_id)
            return getattr(remote, request.method)(**request.arguments)
        if node.is_own_thread:
            raise RuntimeError(
                f"{request.method} would block the event loop that it waits for: in an async "
                "activity, use the client of perdure.dapr.aio; in a workflow, use an activity"
            )
        answer = node.submit(lambda local: request.ask(local, app_id))
        try:
            return answer.result()
        except concurrent.futures.CancelledError as error:
            raise NodeStopping("the workflow runtime was shut down meanwhile") from error

    def __repr__(self) -> str:
        node = RUNNING.at(self._address)
        return f"<DaprWorkflowClient {self._address} of {node or self._url}>"
