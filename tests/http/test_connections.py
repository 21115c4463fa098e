"""How many connections there may be, and what becomes of a request when its client or node goes."""

from __future__ import annotations

import asyncio
import json
import logging
import resource
from typing import Any

import pytest
from yarl import URL

from perdure.runtime.api.connection import FULL
from perdure.runtime.api.ports import ApiConfig
from perdure.runtime.api.server import FILES_KEPT, ApiServer
from perdure.runtime.config import NodeConfig
from perdure.runtime.node import Node
from tests.http.conftest import Serve, Serving
from tests.support.http_node import Shop
from tests.support.http_service import FakeNode

BASE = "/v1.0/workflows/dapr"
HEALTH = b"GET /v1.0/healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"
PATIENCE = 20
"""Only a limit for what hangs: nothing waits for it to pass."""

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


def request(method: str, target: str, *lines: str) -> bytes:
    first = f"{method} {target} HTTP/1.1\r\nHost: localhost\r\n"
    return (first + "".join(f"{line}\r\n" for line in lines) + "\r\n").encode()


async def connected(url: str) -> Streams:
    address = URL(url)
    return await asyncio.open_connection(address.host, address.port)


async def left(streams: Streams) -> None:
    streams[1].close()
    await streams[1].wait_closed()


async def healthy(streams: Streams) -> bool:
    streams[1].write(HEALTH)
    return (await streams[0].readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 204 ")


async def test_one_connection_too_many_is_told_so_and_closed(serve: Serve) -> None:
    server, _ = await serve(connections_max=2)
    taken = [await connected(server.url) for _ in range(2)]
    assert [await healthy(streams) for streams in taken] == [True, True]
    reader, writer = await connected(server.url)
    head, _, body = (await reader.read()).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 503 Service Unavailable\r\n")
    for line in (b"Retry-After: 1", b"Connection: close", b"Content-Length: %d" % len(body)):
        assert line in head.split(b"\r\n")
    assert json.loads(body) == {"errorCode": FULL.code, "message": FULL.message}
    await left((reader, writer))
    assert [await healthy(streams) for streams in taken] == [True, True]
    await left(taken.pop())
    async with asyncio.timeout(PATIENCE):
        while not (await server.raw(HEALTH)).startswith(b"HTTP/1.1 204 "):
            pass
    await left(taken.pop())


async def test_connections_leave_files_for_the_rest_of_the_process(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def limit(files: int) -> int:
        monkeypatch.setattr(resource, "getrlimit", lambda _: (files, files))
        api = ApiServer(FakeNode(ApiConfig(app_id="shop", version="0", connections_max=500)))
        return api.connections_max

    assert limit(100_000) == limit(resource.RLIM_INFINITY) == 500
    assert limit(256) == 256 - FILES_KEPT
    assert limit(10) == 1


async def test_a_wait_ends_when_its_client_goes(serving: Serving) -> None:
    async with serving(Shop().app) as (server, node):
        await node.service.start("order", instance_id="w1")
        streams = await connected(server.url)
        streams[1].write(request("GET", f"{BASE}/w1?wait=completed&timeout=60"))
        async with asyncio.timeout(PATIENCE):
            while not len(node.engine.watchers):
                assert (await server.get(f"{BASE}/w1")).status == 200
            await left(streams)
            while len(node.engine.watchers):
                assert (await server.get(f"{BASE}/w1")).status == 200


async def test_a_change_is_made_although_its_client_goes(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    server, node = await serve()
    begun, go_on, done = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def slow(*_: Any, **__: Any) -> str:
        begun.set()
        await go_on.wait()
        done.set()
        return "w1"

    monkeypatch.setattr(node.service, "start", slow)
    streams = await connected(server.url)
    streams[1].write(request("POST", f"{BASE}/order/start", "Content-Length: 0"))
    async with asyncio.timeout(PATIENCE):
        await begun.wait()
        await left(streams)
        for _ in range(3):  # By then the server has seen that the client is gone.
            assert (await server.get("/v1.0/healthz")).status == 204
        go_on.set()
        await done.wait()


async def test_clients_that_go_without_their_answer_do_no_harm(
    serving: Serving, caplog: pytest.LogCaptureFixture
) -> None:
    async with serving(Shop().app) as (server, node):
        for number in range(60):
            await node.service.start("order", instance_id=f"w{number}")
            streams = await connected(server.url)
            path = ("pause", "raiseEvent/end", "terminate", "purge?force=true")[number % 4]
            streams[1].write(request("POST", f"{BASE}/w{number}/{path}", "Content-Length: 0"))
            if number % 3:
                streams[1].transport.abort()
            await left(streams)
        await node.engine.tenure.host.calm()
        page = (await server.get(f"{BASE}?counts=true")).json
        allowed = {"RUNNING", "SUSPENDED", "COMPLETED", "TERMINATED"}
        assert set(page["counts"]) <= allowed
        assert (await server.post(f"{BASE}/order/start?instanceID=after")).status == 202
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


async def test_a_body_that_never_comes_does_not_keep_a_server_from_ending() -> None:
    config = ApiConfig(app_id="shop", version="0", port=0, drain_seconds=0)
    async with asyncio.timeout(PATIENCE):
        async with ApiServer(FakeNode(config)) as api:
            streams = await connected(api.url)
            head = request("POST", f"{BASE}/w/start", "Content-Length: 9", "Expect: 100-continue")
            streams[1].write(head)
            assert await streams[0].readuntil(b"\r\n\r\n")
        await streams[0].read()
    await left(streams)


async def test_the_settings_of_a_node_reach_its_api(serving: Serving) -> None:
    settings: dict[str, Any] = {
        "api_token": "new",
        "api_token_previous": "old",
        "connections_max": 7,
        "max_body_bytes": 3 << 20,
        "drain_seconds": 1.5,
    }
    async with serving(Shop().app, **settings) as (server, node):
        api = node.api_config
        assert (api.connections_max, api.body_bytes_max, api.drain_seconds) == (7, 3 << 20, 1.5)
        for token, status in (("new", 200), ("old", 200), ("new,old", 401), ("", 401)):
            headers = {"dapr-api-token": token, "Host": "anything.example"}
            assert (await server.get("/v1.0/metadata", headers)).status == status


async def test_a_node_may_be_called_by_a_name_that_its_settings_allow(serving: Serving) -> None:
    async with serving(Shop().app, allowed_hosts=("my.laptop",)) as (server, _):
        assert (await server.get("/v1.0/metadata", {"Host": "my.laptop:3500"})).status == 200
        assert (await server.get("/v1.0/metadata", {"Host": "evil.example"})).status == 403


def test_the_settings_that_nobody_gave_are_the_same_for_node_and_api() -> None:
    node = Node(Shop().app, config=NodeConfig(app_id="shop"))
    given, default = node.api_config, ApiConfig(app_id="shop", version=node.api_config.version)
    for name in ("host", "port", "tokens", "allowed_hosts", "connections_max", "body_bytes_max"):
        assert getattr(given, name) == getattr(default, name), name
