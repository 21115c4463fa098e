"""The listening socket for other nodes, and the incoming half of the handshake. An owner module.

Whoever connects is a stranger until it has proven that it knows the secret. Strangers are few, get
little time and few bytes: when there is one too many, the oldest has to go.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Any

from aiohttp import web

from perdure.runtime.api.peers.config import PeerConfig
from perdure.runtime.api.peers.frames import MalformedMessage
from perdure.runtime.api.peers.handshake import (
    HANDSHAKE_BYTES_MAX,
    PEER_PATH,
    CloseCode,
    Credentials,
    PeerName,
    decode_proof,
    encode_challenge,
    encode_welcome,
    is_proven,
    new_challenge,
    welcome_mac,
)
from perdure.runtime.api.peers.refusals import RefusalLog
from perdure.runtime.api.peers.socket import (
    CLOSE_SECONDS,
    HEARTBEAT_SECONDS,
    PeerSocket,
    SocketClosed,
)

STRANGERS_MAX = 64
_log = logging.getLogger(__name__)

Accept = Callable[[PeerSocket, PeerName, bytes], Awaitable[None]]
"""Takes an authenticated peer's socket, its name, and the welcome that is to be sent first; returns
when the link is at its end."""


class PeerListener:
    """Owns the listening socket and its connections, from enter to exit."""

    def __init__(
        self,
        config: PeerConfig,
        own: Callable[[], Credentials | None],
        accept: Accept,
        refusals: RefusalLog,
    ) -> None:
        self._config = config
        self._own = own
        self._accept = accept
        self._refusals = refusals
        self._strangers: dict[_Connection, asyncio.TimerHandle] = {}
        """The oldest first; each with what ends it when its time is over."""
        self._open = AsyncExitStack()
        self.address = ""

    async def __aenter__(self) -> PeerListener:
        server = web.Server(self._answer)
        async with AsyncExitStack() as undo:
            undo.push_async_callback(self._close, server)
            listening = await asyncio.get_running_loop().create_server(
                lambda: _Connection(server, self), self._config.host, self._config.port
            )
            undo.callback(listening.close)
            self._open = undo.pop_all()
        host, port = listening.sockets[0].getsockname()[:2]
        self.address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._open.aclose()

    async def _close(self, server: web.Server) -> None:
        for connection in list(self._strangers):
            connection.abort()
        server.pre_shutdown()
        await server.shutdown(CLOSE_SECONDS)

    # ---- strangers

    def arrived(self, connection: _Connection) -> None:
        if len(self._strangers) >= STRANGERS_MAX:
            next(iter(self._strangers)).abort()
        loop = asyncio.get_running_loop()
        self._strangers[connection] = loop.call_later(
            self._config.connect_seconds, connection.abort
        )

    def is_stranger(self, connection: _Connection) -> bool:
        return connection in self._strangers

    def no_stranger(self, connection: _Connection) -> None:
        """It is known now, or gone."""
        timer = self._strangers.pop(connection, None)
        if timer is not None:
            timer.cancel()

    # ---- the handshake

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        if request.method != "GET" or request.path != PEER_PATH:
            return _refusal(404)
        web_socket = web.WebSocketResponse(
            timeout=CLOSE_SECONDS,
            heartbeat=HEARTBEAT_SECONDS,
            compress=False,
            max_msg_size=self._config.message_bytes_max + 1,
        )
        if not web_socket.can_prepare(request).ok:
            return _refusal(400)
        web_socket.headers["Server"] = "perdure"
        connection = request.protocol
        assert isinstance(connection, _Connection)
        transport = request.transport
        if transport is None:
            raise ConnectionResetError("the connection is lost already")
        try:
            await web_socket.prepare(request)
        except ConnectionError:
            return _refusal(400)  # It has hung up. aiohttp cannot end what is not prepared.
        await self._greet(PeerSocket(web_socket, transport), connection, request.remote or "")
        return web_socket

    async def _greet(self, socket: PeerSocket, connection: _Connection, address: str) -> None:
        own = self._own()
        if own is None:
            await socket.close(CloseCode.NOT_YET)
            return
        challenge = new_challenge(own.name)
        try:
            await socket.send(encode_challenge(challenge))
            proof = decode_proof(await socket.receive())
        except (SocketClosed, OSError):
            await socket.cut()
            return
        except MalformedMessage as error:
            self._refusals.refused("", address, str(error)[:200])
            await socket.close(CloseCode.MALFORMED)
            return
        if not is_proven(own.secret, challenge, proof):
            self._refusals.refused(proof.name.node_id, address, "its proof of the secret is wrong")
            await socket.close(CloseCode.REFUSED)
            return
        self.no_stranger(connection)
        self._refusals.accepted(proof.name.node_id, address)
        welcome = encode_welcome(welcome_mac(own.secret, challenge, proof))
        await self._accept(socket, proof.name, welcome)


class _Connection(web.RequestHandler):
    """One connection, which tells the listener when it comes and goes."""

    __slots__ = ("_listener", "_received")

    def __init__(self, server: web.Server, listener: PeerListener) -> None:
        settings: dict[str, Any] = {
            "access_log": None,
            "logger": _log,
            "auto_decompress": False,
            "lingering_time": 0,
        }
        super().__init__(server, loop=asyncio.get_running_loop(), **settings)
        self._listener = listener
        self._received = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._listener.arrived(self)

    def data_received(self, data: bytes) -> None:
        if self._listener.is_stranger(self):
            self._received += len(data)
            if self._received > HANDSHAKE_BYTES_MAX:
                self.abort()
                return
        super().data_received(data)

    def connection_lost(self, exc: BaseException | None) -> None:
        self._listener.no_stranger(self)
        super().connection_lost(exc)

    def abort(self) -> None:
        self._listener.no_stranger(self)
        if self.transport is not None:
            self.transport.abort()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        if status < 500:
            return _refusal(400)
        super().handle_error(request, status, exc, message)  # Which logs it.
        return _refusal(status)


def _refusal(status: int) -> web.Response:
    """Nothing for a browser, a scanner, or a curious client."""
    response = web.Response(status=status, headers={"Server": "perdure"})
    response.force_close()
    return response
