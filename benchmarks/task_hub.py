"""The cheapest client of a task hub: it must not be what limits the rate. An edge module."""

from __future__ import annotations

from types import TracebackType

import grpc.aio

from perdure.runtime.rpc import taskhub_pb2 as pb

_SERVICE = "/TaskHubSidecarService/"
_COMPLETED = 1
_SECONDS = 300.0
"""For one call. Microsoft's server fails without a limit."""


class TaskHub:
    """One channel, from enter to exit."""

    def __init__(self, port: int) -> None:
        self._address = f"127.0.0.1:{port}"
        self._channel: grpc.aio.Channel | None = None

    async def __aenter__(self) -> TaskHub:
        self._channel = grpc.aio.insecure_channel(self._address)
        self._start = self._channel.unary_unary(
            f"{_SERVICE}StartInstance",
            request_serializer=pb.CreateInstanceRequest.SerializeToString,
            response_deserializer=pb.CreateInstanceResponse.FromString,
        )
        self._wait = self._channel.unary_unary(
            f"{_SERVICE}WaitForInstanceCompletion",
            request_serializer=pb.GetInstanceRequest.SerializeToString,
            response_deserializer=pb.GetInstanceResponse.FromString,
        )
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._channel is not None
        await self._channel.close(None)

    async def start(self, name: str, instance_id: str, number: int) -> None:
        request = pb.CreateInstanceRequest(instanceId=instance_id, name=name)
        request.input.value = str(number)
        await self._start(request, timeout=_SECONDS, wait_for_ready=True)

    async def output_of(self, instance_id: str) -> str:
        """Wait for an instance, and return its output; no other end is accepted."""
        found = await self._wait(
            pb.GetInstanceRequest(instanceId=instance_id, getInputsAndOutputs=True),
            timeout=_SECONDS,
        )
        state = found.workflowState
        if state.workflowStatus != _COMPLETED:
            raise AssertionError(f"'{instance_id}' has come to status {state.workflowStatus}")
        output: str = state.output.value
        return output
