"""Clients that are quiet, dead, or slow: how long they are kept, and what they may cost."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from perdure.runtime.rpc import server
from perdure.runtime.rpc import taskhub_pb2 as pb
from perdure.runtime.rpc.methods import Caller, Streaming
from tests.rpc.line import GOAWAY, line_to
from tests.rpc.serving import connected, serving
from tests.rpc.test_server import streaming

PATIENCE = 15.0
DAPRS_KEEPALIVE = {
    "grpc.keepalive_time_ms": 20,  # Dapr's is 30,000.
    "grpc.keepalive_timeout_ms": 10_000,
    "grpc.keepalive_permit_without_calls": 1,
    "grpc.http2.max_pings_without_data": 0,
}


async def test_a_client_that_keeps_its_idle_line_alive_stays_connected() -> None:
    async with (
        asyncio.timeout(PATIENCE),
        serving() as hub,
        line_to(hub.server.address) as (line, address),
        connected(address, **DAPRS_KEEPALIVE) as client,
    ):
        assert await client.raw("Hello") == b""
        await line.until_pings(4, line.from_client)
        assert await client.raw("Hello") == b""
        assert line.connections == 1
        assert line.from_server[GOAWAY] == 0


async def test_a_worker_that_has_fallen_silent_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its machine is gone: no end of the connection is ever heard of."""
    monkeypatch.setattr(server, "QUIET_MS", 20)
    monkeypatch.setattr(server, "ANSWER_MS", 100)
    closed = asyncio.Event()
    async with (
        asyncio.timeout(PATIENCE),
        serving({"GetWorkItems": streaming(closed)}) as hub,
        line_to(hub.server.address) as (line, address),
        connected(address) as client,
    ):
        stream = client.stream("GetWorkItems")
        assert await stream.read() == b"first"
        await line.until_pings(2, line.from_server)  # It answers, and so it stays.
        assert await client.raw("Hello") == b""
        assert not closed.is_set()
        line.is_silent = True
        await closed.wait()
        stream.cancel()


async def test_a_worker_that_never_reads_is_sent_no_more_than_lines_hold() -> None:
    """The rest stays in its queue, which is no longer than what it may have at a time."""
    size, asked_for = 100_000, 0

    async def items(request: pb.Empty, caller: Caller) -> AsyncIterator[bytes]:
        nonlocal asked_for
        while True:
            asked_for += 1
            yield bytes(size)

    async with (
        asyncio.timeout(PATIENCE),
        serving({"GetWorkItems": Streaming(pb.Empty, items)}) as hub,
        connected(hub.server.address) as slow,
    ):
        stream = slow.stream("GetWorkItems")
        await stream.read()
        before = -1
        while before != asked_for:
            before = asked_for
            assert size * asked_for < 64 << 20
            for _ in range(20):  # Others are served meanwhile.
                assert await hub.client.raw("Hello") == b""
        stream.cancel()
