"""The node under test: a real one, and a fake one for what a real one cannot be asked or told."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from perdure.runtime.api.ports import ApiConfig
from perdure.runtime.api.server import ApiServer
from perdure.runtime.node import App, Node
from tests.support.http_node import RealScenarios, Shop, lent_node, node_on
from tests.support.http_server import Server
from tests.support.http_service import FakeNode, FakeScenarios

Serve = Callable[..., Awaitable[tuple[Server, FakeNode]]]
Serving = Callable[..., AbstractAsyncContextManager[tuple[Server, Node]]]


@pytest.fixture
async def serve() -> AsyncIterator[Serve]:
    """Starts fake nodes with the settings that a test gives."""
    async with AsyncExitStack() as stack:

        async def start(**settings: Any) -> tuple[Server, FakeNode]:
            chosen: dict[str, Any] = {"app_id": "shop", "version": "0.1.0", "port": 0} | settings
            node = FakeNode(ApiConfig(**chosen))
            api = await stack.enter_async_context(ApiServer(node))
            await api.open()
            session = await stack.enter_async_context(aiohttp.ClientSession(auto_decompress=False))
            return Server(api.url, FakeScenarios(node.service), session), node

        yield start


@pytest.fixture
async def with_fake(serve: Serve) -> tuple[Server, FakeNode]:
    return await serve()


@pytest.fixture
def fake_server(with_fake: tuple[Server, FakeNode]) -> Server:
    """As `server`, with a fake behind it."""
    return with_fake[0]


@pytest.fixture
def fake(with_fake: tuple[Server, FakeNode]) -> FakeNode:
    """What stands behind `fake_server`."""
    return with_fake[1]


@pytest.fixture(scope="session")
def lent(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealScenarios]:
    with lent_node(tmp_path_factory.mktemp("lent") / "shop.db") as scenarios:
        yield scenarios


@pytest.fixture
async def server(lent: RealScenarios) -> AsyncIterator[Server]:
    """A node of the app `shop` without instances, without a token, on a port of 127.0.0.1."""
    async with aiohttp.ClientSession(auto_decompress=False) as session:
        yield Server(lent.url, lent, session)
    await lent.clear()


@pytest.fixture
def serving(tmp_path: Path) -> Serving:
    """Starts real nodes of their own, one after the other, on one file and the test's loop."""

    @asynccontextmanager
    async def serve(app: App, **settings: Any) -> AsyncIterator[tuple[Server, Node]]:
        async with (
            node_on(tmp_path / "shop.db", app, **settings) as node,
            aiohttp.ClientSession(auto_decompress=False) as session,
        ):
            assert node.url is not None
            yield Server(node.url, RealScenarios(node, Shop()), session), node

    return serve
