"""A TCP line between a gRPC client and a server, which a test may watch, and let fall silent."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

PING, GOAWAY, ACK = 6, 7, 1
_PREFACE = len(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")


class Line:
    """Passes on what both sides say, and counts HTTP/2's frames by their kind."""

    def __init__(self, server: str) -> None:
        self._host, _, port = server.rpartition(":")
        self._port = int(port)
        self.connections = 0
        self.from_client: Counter[int] = Counter()
        self.from_server: Counter[int] = Counter()
        """Frames so far; acknowledgements of pings are not among them."""
        self.is_silent = False
        """Nothing that the client says arrives any more, and no connection ends."""
        self._changed = asyncio.Event()

    async def until_pings(self, count: int, side: Counter[int]) -> None:
        """Until that side has pinged so often; gRPC does it once a second at most."""
        while side[PING] < count:
            self._changed.clear()
            await self._changed.wait()

    async def connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        there, to_server = await asyncio.open_connection(self._host, self._port)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._carry(reader, to_server, self.from_client, _PREFACE))
                group.create_task(self._carry(there, writer, self.from_server, 0))
        finally:
            for end in (writer, to_server):
                end.close()

    async def _carry(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        seen: Counter[int],
        preface: int,
    ) -> None:
        try:
            writer.write(await reader.readexactly(preface))
            while True:
                head = await reader.readexactly(9)
                body = await reader.readexactly(int.from_bytes(head[:3], "big"))
                kind, flags = head[3], head[4]
                if kind != PING or not flags & ACK:
                    seen[kind] += 1
                self._changed.set()
                if not (self.is_silent and seen is self.from_client):
                    writer.write(head + body)
                    await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()


@asynccontextmanager
async def line_to(server: str) -> AsyncIterator[tuple[Line, str]]:
    """A line to a server's address, and the address at which it is taken up."""
    line = Line(server)
    async with asyncio.TaskGroup() as group:
        taken: list[asyncio.Task[None]] = []
        listener = await asyncio.start_server(
            lambda *ends: taken.append(group.create_task(line.connect(*ends))), "127.0.0.1", 0
        )
        host, port = listener.sockets[0].getsockname()[:2]
        try:
            yield line, f"{host}:{port}"
        finally:
            listener.close()
            for task in taken:
                task.cancel()
