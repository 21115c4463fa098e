"""The task hub's methods to run an instance, over the functions that serve HTTP. An edge module.

A wait for an unknown instance is refused at once with the text that daprd's other methods have:
nobody who misspells an id should wait for ever. By its router a request is for another app.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TypeAlias

from perdure.actors.errors import NodeStopping
from perdure.runtime.api.parameters import EVENT_NAME, INSTANCE_ID, WORKFLOW_NAME
from perdure.runtime.api.parsing import other_app
from perdure.runtime.api.ports import View
from perdure.runtime.rpc import states
from perdure.runtime.rpc import taskhub_pb2 as pb
from perdure.runtime.rpc.methods import Caller, Methods, Unary
from perdure.runtime.rpc.ports import Workflows
from perdure.runtime.rpc.states import time
from perdure.runtime.rpc.statuses import STOPPING, of_start
from perdure.runtime.rpc.values import text_in, trace_of
from perdure.runtime.workflow.errors import (
    InstanceExists,
    InstanceNotFound,
    InstanceNotUnique,
)
from perdure.runtime.workflow.history import TERMINAL, Status, Trace

TASK_HUB = "TaskHubSidecarService"

SETTLE_SECONDS = 5.0
"""How long a change is waited for that only a worker can bring about. It is durable before."""
LOOK_SECONDS = 0.5
"""How often it is looked whether there is anything to wait for."""
FOR_EVER = 10 * 365 * 86_400.0
"""The client has the deadline; gRPC cancels the call then, and when the client goes."""

STARTED = frozenset(set(Status) - {Status.PENDING})
SUSPENDED = frozenset({Status.SUSPENDED, *TERMINAL})
GOING_ON = frozenset(set(Status) - {Status.SUSPENDED})


_OfInstance: TypeAlias = (
    pb.GetInstanceRequest
    | pb.RaiseEventRequest
    | pb.SuspendRequest
    | pb.ResumeRequest
    | pb.TerminateRequest
)


class ManagementMethods:
    """Start, look, wait, raise, suspend, resume, terminate."""

    def __init__(self, service: Workflows, own_app_id: str) -> None:
        self._service = service
        self._app_id = own_app_id

    def table(self) -> Methods:
        return {
            "Hello": Unary(pb.Empty, self.hello),
            "StartInstance": Unary(
                pb.CreateInstanceRequest, self.start, refuse=lambda error, _: of_start(error)
            ),
            "GetInstance": Unary(pb.GetInstanceRequest, self.get),
            "WaitForInstanceStart": Unary(pb.GetInstanceRequest, self.wait_started, waits=True),
            "WaitForInstanceCompletion": Unary(
                pb.GetInstanceRequest, self.wait_completed, waits=True
            ),
            "RaiseEvent": Unary(pb.RaiseEventRequest, self.raise_event),
            "SuspendInstance": Unary(pb.SuspendRequest, self.suspend),
            "ResumeInstance": Unary(pb.ResumeRequest, self.resume),
            "TerminateInstance": Unary(pb.TerminateRequest, self.terminate),
        }

    async def hello(self, request: pb.Empty, caller: Caller) -> pb.Empty:
        return pb.Empty()

    # ---- start

    async def start(
        self, request: pb.CreateInstanceRequest, caller: Caller
    ) -> pb.CreateInstanceResponse:
        """Start an instance. Its id may be any text: only the HTTP API restricts ids."""
        name = WORKFLOW_NAME.parse(request.name)
        service = await at_app(self._service, request.router, self._app_id)
        instance_id = request.instanceId or None
        unique = request.enforceUniqueInstanceId
        if instance_id and request.HasField("orchestrationIdReusePolicy"):
            replaceable = states.statuses(request.orchestrationIdReusePolicy.replaceableStatus)
            unique |= await self._give_way(service, instance_id, frozenset(replaceable), caller)
        started = await service.start(
            name,
            text_in(request, "input"),
            instance_id=instance_id,
            start_at_us=time(request, "scheduledStartTimestamp"),
            version=text_in(request, "version") or None,
            unique=unique,
            tags=tuple(sorted(request.tags.items())),
            trace=_trace(request, caller),
        )
        return pb.CreateInstanceResponse(instanceId=started)

    async def _give_way(
        self, service: Workflows, instance_id: str, replaceable: frozenset[Status], caller: Caller
    ) -> bool:
        """Microsoft's policy: which statuses of an instance under this id permit to replace it.

        One that runs is terminated for it. Returns whether there is none at all, and must be none.
        """
        try:
            status = (await service.get(instance_id)).row.status
        except InstanceNotFound:
            return not replaceable & TERMINAL
        if status not in replaceable:
            error = InstanceNotUnique if status.is_terminal else InstanceExists
            raise error(instance_id)
        if not status.is_terminal:
            await service.terminate(instance_id)
            await self._settled(service, instance_id, TERMINAL, caller)
        return False

    # ---- look

    async def get(self, request: pb.GetInstanceRequest, caller: Caller) -> pb.GetInstanceResponse:
        service, instance_id = await self._instance(request)
        try:
            view = await service.get(instance_id)
        except InstanceNotFound:
            return pb.GetInstanceResponse(exists=False)
        return states.found(view, with_payloads=request.getInputsAndOutputs)

    async def wait_started(
        self, request: pb.GetInstanceRequest, caller: Caller
    ) -> pb.GetInstanceResponse:
        return await self._wait(request, STARTED)

    async def wait_completed(
        self, request: pb.GetInstanceRequest, caller: Caller
    ) -> pb.GetInstanceResponse:
        return await self._wait(request, TERMINAL)

    async def _wait(
        self, request: pb.GetInstanceRequest, until: frozenset[Status]
    ) -> pb.GetInstanceResponse:
        service, instance_id = await self._instance(request)
        view = await service.wait(instance_id, until=until, timeout=FOR_EVER)
        if view.row.status not in until:
            raise NodeStopping(STOPPING)  # Clients wait on, at another node.
        return states.found(view, with_payloads=request.getInputsAndOutputs)

    # ---- change

    async def raise_event(self, request: pb.RaiseEventRequest, caller: Caller) -> pb.Empty:
        service, instance_id = await self._instance(request)
        event = EVENT_NAME.parse(request.name)
        await service.raise_event(instance_id, event, text_in(request, "input"))
        return pb.Empty()

    async def suspend(self, request: pb.SuspendRequest, caller: Caller) -> pb.Empty:
        service, instance_id = await self._instance(request)
        await service.suspend(instance_id, text_in(request, "reason"))
        await self._settled(service, instance_id, SUSPENDED, caller)
        return pb.Empty()

    async def resume(self, request: pb.ResumeRequest, caller: Caller) -> pb.Empty:
        service, instance_id = await self._instance(request)
        await service.resume(instance_id, text_in(request, "reason"))
        await self._settled(service, instance_id, GOING_ON, caller)
        return pb.Empty()

    async def terminate(self, request: pb.TerminateRequest, caller: Caller) -> pb.Empty:
        service, instance_id = await self._instance(request)
        output = text_in(request, "output")
        await service.terminate(instance_id, output, recursive=request.recursive)
        await self._settled(service, instance_id, TERMINAL, caller)
        return pb.Empty()

    async def _settled(
        self, service: Workflows, instance_id: str, until: frozenset[Status], caller: Caller
    ) -> None:
        """Wait a little until a change shows: clients look at the status right afterwards.

        It shows at once but for an instance that has not begun: PENDING it is until then, and
        SUSPENDED from then on. That is waited for if a worker is at it.
        """
        left = caller.seconds_left()
        # Well before the client gives up: what it asked for is done.
        seconds = SETTLE_SECONDS if left is None else min(SETTLE_SECONDS, left / 2)
        with suppress(InstanceNotFound):  # Purged meanwhile.
            view = await service.get(instance_id)
            while view.row.status not in until and _is_at_work(view) and seconds > 0:
                part = min(seconds, LOOK_SECONDS)
                seconds -= part
                view = await service.wait(instance_id, until=until, timeout=part)

    async def _instance(self, request: _OfInstance) -> tuple[Workflows, str]:
        service = await at_app(self._service, request.router, self._app_id)
        return service, INSTANCE_ID.parse(request.instanceId)


def _is_at_work(view: View) -> bool:
    """Whether its status may soon be another one, by itself."""
    return view.row.has_work and view.waiting is None


async def at_app(service: Workflows, router: pb.TaskRouter, own: str) -> Workflows:
    """The functions of the app that a request is for. Raises `NoSuchApp`."""
    return await service.of(other_app(router.targetAppID, own))


def _trace(request: pb.CreateInstanceRequest, caller: Caller) -> Trace | None:
    """The span that starts an instance, told in the request or, by others, beside it."""
    return trace_of(request.parentTraceContext) or trace_beside(caller)


def trace_beside(caller: Caller) -> Trace | None:
    """The span of a call, by its metadata."""
    parent = caller.metadata.get("traceparent")
    return None if parent is None else Trace(parent, caller.metadata.get("tracestate"))
