"""A gRPC server on a free port over a node without an engine, and a client that sends raw bytes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

import grpc
import grpc.aio
from google.protobuf.message import Message

from perdure.runtime.api import answers
from perdure.runtime.rpc.dapr_service import DAPR
from perdure.runtime.rpc.management import TASK_HUB
from perdure.runtime.rpc.methods import Methods
from perdure.runtime.rpc.ports import RpcConfig
from perdure.runtime.rpc.server import RpcServer
from perdure.runtime.rpc.services import services
from perdure.runtime.workflow.errors import InstanceNotUnique, NotCompleted
from perdure.runtime.workflow.fork import Rerun
from perdure.runtime.workflow.history import Status, Trace
from tests.support.http_service import FakeScenarios, FakeView, FakeWorkflows

M = TypeVar("M", bound=Message)

METADATA = answers.Metadata(
    id="shop",
    runtime_version="1.18.0-perdure-0.1.0",
    actors=[answers.ActiveActors(type="cart", count=1)],
    extended={"daprRuntimeVersion": "1.18.0-perdure-0.1.0"},
    actor_runtime=answers.ActorRuntime(
        runtime_status="RUNNING",
        active_actors=[answers.ActiveActors(type="cart", count=1)],
        host_ready=True,
        placement="placement: connected",
    ),
    workflows=answers.WorkflowRuntime(connected_workers=2),
    perdure=answers.Facts(
        version="0.1.0",
        node_id="node-1",
        store=":memory:",
        durability="full",
        sqlite_version="3",
        generation=1,
        nodes=1,
        slots=1,
        peers=0,
        placement_version=1,
    ),
)


class Workflows(FakeWorkflows):
    """The engine's functions as gRPC calls them, with what HTTP does not use."""

    def __init__(self) -> None:
        super().__init__()
        self.is_slow = False
        """Changes are taken and show no effect, as while no worker is there."""
        self.waiting = asyncio.Event()
        """Somebody waits."""
        self.given_up = asyncio.Event()
        """Somebody who waited was cancelled."""
        self.seconds: list[float] = []
        """How long waits were to be, at most."""
        self.has_closed = False
        """Waits end at once, as when the node stops."""

    async def start(
        self,
        name: str,
        input: str | None = None,
        *,
        instance_id: str | None = None,
        start_at_us: int | None = None,
        idempotency_key: str | None = None,
        version: str | None = None,
        unique: bool = False,
        tags: tuple[tuple[str, str], ...] = (),
        trace: Trace | None = None,
    ) -> str:
        self.calls.append(("start with", version, unique, tags, trace))
        if unique and instance_id in self.views:
            raise InstanceNotUnique(instance_id)
        return await super().start(name, input, instance_id=instance_id, start_at_us=start_at_us)

    async def suspend(self, instance_id: str, reason: str | None = None) -> None:
        self.calls.append(("reason", reason))
        if self.is_slow:
            self._able(instance_id)
        else:
            await super().suspend(instance_id)

    async def resume(self, instance_id: str, reason: str | None = None) -> None:
        self.calls.append(("reason", reason))
        if self.is_slow:
            self._able(instance_id)
        else:
            await super().resume(instance_id)

    async def terminate(
        self, instance_id: str, output: str | None = None, *, recursive: bool = True
    ) -> None:
        if self.is_slow:
            self._able(instance_id)
        else:
            await super().terminate(instance_id, output, recursive=recursive)

    async def wait(
        self,
        instance_id: str,
        *,
        until: frozenset[Status],
        timeout: float,  # noqa: ASYNC109
    ) -> FakeView:
        self.waiting.set()
        self.seconds.append(timeout)
        try:
            at_most = 0 if self.has_closed or self.is_slow else timeout
            return await super().wait(instance_id, until=until, timeout=at_most)
        except asyncio.CancelledError:
            self.given_up.set()
            raise

    async def restart(self, instance_id: str, *, new_id: bool) -> str:
        self._called("restart", instance_id, new_id)
        if not self._found(instance_id).row.status.is_terminal:
            raise NotCompleted(instance_id)
        return "made" if new_id else instance_id

    async def rerun(self, source_id: str, wanted: Rerun) -> str:
        self._called("rerun", source_id, wanted)
        return wanted.new_id or "made"


@dataclass
class Workers:
    """The methods for workers."""

    methods: Methods

    def decides(self, peer: str, instance_id: str) -> bool:
        return False

    def table(self) -> Methods:
        return self.methods


@dataclass
class Client:
    """Calls methods of either service, and says how they ended."""

    channel: Any
    metadata: Sequence[tuple[str, str]] = ()

    async def raw(
        self, name: str, data: bytes = b"", *, service: str = TASK_HUB, **options: Any
    ) -> bytes:
        options = {"metadata": self.metadata} | options
        answer: bytes = await self.channel.unary_unary(f"/{service}/{name}")(data, **options)
        return answer

    async def call(
        self,
        name: str,
        request: Message,
        answer: type[M],
        *,
        service: str = TASK_HUB,
        **options: Any,
    ) -> M:
        data = request.SerializeToString()
        return answer.FromString(await self.raw(name, data, service=service, **options))

    async def dapr(self, name: str, request: Message, answer: type[M]) -> M:
        return await self.call(name, request, answer, service=DAPR)

    def stream(self, name: str, data: bytes = b"", *, service: str = TASK_HUB) -> Any:
        return self.channel.unary_stream(f"/{service}/{name}")(data, metadata=self.metadata)


@dataclass
class Hub:
    """What is under test, and what stands behind it."""

    server: RpcServer
    service: Workflows
    client: Client
    scenarios: FakeScenarios = field(init=False)

    def __post_init__(self) -> None:
        self.scenarios = FakeScenarios(self.service)


@asynccontextmanager
async def serving(workers: Methods | None = None, **settings: Any) -> AsyncIterator[Hub]:
    """A server with these settings, which takes calls, and its client."""
    chosen: dict[str, Any] = {"port": 0, "drain_seconds": 1.0} | settings
    service = Workflows()
    table = services(service, Workers(workers or {}), "shop", lambda: METADATA)
    async with RpcServer(RpcConfig(**chosen), table) as server:
        await server.open()
        async with connected(server.address) as client:
            yield Hub(server, service, client)


@asynccontextmanager
async def connected(address: str, **options: Any) -> AsyncIterator[Client]:
    # Not one of the connections that gRPC shares within a process.
    alone = [("grpc.use_local_subchannel_pool", 1), *options.items()]
    async with grpc.aio.insecure_channel(address, options=alone) as channel:
        yield Client(channel)


async def ending(call: Any) -> tuple[str, str]:
    """The status code and the details of a call that must not succeed."""
    try:
        answer = await call
    except grpc.aio.AioRpcError as error:
        return error.code().name, error.details() or ""
    raise AssertionError(f"answered {answer!r}")


def text_fields(**fields: str) -> Mapping[str, Mapping[str, str]]:
    """StringValues, as messages are made of them."""
    return {name: {"value": text} for name, text in fields.items()}
