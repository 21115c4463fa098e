"""The task hub's methods about what was: history, purge, restart, rerun. An edge module.

daprd refuses to purge by a filter; here it is done, since only Microsoft's clients ever ask for it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from itertools import chain

from google.protobuf.unknown_fields import UnknownFieldSet
from grpc import StatusCode

from perdure.runtime.api.parameters import INSTANCE_ID
from perdure.runtime.rpc import taskhub_pb2 as pb
from perdure.runtime.rpc.dialect import Dialect
from perdure.runtime.rpc.events import Run, history_events
from perdure.runtime.rpc.listing import instances, purge_query
from perdure.runtime.rpc.management import at_app, trace_beside
from perdure.runtime.rpc.methods import Caller, Method, Methods, Streaming, Unary
from perdure.runtime.rpc.ports import Workflows
from perdure.runtime.rpc.stalls import stalled_event
from perdure.runtime.rpc.statuses import RpcRefused, RpcStatus, of_instance
from perdure.runtime.rpc.values import text_in
from perdure.runtime.workflow.errors import (
    InstanceNotFound,
    InstanceStalled,
    NotCompleted,
    NotRerunnable,
)
from perdure.runtime.workflow.fork import Rerun
from perdure.runtime.workflow.history import Turn
from perdure.runtime.workflow.restore import worker_run_of
from perdure.runtime.workflow.workers.execution import steps_of
from perdure.runtime.workflow.workers.work import Step

CHUNK_EVENTS = 500
CHUNK_BYTES = 1 << 20
"""A chunk of a history ends before it has more of either, unless one event alone has."""
PURGE_SECONDS_LEFT = 1.0
"""A purge by filter answers that it is not complete when its client waits no longer than this."""

_BATCH = 4
"""Number of Microsoft's field `instanceBatch`, which is Dapr's `force` if it is a number."""
_LENGTH_DELIMITED = 2

UNSUPPORTED = {
    "RewindInstance": "instances cannot be rewound here: restart them",
    "CreateTaskHub": "the task hub is the node's database, which is made when the node starts",
    "DeleteTaskHub": "the task hub is the node's database, which no client may delete",
    "SkipGracefulOrchestrationTerminations": "terminations are never skipped here",
    **{
        name: "durable entities do not exist here: use a workflow, or an actor"
        for name in (
            "SignalEntity",
            "GetEntity",
            "QueryEntities",
            "CleanEntityStorage",
            "CompleteEntityTask",
            "AbandonTaskEntityWorkItem",
        )
    },
}
"""Methods that clients may know and that are not served, and why."""


class UpkeepMethods:
    """History, purge, restart, rerun, and what there is not."""

    def __init__(
        self, service: Workflows, own_app_id: str, decides: Callable[[str, str], bool]
    ) -> None:
        self._service = service
        self._app_id = own_app_id
        self._decides = decides
        """Whether a peer is a worker that decides the next turn of an instance."""

    def table(self) -> Methods:
        return {
            "PurgeInstances": Unary(pb.PurgeInstancesRequest, self.purge),
            "GetInstanceHistory": Unary(
                pb.GetInstanceHistoryRequest, self.history, refuse=_refuse_instance
            ),
            "StreamInstanceHistory": Streaming(
                pb.StreamInstanceHistoryRequest, self.stream_history, refuse=_refuse_instance
            ),
            "RestartInstance": Unary(
                pb.RestartInstanceRequest, self.restart, refuse=_refuse_instance
            ),
            "RerunWorkflowFromEvent": Unary(pb.RerunWorkflowFromEventRequest, self.rerun),
            **{name: _unsupported(f"{name}: {why}") for name, why in UNSUPPORTED.items()},
        }

    # ---- history

    async def history(
        self, request: pb.GetInstanceHistoryRequest, caller: Caller
    ) -> pb.GetInstanceHistoryResponse:
        """Dapr's, for clients, and for workers that have lost what they had kept."""
        instance_id = INSTANCE_ID.parse(request.instanceId)
        is_for_worker = self._decides(caller.peer, instance_id)
        events = await self._events(instance_id, Dialect.DAPR, is_for_worker)
        return pb.GetInstanceHistoryResponse(events=events)

    async def stream_history(
        self, request: pb.StreamInstanceHistoryRequest, caller: Caller
    ) -> AsyncIterator[pb.HistoryChunk]:
        """Microsoft's."""
        instance_id = INSTANCE_ID.parse(request.instanceId)
        chunk, size = pb.HistoryChunk(), 0
        is_for_worker = request.forWorkItemProcessing
        for event in await self._events(instance_id, Dialect.MICROSOFT, is_for_worker):
            more = event.ByteSize()
            if len(chunk.events) >= CHUNK_EVENTS or (size and size + more > CHUNK_BYTES):
                yield chunk
                chunk, size = pb.HistoryChunk(), 0
            chunk.events.append(event)
            size += more
        yield chunk

    async def _events(
        self, instance_id: str, dialect: Dialect, is_for_worker: bool
    ) -> Iterator[pb.HistoryEvent]:
        row, stored = await self._service.history(instance_id)
        turns: Iterable[Turn] = stored
        if any(turn.decided is not None for turn in stored):
            turns = steps_of(stored)
        run_id = worker_run_of(row).execution_id
        run = Run(instance_id, run_id, [Step(turn) for turn in turns], self._app_id)
        events = history_events(run, dialect)
        stalled = None if is_for_worker else stalled_event(row)
        return events if stalled is None else chain(events, [stalled])

    # ---- purge

    async def purge(
        self, request: pb.PurgeInstancesRequest, caller: Caller
    ) -> pb.PurgeInstancesResponse:
        service = await at_app(self._service, request.router, self._app_id)
        recursive = request.recursive
        batch = _batch(request)
        if batch is not None:
            counts = [await _purge_if_finished(service, one, recursive) for one in batch]
            return _purged(sum(counts))
        if request.HasField("purgeInstanceFilter"):
            return await _purge_matching(service, request, caller)
        instance_id = INSTANCE_ID.parse(request.instanceId)
        force = request.force
        return _purged(await service.purge(instance_id, recursive=recursive, force=force))

    # ---- once more

    async def restart(
        self, request: pb.RestartInstanceRequest, caller: Caller
    ) -> pb.RestartInstanceResponse:
        instance_id = INSTANCE_ID.parse(request.instanceId)
        made = await self._service.restart(instance_id, new_id=request.restartWithNewInstanceId)
        return pb.RestartInstanceResponse(instanceId=made)

    async def rerun(
        self, request: pb.RerunWorkflowFromEventRequest, caller: Caller
    ) -> pb.RerunWorkflowFromEventResponse:
        """Dapr's. As for a start, the new ids may be any text; an empty one is none."""
        service = await at_app(self._service, request.router, self._app_id)
        if not request.sourceInstanceID:
            raise NotRerunnable("rerun workflow source instance ID is required")
        wanted = Rerun(
            event_id=request.eventID,
            new_id=request.newInstanceID or None,
            input=text_in(request, "input") if request.overwriteInput else None,
            overwrite_input=request.overwriteInput,
            child_id=request.newChildWorkflowInstanceID or None,
            trace=trace_beside(caller),
        )
        made = await service.rerun(request.sourceInstanceID, wanted)
        return pb.RerunWorkflowFromEventResponse(newInstanceID=made)


async def _purge_matching(
    service: Workflows, request: pb.PurgeInstancesRequest, caller: Caller
) -> pb.PurgeInstancesResponse:
    count = 0
    query = purge_query(request.purgeInstanceFilter)
    if query is None:
        return _purged(0)
    async for row, _ in instances(service, query):
        left = caller.seconds_left()
        if left is not None and left < PURGE_SECONDS_LEFT:
            return _purged(count, complete=False)
        count += await _purge_if_finished(service, row.instance_id, request.recursive)
    return _purged(count)


async def _purge_if_finished(service: Workflows, instance_id: str, recursive: bool) -> int:
    try:
        return await service.purge(instance_id, recursive=recursive)
    except (InstanceNotFound, NotCompleted, InstanceStalled):
        return 0


def _batch(request: pb.PurgeInstancesRequest) -> list[str] | None:
    """The ids of Microsoft's batch; None if there is none."""
    fields = UnknownFieldSet(request)
    for field in [fields[index] for index in range(len(fields))]:
        if field.field_number == _BATCH and field.wire_type == _LENGTH_DELIMITED:
            return list(pb.InstanceBatch.FromString(field.data).instanceIds)
    return None


def _purged(count: int, *, complete: bool = True) -> pb.PurgeInstancesResponse:
    return pb.PurgeInstancesResponse(
        deletedInstanceCount=count, isComplete=pb.BoolValue(value=complete)
    )


def _refuse_instance(
    error: Exception,
    request: pb.GetInstanceHistoryRequest
    | pb.StreamInstanceHistoryRequest
    | pb.RestartInstanceRequest,
) -> RpcStatus:
    return of_instance(error, request.instanceId)


def _unsupported(why: str) -> Method:
    async def refuse(request: pb.Empty, caller: Caller) -> pb.Empty:
        raise RpcRefused(StatusCode.UNIMPLEMENTED, why)

    return Unary(pb.Empty, refuse)
