"""The workflow part of Dapr's own gRPC API, for clients older than the task hub. An edge module.

The functions, checks, texts and codes are those of the HTTP API: see `runtime/api/operations.py`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias, TypeVar

from google.protobuf.message import Message
from grpc import StatusCode

from perdure.runtime.api import answers, render
from perdure.runtime.api import operations as op
from perdure.runtime.api import parameters as p
from perdure.runtime.api.operations import Operation
from perdure.runtime.api.parsing import other_app, time
from perdure.runtime.rpc import runtime_pb2 as pb
from perdure.runtime.rpc.methods import Caller, Method, Methods, Unary
from perdure.runtime.rpc.ports import Workflows
from perdure.runtime.rpc.statuses import RpcRefused, RpcStatus, dapr
from perdure.runtime.workflow.errors import InstanceNotFound, InvalidRequest
from perdure.runtime.workflow.history import Status

DAPR = "dapr.proto.runtime.v1.Dapr"

START_TIME = "dapr.workflow.start_time"
"""An option of a start."""

_MALFORMED = "ERR_MALFORMED_REQUEST"
_NO_TIME = pb.Timestamp(seconds=-62_135_596_800)
"""Go's zero time, the year 1, which Dapr gives where it has none."""
_RUNTIME_STATUS = {"INITIALIZING": 0, "DISABLED": 1, "RUNNING": 2}

R = TypeVar("R", bound=Message)

_Changing: TypeAlias = (
    pb.PauseWorkflowRequest
    | pb.ResumeWorkflowRequest
    | pb.TerminateWorkflowRequest
    | pb.PurgeWorkflowRequest
)
Describe: TypeAlias = Callable[[], answers.Metadata]


class DaprMethods:
    """One method per operation; `describe` gives what HTTP's metadata says."""

    def __init__(self, service: Workflows, own_app_id: str, describe: Describe) -> None:
        self._service = service
        self._app_id = own_app_id
        self._describe = describe

    def table(self) -> Methods:
        operations = {
            "StartWorkflow": _method(pb.StartWorkflowRequest, self.start, op.START_WORKFLOW),
            "GetWorkflow": _method(pb.GetWorkflowRequest, self.get, op.GET_WORKFLOW),
            "RaiseEventWorkflow": _method(
                pb.RaiseEventWorkflowRequest, self.raise_event, op.RAISE_EVENT_WORKFLOW
            ),
            "PauseWorkflow": _method(pb.PauseWorkflowRequest, self.pause, op.PAUSE_WORKFLOW),
            "ResumeWorkflow": _method(pb.ResumeWorkflowRequest, self.resume, op.RESUME_WORKFLOW),
            "TerminateWorkflow": _method(
                pb.TerminateWorkflowRequest, self.terminate, op.TERMINATE_WORKFLOW
            ),
            "PurgeWorkflow": _method(pb.PurgeWorkflowRequest, self.purge, op.PURGE_WORKFLOW),
        }
        return {
            **{f"{name}{stage}": m for name, m in operations.items() for stage in _STAGES},
            "GetMetadata": _method(pb.GetMetadataRequest, self.metadata, op.GET_METADATA),
        }

    async def start(
        self, request: pb.StartWorkflowRequest, caller: Caller
    ) -> pb.StartWorkflowResponse:
        name = p.WORKFLOW_NAME.parse(request.workflow_name)
        instance_id = p.NEW_INSTANCE_ID.parse(request.instance_id)
        start_at_us = _start_time(name, request.options.get(START_TIME))
        service = await self._of(request.app_id)
        given = _text(request.input, "input")
        started = await service.start(name, given, instance_id=instance_id, start_at_us=start_at_us)
        return pb.StartWorkflowResponse(instance_id=started)

    async def get(self, request: pb.GetWorkflowRequest, caller: Caller) -> pb.GetWorkflowResponse:
        """An instance. An unknown one is no error here: it has no status."""
        instance_id = p.INSTANCE_ID.parse(request.instance_id)
        service = await self._of(request.app_id)
        try:
            view = await service.get(instance_id)
        except InstanceNotFound:
            return pb.GetWorkflowResponse(instance_id=instance_id)
        row, shown = view.row, render.workflow(view)
        is_pending = row.status is Status.PENDING
        return pb.GetWorkflowResponse(
            instance_id=shown.instance_id,
            workflow_name=shown.workflow_name,
            created_at=_NO_TIME if is_pending else _timestamp(row.created_us),
            last_updated_at=_NO_TIME if is_pending else _timestamp(row.updated_us),
            runtime_status=shown.runtime_status,
            properties=shown.properties,
        )

    async def raise_event(self, request: pb.RaiseEventWorkflowRequest, caller: Caller) -> pb.Empty:
        instance_id = p.INSTANCE_ID.parse(request.instance_id)
        event = p.EVENT_NAME.parse(request.event_name)
        service = await self._of(request.app_id)
        await service.raise_event(instance_id, event, _text(request.event_data, "event data"))
        return pb.Empty()

    async def pause(self, request: pb.PauseWorkflowRequest, caller: Caller) -> pb.Empty:
        service, instance_id = await self._instance(request)
        await service.suspend(instance_id)
        return pb.Empty()

    async def resume(self, request: pb.ResumeWorkflowRequest, caller: Caller) -> pb.Empty:
        service, instance_id = await self._instance(request)
        await service.resume(instance_id)
        return pb.Empty()

    async def terminate(self, request: pb.TerminateWorkflowRequest, caller: Caller) -> pb.Empty:
        service, instance_id = await self._instance(request)
        await service.terminate(instance_id)
        return pb.Empty()

    async def purge(self, request: pb.PurgeWorkflowRequest, caller: Caller) -> pb.Empty:
        service, instance_id = await self._instance(request)
        await service.purge(instance_id)
        return pb.Empty()

    async def metadata(
        self, request: pb.GetMetadataRequest, caller: Caller
    ) -> pb.GetMetadataResponse:
        told = self._describe()
        runtime = told.actor_runtime
        return pb.GetMetadataResponse(
            id=told.id,
            active_actors_count=_counts(told.actors),
            extended_metadata=told.extended,
            runtime_version=told.runtime_version,
            enabled_features=told.enabled_features,
            actor_runtime=pb.ActorRuntime(
                runtime_status=_RUNTIME_STATUS[runtime.runtime_status],
                active_actors=_counts(runtime.active_actors),
                host_ready=runtime.host_ready,
                placement=runtime.placement,
            ),
            workflows=pb.MetadataWorkflows(connected_workers=told.workflows.connected_workers),
        )

    async def _instance(self, request: _Changing) -> tuple[Workflows, str]:
        instance_id = p.INSTANCE_ID.parse(request.instance_id)
        return await self._of(request.app_id), instance_id

    async def _of(self, app_id: str) -> Workflows:
        return await self._service.of(other_app(app_id, self._app_id))


_STAGES = ("Beta1", "Alpha1")


def _method(
    request: type[R], answer: Callable[[R, Caller], Awaitable[Message]], operation: Operation
) -> Method:
    def refuse(error: Exception, asked: Any) -> RpcStatus:
        path = {
            "workflowName": getattr(asked, "workflow_name", ""),
            "instanceID": getattr(asked, "instance_id", ""),
            "eventName": getattr(asked, "event_name", ""),
        }
        return dapr(error, operation, path)

    return Unary(request, answer, refuse=refuse)


def _start_time(name: str, given: str | None) -> int | None:
    """When to start. Dapr does not count a time that cannot be read as the client's mistake."""
    try:
        return time(START_TIME)(given)
    except InvalidRequest as error:
        text = 'start times must be in RFC3339 format (e.g. "2009-11-10T23:00:00Z")'
        details = f"error starting workflow '{name}': {text}"
        raise RpcRefused(StatusCode.INTERNAL, details) from error


def _text(given: bytes, what: str) -> str | None:
    """A payload, as it is. Protobuf does not tell an empty one from none."""
    try:
        return given.decode() if given else None
    except UnicodeDecodeError as error:
        raise InvalidRequest(
            _MALFORMED,
            f"the {what} is not UTF-8 text (byte {error.start} is 0x{given[error.start]:02x})",
        ) from error


def _timestamp(us: int) -> pb.Timestamp:
    seconds, rest = divmod(us, 1_000_000)
    return pb.Timestamp(seconds=seconds, nanos=rest * 1000)


def _counts(actors: list[answers.ActiveActors]) -> list[pb.ActiveActorsCount]:
    return [pb.ActiveActorsCount(type=active.type, count=active.count) for active in actors]
