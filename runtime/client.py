"""The Python client of a node, for asyncio programs. An edge module.

The method names are those of Dapr's `DaprWorkflowClient`, and after them those of its older
`DaprClient`. What is said on the wire, and what is repeated when, is in `perdure.runtime.remote`;
`perdure.runtime.sync_client` is the same without asyncio.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from datetime import datetime
from types import TracebackType
from typing import Any, Self, TypeVar

import aiohttp
from yarl import URL

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


class WorkflowClient:
    """Starts and manages workflows on a node, over HTTP.

    Use it as an async context manager, or call `close`. One client serves any number of concurrent
    tasks. Starting and raising carry an idempotency key, so that they are repeated by themselves
    after a lost connection; every call is repeated when the node says that it is busy, for
    `patience.retry_seconds` at most. The API token comes from PERDURE_API_TOKEN or DAPR_API_TOKEN
    if none is given. `app_id` is the app whose instances it manages, if not that of the node.
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
        self._endpoint = endpoint_of(url, api_token)
        patience = patience or Patience()
        self._do = Operations(
            Calls(component, patience.timeout_seconds, app_id),
            Conversation(self._endpoint.url, patience.retry_seconds, time.monotonic),
        )
        self._session: aiohttp.ClientSession | None = None

    def __repr__(self) -> str:
        state = "closed" if self._session is None else "open"
        return f"<WorkflowClient {self._endpoint.url} {state}>"

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections. The client opens new ones if it is used again."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def schedule_new_workflow(
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
        return await self._run(self._do.schedule(workflow, input, instance_id, start_at))

    async def get_workflow_state(
        self, instance_id: str, *, fetch_payloads: bool = True
    ) -> WorkflowState | None:
        """The state of an instance as it is now; None if there is none of that id."""
        return await self._run(self._do.find(instance_id, fetch_payloads))

    async def wait_for_workflow_start(
        self,
        instance_id: str,
        *,
        fetch_payloads: bool = False,
        timeout_in_seconds: float | None = 60,
    ) -> WorkflowState:
        """Wait until the instance is not PENDING. Raises `TimeoutError`; 0 waits for ever."""
        return await self._run(
            self._do.wait(instance_id, "started", fetch_payloads, timeout_in_seconds)
        )

    async def wait_for_workflow_completion(
        self,
        instance_id: str,
        *,
        fetch_payloads: bool = True,
        timeout_in_seconds: float | None = 60,
    ) -> WorkflowState:
        """Wait until the instance has ended. Raises `TimeoutError`; 0 waits for ever.

        Then `state.result()` is what it returned, and raises `WorkflowFailed` if it failed.
        """
        return await self._run(
            self._do.wait(instance_id, "completed", fetch_payloads, timeout_in_seconds)
        )

    async def poll_workflow_state(
        self, instance_id: str, until: Iterable[str], *, timeout_in_seconds: float
    ) -> WorkflowState:
        """The state once its status is one of `until`, or as it is then (60 seconds at most)."""
        return await self._run(self._do.poll(instance_id, until, timeout_in_seconds))

    async def raise_workflow_event(
        self, instance_id: str, event_name: str, *, data: Any = None
    ) -> None:
        """Send an event to an instance. It is kept until the workflow waits for it."""
        await self._run(self._do.raise_event(instance_id, event_name, data))

    async def terminate_workflow(
        self,
        instance_id: str,
        workflow_component: str | None = None,
        *,
        output: Any = None,
        recursive: bool = True,
    ) -> None:
        """End an instance now, and its children unless `recursive` is False."""
        await self._run(self._do.terminate(instance_id, workflow_component, output, recursive))

    async def pause_workflow(self, instance_id: str, workflow_component: str | None = None) -> None:
        """Suspend an instance: it takes no further step until it is resumed."""
        await self._run(self._do.pause(instance_id, workflow_component))

    async def resume_workflow(
        self, instance_id: str, workflow_component: str | None = None
    ) -> None:
        """Let a suspended instance go on."""
        await self._run(self._do.resume(instance_id, workflow_component))

    async def purge_workflow(
        self,
        instance_id: str,
        workflow_component: str | None = None,
        *,
        recursive: bool = True,
        force: bool = False,
    ) -> None:
        """Delete all that is stored of a finished instance; with `force`, of any instance."""
        await self._run(self._do.purge(instance_id, workflow_component, recursive, force))

    async def list_workflows(
        self, chosen: ListFilter | None = None
    ) -> AsyncIterator[WorkflowState]:
        """All instances that the filter matches, read page by page while you iterate."""
        cursor: str | None = None
        while True:
            page = await self.list_page(chosen, cursor)
            for state in page.instances:
                yield state
            cursor = page.cursor
            if cursor is None:
                return

    async def list_page(
        self, chosen: ListFilter | None = None, cursor: str | None = None
    ) -> StateListing:
        """One page of a list, from the `cursor` of the page before."""
        return await self._run(self._do.page(chosen, cursor))

    async def count_workflows(
        self, chosen: ListFilter | None = None
    ) -> Mapping[WorkflowStatus, int]:
        """How many instances the filter matches, by status."""
        return await self._run(self._do.counts(chosen))

    async def get_workflow_history(self, instance_id: str) -> list[HistoryEvent]:
        """All events of the instance's current run, in order."""
        return await self._run(self._do.history(instance_id))

    async def cluster_status(self) -> ClusterStatus:
        """The nodes of the cluster that the node is in, and what each has to do."""
        return await self._run(self._do.cluster())

    async def drain_node(self, node_id: str) -> None:
        """Have a node of the cluster hand over its work and end. Raises `NodeNotFound`."""
        await self._run(self._do.drain(node_id))

    async def start_workflow(
        self,
        instance_id: str | None,
        workflow_name: str,
        workflow_component: str | None = None,
        input: Any = None,
        workflow_options: Mapping[str, str] | None = None,
    ) -> StartWorkflowResponse:
        """Start a workflow, in the form of Dapr's older client: bytes are sent as they are."""
        return await self._run(
            self._do.start_classic(
                instance_id, workflow_name, workflow_component, input, workflow_options
            )
        )

    async def get_workflow(
        self, instance_id: str, workflow_component: str | None = None
    ) -> WorkflowState:
        """The state of an instance. Raises `WorkflowNotFound`."""
        return await self._run(self._do.get_classic(instance_id, workflow_component))

    async def raise_event(
        self,
        instance_id: str,
        workflow_component: str | None,
        event_name: str,
        event_data: Any = None,
    ) -> None:
        """Send an event, in the form of Dapr's older client: bytes are sent as they are."""
        await self._run(
            self._do.raise_event_classic(instance_id, workflow_component, event_name, event_data)
        )

    async def _run(self, flow: Flow[T]) -> T:
        outcome: Outcome = None
        while True:
            try:
                step = flow.send(outcome)
            except StopIteration as done:
                result: T = done.value
                return result
            if isinstance(step, Send):
                outcome = await self._exchange(step.request)
            else:
                await asyncio.sleep(step.seconds)
                outcome = None

    async def _exchange(self, request: Request) -> Answer | Broken:
        try:
            async with self._opened().request(
                request.method,
                URL(self._endpoint.url + request.target, encoded=True),
                data=request.body,
                headers=request.headers,
                timeout=aiohttp.ClientTimeout(total=request.timeout),
                allow_redirects=False,
            ) as response:
                body = await response.read()
                headers = {name.lower(): value for name, value in response.headers.items()}
                return Answer(response.status, headers, body)
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
            return Broken(reason_of(error), sent=False)
        except (aiohttp.ClientError, OSError) as error:
            return Broken(reason_of(error), sent=True)

    def _opened(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(headers=self._endpoint.headers)
        return self._session
