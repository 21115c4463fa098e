"""A scripted node on a real socket, and both clients behind one face."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any, Protocol

import pytest
from aiohttp import web

from perdure.runtime.client import WorkflowClient
from perdure.runtime.remote.settings import Patience
from perdure.runtime.sync_client import SyncWorkflowClient


@dataclass
class Seen:
    """One request as the node saw it."""

    method: str
    target: str
    headers: dict[str, str]
    body: str


@dataclass
class Scripted:
    """Answers the requests one by one, as it was told to; with nothing left to say, `200 {}`."""

    url: str = ""
    seen: list[Seen] = field(default_factory=list)
    script: list[tuple[int, object, dict[str, str]] | None] = field(default_factory=list)

    def answers(self, status: int, fields: object, **headers: str) -> None:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        self.script.append((status, fields, named))

    def hangs_up(self) -> None:
        """Close the connection instead of answering the next request."""
        self.script.append(None)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        headers = {name.lower(): value for name, value in request.headers.items()}
        self.seen.append(Seen(request.method, request.raw_path, headers, await request.text()))
        answer = self.script.pop(0) if self.script else (200, {}, {})
        if answer is None:
            assert request.transport is not None
            request.transport.abort()
            return web.Response()
        status, fields, extra = answer
        return web.Response(
            status=status,
            text=fields if isinstance(fields, str) else json.dumps(fields),
            content_type="application/json",
            headers=extra,
        )


@pytest.fixture
async def node() -> AsyncIterator[Scripted]:
    scripted = Scripted()
    app = web.Application()
    app.router.add_route("*", "/{anything:.*}", scripted.handle)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    scripted.url = f"http://{host}:{port}"
    yield scripted
    await runner.cleanup()


class Client(Protocol):
    """Either client; `call` names the method."""

    async def call(self, method: str, /, *args: Any, **named: Any) -> Any: ...

    async def listed(self, *args: Any) -> list[Any]: ...

    async def close(self) -> None: ...


class Asynchronous:
    def __init__(self, url: str, **named: Any) -> None:
        self.client = WorkflowClient(url, **named)

    async def call(self, method: str, /, *args: Any, **named: Any) -> Any:
        return await getattr(self.client, method)(*args, **named)

    async def listed(self, *args: Any) -> list[Any]:
        return [state async for state in self.client.list_workflows(*args)]

    async def close(self) -> None:
        await self.client.close()


class Synchronous:
    """In a thread, because the node lives on the test's loop."""

    def __init__(self, url: str, **named: Any) -> None:
        self.client = SyncWorkflowClient(url, **named)

    async def call(self, method: str, /, *args: Any, **named: Any) -> Any:
        return await asyncio.to_thread(getattr(self.client, method), *args, **named)

    async def listed(self, *args: Any) -> list[Any]:
        return await asyncio.to_thread(lambda: list(self.client.list_workflows(*args)))

    async def close(self) -> None:
        self.client.close()


@pytest.fixture(params=[Asynchronous, Synchronous], ids=["async", "sync"])
def make_client(request: pytest.FixtureRequest) -> type[Asynchronous] | type[Synchronous]:
    kind: type[Asynchronous] | type[Synchronous] = request.param
    return kind


@pytest.fixture
async def client(
    node: Scripted, make_client: type[Asynchronous] | type[Synchronous]
) -> AsyncIterator[Client]:
    made = make_client(node.url, patience=Patience(timeout_seconds=10, retry_seconds=5))
    yield made
    await made.close()
