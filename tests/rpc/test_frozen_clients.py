"""A client that says nothing more once it has asked: suspended, or its machine is gone.

Its bytes are made by hand, because gRPC's own client answers pings and takes note of goodbyes by
itself, whatever its user does.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from perdure.runtime.rpc import taskhub_pb2 as pb
from perdure.runtime.rpc.management import TASK_HUB
from perdure.runtime.rpc.methods import Caller, Streaming
from tests.rpc.serving import serving

_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_DATA, _HEADERS, _SETTINGS = 0, 1, 4
_END_STREAM, _END_HEADERS = 1, 4


async def _one_and_no_more(request: pb.Empty, caller: Caller) -> AsyncIterator[bytes]:
    yield b"first"
    await asyncio.Event().wait()


async def test_a_client_that_has_stopped_altogether_does_not_hold_up_the_end() -> None:
    async with serving(
        {"GetWorkItems": Streaming(pb.Empty, _one_and_no_more)}, drain_seconds=3600
    ) as hub:
        host, _, port = hub.server.address.rpartition(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(_request(f"/{TASK_HUB}/GetWorkItems"))
        async with asyncio.timeout(10):
            await reader.readuntil(b"first")
            await hub.server.close()
        writer.close()


def _request(path: str, message: bytes = b"") -> bytes:
    """One call, from the beginning of its connection to the end of its request."""
    headers = {
        ":method": "POST",
        ":scheme": "http",
        ":path": path,
        ":authority": "localhost",
        "content-type": "application/grpc",
        "te": "trailers",
    }
    fields = b"".join(b"\0" + _literal(name) + _literal(value) for name, value in headers.items())
    return (
        _PREFACE
        + _frame(_SETTINGS, 0, 0, b"")
        + _frame(_HEADERS, _END_HEADERS, 1, fields)
        + _frame(_DATA, _END_STREAM, 1, b"\0" + len(message).to_bytes(4) + message)
    )


def _frame(kind: int, flags: int, stream: int, body: bytes) -> bytes:
    return len(body).to_bytes(3) + bytes([kind, flags]) + stream.to_bytes(4) + body


def _literal(text: str) -> bytes:
    return bytes([len(text)]) + text.encode()
