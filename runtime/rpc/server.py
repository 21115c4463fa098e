"""The gRPC server on its port. An owner module."""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Mapping
from contextlib import suppress
from types import TracebackType
from typing import Any

import grpc.aio

from perdure.runtime.rpc.calls import Calls
from perdure.runtime.rpc.listening import HeldPort
from perdure.runtime.rpc.methods import Methods
from perdure.runtime.rpc.ports import RpcConfig

QUIET_MS = 20_000
"""After so long without a sound from a client it is asked whether it is still there."""
ANSWER_MS = 10_000
"""How long it may take to answer that."""
DECISION_SIZE = 4
"""A worker's decision may be so many times as long as any other request: one turn may call
thousands of activities, and a worker that is refused gives up."""
LEAVE_SECONDS = 0.5
"""How long clients may take to go, once all of them have been answered."""
PING_EVERY_MS = 5_000
"""How often clients may ping without calls; Dapr's do it every 30 s, gRPC would allow 5 min."""


class RpcServer:
    """Owns the port and the calls on it, from enter to exit.

    Entered, it has its address, and the port is its own; it takes calls from `open` on. Leaving it,
    or `close`, takes no more calls, breaks off the streams and those that wait, and gives the rest
    `drain_seconds`.

    Args:
        config: Its settings.
        services: The methods of each service, by the full name of the service.

    Raises, on entering:
        OSError: The port is in use.
    """

    def __init__(self, config: RpcConfig, services: Mapping[str, Methods]) -> None:
        self._config = config
        self._calls = Calls(
            services,
            tokens=config.tokens,
            calls_max=config.connections_max,
            request_bytes_max=config.message_bytes_max,
        )
        self._held: HeldPort | None = None
        self._server: Any = None  # The types of grpc.aio lack half of it.
        self._address: str | None = None

    @property
    def address(self) -> str:
        """Where the server is, `host:port`, with the port that it really has."""
        assert self._address is not None
        return self._address

    async def __aenter__(self) -> RpcServer:
        config = self._config
        self._held = HeldPort(config.host, config.port, shared=config.reuse_port)
        self._address = self._held.addresses[0]
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    async def open(self) -> None:
        """Take calls."""
        assert self._held is not None
        server = grpc.aio.server(options=_options(self._config))
        server.add_generic_rpc_handlers([self._calls])

        def listen(address: str) -> None:
            try:
                server.add_insecure_port(address)
            except RuntimeError as problem:
                # gRPC does not say why; the address was there, so somebody has taken it since.
                host, _, port = address.rpartition(":")
                where = (host.strip("[]"), int(port))
                text = f"error while attempting to bind on address {where!r}: {problem}"
                raise OSError(errno.EADDRINUSE, text) from problem

        self._held.hand_over(listen)
        await server.start()
        self._server = server

    async def close(self) -> None:
        """What leaving does; done twice, it is done once."""
        self._calls.close()
        if self._held is not None:
            self._held.close()
        if self._server is None:
            return
        async with asyncio.TaskGroup() as group:
            # This refuses connections at once. It ends when the last client is gone; but one that
            # is suspended, or whose machine is off, takes no leave, and nothing of it is running.
            group.create_task(self._server.stop(self._config.drain_seconds))
            with suppress(TimeoutError):
                async with asyncio.timeout(self._config.drain_seconds):
                    await self._calls.ended()
            await self._server.stop(min(LEAVE_SECONDS, self._config.drain_seconds))

    def __repr__(self) -> str:
        return f"<RpcServer {self._address or 'not listening'}>"


def _options(config: RpcConfig) -> list[tuple[str, Any]]:
    return [
        ("grpc.so_reuseport", int(config.reuse_port)),
        ("grpc.max_receive_message_length", DECISION_SIZE * config.message_bytes_max),
        ("grpc.max_send_message_length", -1),
        # Of one address, and not in gRPC's documentation, but in its code and in our tests.
        ("grpc.max_allowed_incoming_connections", config.connections_max),
        # A client may ping us.
        ("grpc.http2.min_ping_interval_without_data_ms", PING_EVERY_MS),
        ("grpc.http2.max_ping_strikes", 0),
        ("grpc.keepalive_permit_without_calls", 1),
        # We ping a client: of a worker whose machine is gone, nothing else would ever be heard.
        ("grpc.keepalive_time_ms", QUIET_MS),
        ("grpc.keepalive_timeout_ms", ANSWER_MS),
        # By itself the former is not heeded, and the answer waited for a minute (gRPC 1.85).
        ("grpc.http2.ping_timeout_ms", ANSWER_MS),
        ("grpc.http2.max_pings_without_data", 0),
    ]
