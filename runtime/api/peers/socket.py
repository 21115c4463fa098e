"""What a link needs of a WebSocket, whichever end dialled it. An edge module."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any, Literal

from aiohttp import ClientWebSocketResponse, WebSocketError, WSMsgType, web

from perdure.actors.errors import PerdureError
from perdure.runtime.api.peers.frames import MalformedMessage

HEARTBEAT_SECONDS = 2.5
"""After so long without anything received a ping is sent; the pong has half of it."""
CLOSE_SECONDS = 1.0


class SocketClosed(PerdureError):
    """The other end is gone; `code` if it said why."""

    def __init__(self, code: int | None) -> None:
        super().__init__(f"closed with code {code}" if code else "the connection broke")
        self.code = code


class DialledSocket(ClientWebSocketResponse[Literal[True]]):
    """aiohttp's client end, which also tells its transport."""

    def __init__(self, reader: Any, writer: Any, *others: Any, **named: Any) -> None:
        super().__init__(reader, writer, *others, **named)
        self.transport: asyncio.Transport = writer.transport


@dataclass(frozen=True, slots=True)
class PeerSocket:
    """A WebSocket and the transport below it, which can be cut off at once."""

    web_socket: web.WebSocketResponse | DialledSocket
    transport: asyncio.Transport

    async def send(self, message: bytes) -> None:
        """Write, and wait while the transport is full. Raises `OSError` if it is closed."""
        await self.web_socket.send_bytes(message)

    async def receive(self) -> bytes:
        """The next message. Raises `SocketClosed`, and `MalformedMessage` for what is none."""
        try:
            message = await self.web_socket.receive()
        except OSError as error:  # Its own answer to a ping comes upon a transport that closes.
            raise SocketClosed(None) from error
        if message.type is WSMsgType.BINARY:
            data: bytes = message.data
            return data
        if message.type is WSMsgType.TEXT:
            raise MalformedMessage("a text message")
        if isinstance(message.data, WebSocketError):
            raise MalformedMessage(str(message.data))
        raise SocketClosed(self.web_socket.close_code)

    async def close(self, code: int) -> None:
        """Say why, for as long as `CLOSE_SECONDS`. Nobody may be receiving."""
        try:
            async with asyncio.timeout(CLOSE_SECONDS):
                await self.web_socket.close(code=code)
        except TimeoutError:
            pass
        finally:
            self.transport.abort()

    async def cut(self) -> None:
        """End it without a word, and release what aiohttp holds for it."""
        self.transport.abort()
        await self.web_socket.close()
