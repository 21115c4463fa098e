"""One client's connection: what it needs beyond aiohttp's own. An edge module.

What is no HTTP is answered as JSON, a body that breaks off is told to whoever reads it, and a
handler that does nothing but wait goes with its client.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast

from aiohttp import StreamReader, hdrs, web
from aiohttp.abc import AbstractStreamWriter
from aiohttp.http_exceptions import HttpProcessingError

from perdure.runtime.api.call import MALFORMED, Call, answer_refusal
from perdure.runtime.api.errors import Refusal

FULL = Refusal(
    503,
    "ERR_TOO_MANY_CONNECTIONS",
    "this node has as many connections as it takes",
    {"Retry-After": "1", "Connection": "close"},
)


class Connection(web.RequestHandler):
    """One more connection of `manager`, whose `request_factory` must be `new_request`."""

    __slots__ = ("_connections_max", "_peers", "body", "waiting")

    def __init__(self, manager: web.Server, connections_max: int, **settings: Any) -> None:
        super().__init__(manager, loop=asyncio.get_running_loop(), **settings)
        self._peers = manager
        self._connections_max = connections_max
        self.body: StreamReader | None = None
        """Of the request that is being answered."""
        self.waiting: asyncio.Task[Any] | None = None
        """A handler that nobody needs any more when the client is gone."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        if len(self._peers.connections) < self._connections_max:
            super().connection_made(transport)
            return
        # Whatever it was going to ask: a node that is full must not even read it.
        # Not asked by `isinstance`: uvloop's transports are of no class of asyncio.
        refused = cast(asyncio.WriteTransport, transport)
        refused.write(_as_bytes(FULL))
        refused.close()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self.check_body()

    def check_body(self) -> None:
        """Let the handler know if the rest of the body that it waits for cannot come.

        The parser reports that as if it were the next request, which is looked at only after this
        one. A true next request is found only when the body before it is complete.
        """
        if self._messages and self.body is not None and not self.body.is_eof():
            self.body.set_exception(web.RequestPayloadError("the body is not well-formed"))

    def connection_lost(self, exc: BaseException | None) -> None:
        super().connection_lost(exc)
        if self.waiting is not None:
            self.waiting.cancel()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        if not isinstance(exc, HttpProcessingError):
            return super().handle_error(request, status, exc, message)
        problem = (message or "").partition("\n")[0].rstrip(":") or "it is no HTTP"
        text = f"the request cannot be read: {problem}"
        return answer_refusal(Refusal(status, MALFORMED, text, {"Connection": "close"}))


def new_request(
    message: Any,
    body: StreamReader,
    connection: web.RequestHandler,
    writer: AbstractStreamWriter,
    task: asyncio.Task[None],
) -> web.BaseRequest:
    """aiohttp's request factory."""
    assert isinstance(connection, Connection)
    connection.body = body
    connection.check_body()
    return web.BaseRequest(message, body, connection, writer, task, asyncio.get_running_loop())


@contextmanager
def given_up_with_the_client(call: Call) -> Iterator[None]:
    """Cancel the handler if its client goes. Only for what changes nothing.

    In another program's server, that server decides what becomes of such a handler.
    """
    connection = call.request.protocol
    if not isinstance(connection, Connection):
        yield
        return
    connection.waiting = asyncio.current_task()
    assert connection.waiting is not None
    if connection.transport is None:
        connection.waiting.cancel()
    try:
        yield
    finally:
        connection.waiting = None


def _as_bytes(refusal: Refusal) -> bytes:
    body = refusal.body()
    headers = {
        "Server": "perdure",
        hdrs.CONTENT_TYPE: "application/json",
        hdrs.CONTENT_LENGTH: str(len(body)),
        **refusal.headers,
    }
    lines = [f"HTTP/1.1 {refusal.status} Service Unavailable"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode() + body
