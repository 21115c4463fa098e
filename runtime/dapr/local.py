"""The client of a node in the same process: no HTTP, the same methods. An edge module."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import msgspec

from perdure.runtime.api.render import events
from perdure.runtime.remote.state import (
    HistoryEvent,
    ListFilter,
    StateListing,
    WorkflowState,
    event_of,
)
from perdure.runtime.remote.status import FailureDetails, WorkflowStatus
from perdure.runtime.workflow.errors import InstanceNotFound
from perdure.runtime.workflow.fork import Rerun
from perdure.runtime.workflow.records import Instance, ListQuery
from perdure.runtime.workflow.service import FINISHED, STARTED, WorkflowService
from perdure.runtime.workflow.views import WorkflowView
from perdure.runtime.workflow.workers.seen import as_seen

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_HOUR = 3600.0


class LocalClient:
    """`perdure.runtime.client.WorkflowClient`, as far as Dapr's SDK needs it, on the node's loop.

    Ids are not checked: Dapr's SDK takes any, its HTTP API does not.
    """

    def __init__(self, service: WorkflowService) -> None:
        self._service = service

    async def of(self, app_id: str | None) -> LocalClient:
        """The same for the instances of another app. Raises `NoSuchApp`."""
        return LocalClient(await self._service.of(app_id))

    async def schedule_new_workflow(
        self,
        workflow: str,
        *,
        input: msgspec.Raw | None,
        instance_id: str,
        start_at: datetime | None,
    ) -> str:
        start_at_us = None if start_at is None else (start_at - _EPOCH) // _MICROSECOND
        return await self._service.start(
            workflow, _text(input), instance_id=instance_id, start_at_us=start_at_us
        )

    async def get_workflow_state(self, instance_id: str) -> WorkflowState | None:
        try:
            return _state(await self._service.get(instance_id))
        except InstanceNotFound:
            return None

    async def wait_for_workflow_start(
        self, instance_id: str, *, timeout_in_seconds: float
    ) -> WorkflowState:
        return await self._wait(instance_id, timeout_in_seconds, for_end=False)

    async def wait_for_workflow_completion(
        self, instance_id: str, *, timeout_in_seconds: float
    ) -> WorkflowState:
        return await self._wait(instance_id, timeout_in_seconds, for_end=True)

    async def _wait(self, instance_id: str, seconds: float, *, for_end: bool) -> WorkflowState:
        until = FINISHED if for_end else STARTED
        while True:
            view = await self._service.wait(instance_id, until=until, timeout=seconds or _HOUR)
            if view.row.status in until:
                return _state(view)
            if seconds:
                event = "complete" if for_end else "start"
                raise TimeoutError(f"Timed-out waiting for the orchestration to {event}")

    async def raise_workflow_event(
        self, instance_id: str, event_name: str, *, data: msgspec.Raw | None
    ) -> None:
        await self._service.raise_event(instance_id, event_name, _text(data))

    async def terminate_workflow(
        self, instance_id: str, *, output: msgspec.Raw | None, recursive: bool
    ) -> None:
        await self._service.terminate(instance_id, _text(output), recursive=recursive)

    async def pause_workflow(self, instance_id: str) -> None:
        await self._service.suspend(instance_id)

    async def resume_workflow(self, instance_id: str) -> None:
        await self._service.resume(instance_id)

    async def purge_workflow(self, instance_id: str, *, recursive: bool) -> None:
        await self._service.purge(instance_id, recursive=recursive)

    async def rerun_workflow_from_event(
        self,
        instance_id: str,
        event_id: int,
        *,
        new_instance_id: str | None,
        input: msgspec.Raw | None,
        overwrite_input: bool,
        new_child_id: str | None,
    ) -> str:
        wanted = Rerun(
            event_id=event_id,
            new_id=new_instance_id,
            input=_text(input),
            overwrite_input=overwrite_input,
            child_id=new_child_id,
        )
        return await self._service.rerun(instance_id, wanted)

    async def list_page(self, chosen: ListFilter, cursor: str | None) -> StateListing:
        query = ListQuery(
            newest_first=chosen.newest_first,
            limit=chosen.page_size,
            after_key=None if cursor is None else int(cursor),
        )
        page = await self._service.page(query)
        states = [_state(WorkflowView(row, None)) for row in page.rows]
        return StateListing(states, None if page.next_key is None else str(page.next_key))

    async def get_workflow_history(self, instance_id: str) -> list[HistoryEvent]:
        row, turns = await self._service.history(instance_id)
        return [event_of(msgspec.to_builtins(event)) for event in events(row, as_seen(turns))]


def _state(view: WorkflowView) -> WorkflowState:
    row = view.row
    return WorkflowState(
        instance_id=row.instance_id,
        name=row.name,
        runtime_status=WorkflowStatus(row.status.name),
        created_at=_moment(row.created_us),
        last_updated_at=_moment(row.updated_us),
        serialized_input=view.input,
        serialized_output=row.output,
        serialized_custom_status=row.custom_status or None,
        failure_details=_failure(row),
        stalled_reason=row.stalled,
        waiting_reason=view.waiting,
    )


def _failure(row: Instance) -> FailureDetails | None:
    found = row.failure
    if found is None:
        return None
    return FailureDetails(found.error_type, found.message, found.stack_trace)


def _moment(us: int) -> datetime:
    return _EPOCH + us * _MICROSECOND


def _text(value: msgspec.Raw | None) -> str | None:
    return None if value is None else bytes(value).decode()
