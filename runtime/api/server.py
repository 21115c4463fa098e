"""The HTTP API on a socket. An owner module."""

from __future__ import annotations

import asyncio
import logging
import resource
from contextlib import AsyncExitStack
from types import TracebackType

from aiohttp import web

from perdure.runtime.api.app import Dispatcher
from perdure.runtime.api.connection import Connection, new_request
from perdure.runtime.api.ports import ApiNode

HEAD_LINE_BYTES_MAX = 8190
BACKLOG = 1024
LINGER_SECONDS = 2.0
FILES_KEPT = 64
"""File descriptors that connections must leave over, for the database and the user's code."""


class _BrokenBodies(logging.Filter):
    """Drops what aiohttp logs, with a traceback, about a body that broke off after its answer."""

    def filter(self, record: logging.LogRecord) -> bool:
        return not (record.exc_info and isinstance(record.exc_info[1], web.RequestPayloadError))


_log = logging.getLogger(__name__)
_log.addFilter(_BrokenBodies())


class ApiServer:
    """Owns the listening socket and its connections, from enter to exit.

    Leaving it, or `close`, stops listening at once and gives requests under way `drain_seconds`.
    Unless `is_open` it has its address when it is entered, and takes connections from `open` on.
    """

    def __init__(self, node: ApiNode, *, is_open: bool = True) -> None:
        self._config = node.api_config
        self._is_open = is_open
        self.connections_max = _connections_max(self._config.connections_max)
        self._dispatcher = Dispatcher(node)
        self._open = AsyncExitStack()
        self._listening: asyncio.Server | None = None
        self._url: str | None = None

    @property
    def url(self) -> str:
        """Where the API is, with the port that the socket really got."""
        assert self._url is not None
        return self._url

    async def __aenter__(self) -> ApiServer:
        config = self._config
        manager = web.Server(self._dispatcher.dispatch, request_factory=new_request)
        async with AsyncExitStack() as undo:
            undo.push_async_callback(self._drain, manager)
            listening = await asyncio.get_running_loop().create_server(
                lambda: self._connection(manager),
                config.host,
                config.port,
                backlog=BACKLOG,
                reuse_port=config.reuse_port or None,
                start_serving=self._is_open,
            )
            undo.callback(listening.close)
            self._open = undo.pop_all()
        self._listening = listening
        host, port = listening.sockets[0].getsockname()[:2]
        self._url = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    async def open(self) -> None:
        """Take connections."""
        assert self._listening is not None
        await self._listening.start_serving()

    async def close(self) -> None:
        """What leaving does; done twice, it is done once."""
        await self._open.aclose()

    def _connection(self, manager: web.Server) -> Connection:
        return Connection(
            manager,
            self.connections_max,
            access_log=None,
            logger=_log,
            # Also the time that a connection has for its next whole head (slowloris).
            keepalive_timeout=self._config.idle_seconds_max,
            max_line_size=HEAD_LINE_BYTES_MAX,
            max_field_size=HEAD_LINE_BYTES_MAX,
            lingering_time=LINGER_SECONDS,
            # A compressed body is refused; it must not be unpacked before that.
            auto_decompress=False,
        )

    async def _drain(self, manager: web.Server) -> None:
        """Close what is idle, and give the rest its time."""
        await asyncio.sleep(0)  # What has just arrived is still to be answered.
        manager.pre_shutdown()
        # aiohttp takes it twice: until it stops waiting for a body, and until it stops waiting for
        # the handler. 0 would be for ever.
        await manager.shutdown(max(self._config.drain_seconds / 2, 0.01))

    def __repr__(self) -> str:
        return f"<ApiServer {self._url or 'not listening'}>"


def _connections_max(wanted: int) -> int:
    """No more than this process has file descriptors for: beyond them, nothing works at all."""
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if files == resource.RLIM_INFINITY:
        return wanted
    return max(1, min(wanted, files - FILES_KEPT))
