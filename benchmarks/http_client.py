"""The cheapest HTTP client that keeps its connection: it must not be what limits the rate. An edge.

One request at a time on a connection; answers have a `Content-Length`.
"""

from __future__ import annotations

import asyncio
from types import TracebackType
from urllib.parse import urlsplit

_END_OF_HEAD = b"\r\n\r\n"
_LENGTH = b"content-length:"


class _Answers(asyncio.Protocol):
    """Reads answers; the oldest question gets the next one."""

    def __init__(self) -> None:
        self._buffer = b""
        self._waiting: asyncio.Future[tuple[int, bytes]] | None = None

    def expect(self) -> asyncio.Future[tuple[int, bytes]]:
        self._waiting = asyncio.get_running_loop().create_future()
        return self._waiting

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head_end = self._buffer.find(_END_OF_HEAD)
        if head_end < 0:
            return
        head = self._buffer[:head_end].lower()
        begin = head.index(_LENGTH) + len(_LENGTH)
        end = head.find(b"\r\n", begin)
        length = int(head[begin:] if end < 0 else head[begin:end])
        body_begin = head_end + len(_END_OF_HEAD)
        if len(self._buffer) < body_begin + length:
            return
        body = self._buffer[body_begin:]
        self._buffer = b""
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result((int(head[9:12]), body))

    def connection_lost(self, error: Exception | None) -> None:
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_exception(error or ConnectionError("the node closed the connection"))


class Connection:
    """One connection, from enter to exit."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        assert parts.hostname is not None
        self._host, self._port = parts.hostname, parts.port or 80
        self._header = f" HTTP/1.1\r\nHost: {parts.netloc}\r\nContent-Type: application/json\r\n"
        self._answers = _Answers()
        self._transport: asyncio.Transport | None = None

    async def __aenter__(self) -> Connection:
        loop = asyncio.get_running_loop()
        self._transport, _ = await loop.create_connection(
            lambda: self._answers, self._host, self._port
        )
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._transport is not None
        self._transport.close()

    async def request(self, method: str, path: str, body: bytes = b"") -> tuple[int, bytes]:
        """Status and body of the answer."""
        assert self._transport is not None
        head = f"{method} {path}{self._header}Content-Length: {len(body)}\r\n\r\n"
        answer = self._answers.expect()
        self._transport.write(head.encode() + body)
        return await answer
