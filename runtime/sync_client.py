"""The Python client of a node, without asyncio, on the standard library alone. An edge module.

The twin of `perdure.runtime.client.WorkflowClient`: the same methods, called without `await`. The
command line uses it, because it starts in a fraction of the time that aiohttp takes to import.
"""

from __future__ import annotations

import http.client
import select
import ssl
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime
from types import TracebackType
from typing import Any, Self, TypeVar
from urllib.parse import urlsplit

from perdure.runtime.remote.calls import Answer, Calls, Request
from perdure.runtime.remote.cluster import ClusterStatus
from perdure.runtime.remote.errors import reason_of
from perdure.runtime.remote.flow import Broken, Conversation, Flow, Outcome, Send
from perdure.runtime.remote.operations import Operations
from perdure.runtime.remote.settings import DEFAULT_URL, Patience, endpoint_of
from perdure.runtime.remote.state import (
    HistoryEvent,
    ListFilter,
    StartWorkflowResponse,
    StateListing,
    WorkflowState,
)
from perdure.runtime.remote.status import WorkflowStatus

T = TypeVar("T")


class SyncWorkflowClient:
    """Starts and manages workflows on a node, over HTTP; see `WorkflowClient`.

    Use it as a context manager, or call `close`. It may be used by several threads at once.
    """

    def __init__(
        self,
        url: str = DEFAULT_URL,
        *,
        api_token: str | None = None,
        component: str = "dapr",
        patience: Patience | None = None,
        app_id: str | None = None,
    ) -> None:
        endpoint = endpoint_of(url, api_token)
        patience = patience or Patience()
        self._do = Operations(
            Calls(component, patience.timeout_seconds, app_id),
            Conversation(endpoint.url, patience.retry_seconds, time.monotonic),
        )
        self._connections = _Connections(endpoint.url, endpoint.headers)

    def __repr__(self) -> str:
        return f"<SyncWorkflowClient {self._connections!r}>"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections. The client opens new ones if it is used again."""
        self._connections.close()

    def schedule_new_workflow(
        self,
        workflow: Callable[..., Any] | str,
        *,
        input: Any = None,
        instance_id: str | None = None,
        start_at: datetime | None = None,
    ) -> str:
        """Start a workflow, by its function or name, and return its instance id.

        `input` is anything that can be written as JSON; a `msgspec.Raw` is JSON text already.
        """
        return self._run(self._do.schedule(workflow, input, instance_id, start_at))

    def get_workflow_state(
        self, instance_id: str, *, fetch_payloads: bool = True
    ) -> WorkflowState | None:
        """The state of an instance as it is now; None if there is none of that id."""
        return self._run(self._do.find(instance_id, fetch_payloads))

    def wait_for_workflow_start(
        self,
        instance_id: str,
        *,
        fetch_payloads: bool = False,
        timeout_in_seconds: float | None = 60,
    ) -> WorkflowState:
        """Wait until the instance is not PENDING. Raises `TimeoutError`; 0 waits for ever."""
        return self._run(self._do.wait(instance_id, "started", fetch_payloads, timeout_in_seconds))

    def wait_for_workflow_completion(
        self,
        instance_id: str,
        *,
        fetch_payloads: bool = True,
        timeout_in_seconds: float | None = 60,
    ) -> WorkflowState:
        """Wait until the instance has ended. Raises `TimeoutError`; 0 waits for ever.

        Then `state.result()` is what it returned, and raises `WorkflowFailed` if it failed.
        """
        return self._run(
            self._do.wait(instance_id, "completed", fetch_payloads, timeout_in_seconds)
        )

    def poll_workflow_state(
        self, instance_id: str, until: Iterable[str], *, timeout_in_seconds: float
    ) -> WorkflowState:
        """The state once its status is one of `until`, or as it is then (60 seconds at most)."""
        return self._run(self._do.poll(instance_id, until, timeout_in_seconds))

    def raise_workflow_event(self, instance_id: str, event_name: str, *, data: Any = None) -> None:
        """Send an event to an instance. It is kept until the workflow waits for it."""
        self._run(self._do.raise_event(instance_id, event_name, data))

    def terminate_workflow(
        self,
        instance_id: str,
        workflow_component: str | None = None,
        *,
        output: Any = None,
        recursive: bool = True,
    ) -> None:
        """End an instance now, and its children unless `recursive` is False."""
        self._run(self._do.terminate(instance_id, workflow_component, output, recursive))

    def pause_workflow(self, instance_id: str, workflow_component: str | None = None) -> None:
        """Suspend an instance: it takes no further step until it is resumed."""
        self._run(self._do.pause(instance_id, workflow_component))

    def resume_workflow(self, instance_id: str, workflow_component: str | None = None) -> None:
        """Let a suspended instance go on."""
        self._run(self._do.resume(instance_id, workflow_component))

    def purge_workflow(
        self,
        instance_id: str,
        workflow_component: str | None = None,
        *,
        recursive: bool = True,
        force: bool = False,
    ) -> None:
        """Delete all that is stored of a finished instance; with `force`, of any instance."""
        self._run(self._do.purge(instance_id, workflow_component, recursive, force))

    def list_workflows(self, chosen: ListFilter | None = None) -> Iterator[WorkflowState]:
        """All instances that the filter matches, read page by page while you iterate."""
        cursor: str | None = None
        while True:
            page = self.list_page(chosen, cursor)
            yield from page.instances
            cursor = page.cursor
            if cursor is None:
                return

    def list_page(
        self, chosen: ListFilter | None = None, cursor: str | None = None
    ) -> StateListing:
        """One page of a list, from the `cursor` of the page before."""
        return self._run(self._do.page(chosen, cursor))

    def count_workflows(self, chosen: ListFilter | None = None) -> Mapping[WorkflowStatus, int]:
        """How many instances the filter matches, by status."""
        return self._run(self._do.counts(chosen))

    def get_workflow_history(self, instance_id: str) -> list[HistoryEvent]:
        """All events of the instance's current run, in order."""
        return self._run(self._do.history(instance_id))

    def cluster_status(self) -> ClusterStatus:
        """The nodes of the cluster that the node is in, and what each has to do."""
        return self._run(self._do.cluster())

    def drain_node(self, node_id: str) -> None:
        """Have a node of the cluster hand over its work and end. Raises `NodeNotFound`."""
        self._run(self._do.drain(node_id))

    def start_workflow(
        self,
        instance_id: str | None,
        workflow_name: str,
        workflow_component: str | None = None,
        input: Any = None,
        workflow_options: Mapping[str, str] | None = None,
    ) -> StartWorkflowResponse:
        """Start a workflow, in the form of Dapr's older client: bytes are sent as they are."""
        return self._run(
            self._do.start_classic(
                instance_id, workflow_name, workflow_component, input, workflow_options
            )
        )

    def get_workflow(
        self, instance_id: str, workflow_component: str | None = None
    ) -> WorkflowState:
        """The state of an instance. Raises `WorkflowNotFound`."""
        return self._run(self._do.get_classic(instance_id, workflow_component))

    def raise_event(
        self,
        instance_id: str,
        workflow_component: str | None,
        event_name: str,
        event_data: Any = None,
    ) -> None:
        """Send an event, in the form of Dapr's older client: bytes are sent as they are."""
        self._run(
            self._do.raise_event_classic(instance_id, workflow_component, event_name, event_data)
        )

    def _run(self, flow: Flow[T]) -> T:
        outcome: Outcome = None
        while True:
            try:
                step = flow.send(outcome)
            except StopIteration as done:
                result: T = done.value
                return result
            if isinstance(step, Send):
                outcome = self._connections.exchange(step.request)
            else:
                time.sleep(step.seconds)
                outcome = None


class _Connections:
    """Idle connections to one node. An exchange takes or opens one, and puts it back if whole.

    A connection that an exchange did not finish with, for whatever reason, is closed: the rest of
    its answer would be taken for the answer of the next request. A deque, because its operations
    are atomic and so need no lock between threads.
    """

    def __init__(self, url: str, headers: Mapping[str, str]) -> None:
        parts = urlsplit(url)
        self._url = url
        self._base = parts.path
        self._headers = headers
        self._open: Callable[[float], http.client.HTTPConnection]
        host, port = parts.hostname or "", parts.port
        if parts.scheme == "https":
            context = ssl.create_default_context()
            self._open = lambda timeout: http.client.HTTPSConnection(
                host, port, timeout=timeout, context=context
            )
        else:
            self._open = lambda timeout: http.client.HTTPConnection(host, port, timeout=timeout)
        self._idle: deque[http.client.HTTPConnection] = deque()

    def __repr__(self) -> str:
        return f"{self._url} idle={len(self._idle)}"

    def exchange(self, request: Request) -> Answer | Broken:
        connection = self._taken() or self._open(request.timeout)
        whole = False
        try:
            if connection.sock is None:
                connection.connect()
            connection.sock.settimeout(request.timeout)
        except OSError as error:
            connection.close()
            return Broken(reason_of(error), sent=False)
        try:
            headers = {**self._headers, **request.headers}
            connection.request(request.method, self._base + request.target, request.body, headers)
            response = connection.getresponse()
            body = response.read()
            whole = not response.will_close
            answered = {name.lower(): value for name, value in response.getheaders()}
            return Answer(response.status, answered, body)
        except (OSError, http.client.HTTPException) as error:
            return Broken(reason_of(error), sent=True)
        finally:
            if whole:
                self._idle.append(connection)
            else:
                connection.close()

    def close(self) -> None:
        while self._idle:
            self._idle.pop().close()

    def _taken(self) -> http.client.HTTPConnection | None:
        while True:
            try:
                connection = self._idle.pop()
            except IndexError:
                return None
            if not _has_been_closed(connection):
                return connection
            connection.close()


def _has_been_closed(connection: http.client.HTTPConnection) -> bool:
    """Whether the node has ended this idle connection: then there is something to be read."""
    poll = select.poll()
    poll.register(connection.sock, select.POLLIN)
    return bool(poll.poll(0))
