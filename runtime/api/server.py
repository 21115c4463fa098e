"""The HTTP API on a socket. An owner module."""

from __future__ import annotations

import logging
from contextlib import AsyncExitStack
from types import TracebackType

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from perdure.runtime.api.app import Dispatcher
from perdure.runtime.api.ports import ApiNode

HEAD_LINE_BYTES_MAX = 8190
BACKLOG = 1024
LINGER_SECONDS = 2.0


class _Scans(logging.Filter):
    """Drops what aiohttp logs, with a traceback, about every client that does not speak HTTP."""

    def filter(self, record: logging.LogRecord) -> bool:
        return not (record.exc_info and isinstance(record.exc_info[1], HttpProcessingError))


_log = logging.getLogger(__name__)
_log.addFilter(_Scans())


class ApiServer:
    """Owns the listening socket and its connections, from enter to exit.

    Leaving it stops listening at once and gives requests under way `drain_seconds`.
    """

    def __init__(self, node: ApiNode) -> None:
        self._config = node.api_config
        self._dispatcher = Dispatcher(node)
        self._open = AsyncExitStack()
        self._url: str | None = None

    @property
    def url(self) -> str:
        """Where the API is, with the port that the socket really got."""
        assert self._url is not None
        return self._url

    async def __aenter__(self) -> ApiServer:
        config = self._config
        server = web.Server(
            self._dispatcher.dispatch,
            access_log=None,
            logger=_log,
            # Also the time that a connection has for its next whole head (slowloris).
            keepalive_timeout=config.idle_seconds_max,
            max_line_size=HEAD_LINE_BYTES_MAX,
            max_field_size=HEAD_LINE_BYTES_MAX,
            lingering_time=LINGER_SECONDS,
            # A compressed body is refused; it must not be unpacked before that.
            auto_decompress=False,
        )
        runner = web.ServerRunner(server, shutdown_timeout=config.drain_seconds)
        async with AsyncExitStack() as undo:
            undo.push_async_callback(runner.cleanup)
            await runner.setup()
            await web.TCPSite(runner, config.host, config.port, backlog=BACKLOG).start()
            self._open = undo.pop_all()
        host, port = runner.addresses[0][:2]
        self._url = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._open.aclose()

    def __repr__(self) -> str:
        return f"<ApiServer {self._url or 'not listening'}>"
