"""Nodes that are nothing but their links, and what stands or speaks between them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from types import TracebackType
from typing import Any

from perdure.placement.membership import NodeIdentity, NodeRecord, NodeState
from perdure.placement.ports import Answer
from perdure.runtime.api.peers.config import PeerConfig
from perdure.runtime.api.peers.dialer import Dialer
from perdure.runtime.api.peers.handshake import Credentials, PeerName
from perdure.runtime.api.peers.links import PeerLinks
from perdure.runtime.api.peers.socket import PeerSocket, SocketClosed

SECRET = "known to all nodes"
PATIENCE = 20.0
"""Seconds; only a limit for what hangs."""


def record(
    name: PeerName, address: str, generation: int = 1, state: NodeState = NodeState.UP
) -> NodeRecord:
    identity = NodeIdentity(
        node_id=name.node_id,
        incarnation=name.incarnation,
        app_id="shop",
        address="",
        pid=0,
        started=0,
        boot_id="",
        peer_address=address,
    )
    return NodeRecord(identity=identity, generation=generation, heartbeat=0, state=state)


class Kept(logging.Handler):
    """Log records, to be read."""

    def __init__(self) -> None:
        super().__init__()
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)

    def of(self, event: str) -> list[logging.LogRecord]:
        return [kept for kept in self.records if getattr(kept, "event", "") == event]


class PeerNode:
    """Answers `re:` and the request, unless it is told to hold answers back."""

    def __init__(self, node_id: str, generation: int = 1, **config: Any) -> None:
        self.name = PeerName(node_id, f"{node_id}-{generation}")
        self.generation = generation
        self.received: list[bytes] = []
        self.told: list[bytes] = []
        self.holds = False
        self.held: list[Answer] = []
        self.log = Kept()
        log = logging.Logger(node_id, logging.INFO)
        log.addHandler(self.log)
        self.links = PeerLinks(PeerConfig(**config), self._receive, log)

    @property
    def record(self) -> NodeRecord:
        return record(self.name, self.links.address, self.generation)

    def _receive(self, request: bytes, answer: Answer | None) -> None:
        if answer is None:
            self.told.append(request)
            return
        self.received.append(request)
        if self.holds:
            self.held.append(answer)
        else:
            answer(b"re:" + request)

    def join(self, *others: PeerNode, secret: str = SECRET) -> None:
        """Become a member that sees `others`."""
        self.links.admit(*self.name, secret)
        self.links.adopt([self.record, *(other.record for other in others)])

    async def ask(self, other: PeerNode, request: bytes) -> bytes:
        return await self.links.call(other.record, request, PATIENCE)

    async def __aenter__(self) -> PeerNode:
        await self.links.__aenter__()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.links.__aexit__(kind, error, trace)


@asynccontextmanager
async def pair(**config: Any) -> AsyncIterator[tuple[PeerNode, PeerNode]]:
    """An old node and a newcomer, linked."""
    async with PeerNode("old", 1, **config) as old, PeerNode("new", 2, **config) as new:
        old.join(new)
        new.join(old)
        await until(lambda: linked(old) and linked(new))
        yield old, new


def linked(node: PeerNode, links: int = 1) -> bool:
    return node.links.statistics().links_open == links


async def until(reached: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not reached():  # noqa: ASYNC110  # Sockets of other tasks: nothing tells.
            await asyncio.sleep(0.001)


class Proxy:
    """Stands before a node's listener, and can cut the connections through it."""

    def __init__(self, target: str) -> None:
        self._host, _, port = target.rpartition(":")
        self._port = int(port)
        self._server: asyncio.Server | None = None
        self._ends: list[asyncio.StreamWriter] = []
        self.address = ""
        self.connections = 0

    async def __aenter__(self) -> Proxy:
        self._server = await asyncio.start_server(self._forward, "127.0.0.1", 0)
        host, port = self._server.sockets[0].getsockname()
        self.address = f"{host}:{port}"
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._server is not None
        self._server.close()
        self.cut()
        await until(lambda: not self._ends)

    def cut(self) -> None:
        for end in self._ends:
            end.transport.abort()

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        onwards_reader, onwards = await asyncio.open_connection(self._host, self._port)
        ends = [writer, onwards]
        self._ends += ends
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(_pump(reader, onwards))
                group.create_task(_pump(onwards_reader, writer))
        finally:
            for end in ends:
                self._ends.remove(end)


async def _pump(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    try:
        while data := await source.read(1 << 16):
            target.write(data)
            await target.drain()
    except OSError:
        pass
    target.transport.abort()


@asynccontextmanager
async def dialled(
    node: PeerNode, name: str = "rogue", secret: str = SECRET
) -> AsyncIterator[PeerSocket]:
    """An authenticated connection to a node, on which anything can be said."""
    async with Dialer(PeerConfig()) as dialer:
        own = Credentials(PeerName(name, f"{name}-1"), secret)
        socket = await dialer.dial(node.links.address, node.name, own)
        try:
            yield socket
        finally:
            await socket.cut()


async def closed(socket: PeerSocket) -> int | None:
    """Read until the other end closes; with which code."""
    async with asyncio.timeout(PATIENCE):
        while True:
            try:
                await socket.receive()
            except SocketClosed as error:
                return error.code
