"""The node under test. The tables ask for `server` only; what needs the fake asks for `fake`."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any

import aiohttp
import pytest

from perdure.runtime.api.ports import ApiConfig
from perdure.runtime.api.server import ApiServer
from tests.support.http_server import Server
from tests.support.http_service import FakeNode, FakeScenarios

Serve = Callable[..., Awaitable[tuple[Server, FakeNode]]]


@pytest.fixture
async def serve() -> AsyncIterator[Serve]:
    """Starts nodes with the settings that a test gives."""
    async with AsyncExitStack() as stack:

        async def start(**settings: Any) -> tuple[Server, FakeNode]:
            chosen: dict[str, Any] = {"app_id": "shop", "version": "0.1.0", "port": 0} | settings
            node = FakeNode(ApiConfig(**chosen))
            api = await stack.enter_async_context(ApiServer(node))
            session = await stack.enter_async_context(aiohttp.ClientSession(auto_decompress=False))
            return Server(api.url, FakeScenarios(node.service), session), node

        yield start


@pytest.fixture
async def started(serve: Serve) -> tuple[Server, FakeNode]:
    return await serve()


@pytest.fixture
def server(started: tuple[Server, FakeNode]) -> Server:
    """A node of the app `shop`, without a token, on a free port of 127.0.0.1."""
    return started[0]


@pytest.fixture
def fake(started: tuple[Server, FakeNode]) -> FakeNode:
    """What stands behind `server`."""
    return started[1]
