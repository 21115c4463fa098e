"""What the tests of the HTTP API know of the node under test: an address and ways to prepare it.

The tables of `tests/http` run against anything that provides this: a fake, or the real node.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Protocol

import aiohttp
from yarl import URL


class Scenarios(Protocol):
    """Makes an instance of this id that is in a certain state, of a workflow named `order` with the
    input `{"item":1}`."""

    async def running(self, instance_id: str) -> None:
        """Waits for something that does not come by itself."""

    async def pending(self, instance_id: str) -> None: ...

    async def suspended(self, instance_id: str) -> None: ...

    async def completed(self, instance_id: str) -> None:
        """With the output `"done"`."""

    async def failed(self, instance_id: str) -> None:
        """With a `ValueError` of the text `no stock`."""

    async def terminated(self, instance_id: str) -> None: ...

    async def stalled(self, instance_id: str) -> str:
        """Returns the reason."""
        ...

    async def complete(self, instance_id: str) -> None:
        """Let the running instance of this id complete."""


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP answer, whole."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        assert self.headers["Content-Type"] == "application/json"
        return json.loads(self.body)

    @property
    def error(self) -> tuple[int, str, str]:
        """Status, error code and message; the body holds nothing else."""
        assert set(self.json) == {"errorCode", "message"}
        return self.status, self.json["errorCode"], self.json["message"]


@dataclass(frozen=True, slots=True)
class Server:
    """A node under test, reached over a real socket."""

    url: str
    given: Scenarios
    session: aiohttp.ClientSession

    async def send(
        self,
        method: str,
        target: str,
        body: bytes | str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """Send a request whose target is taken as it stands, without any normalising."""
        url = URL(self.url + target, encoded=True)
        data = body.encode() if isinstance(body, str) else body
        async with self.session.request(method, url, data=data, headers=headers) as response:
            return Answer(response.status, dict(response.headers), await response.read())

    async def get(self, target: str, headers: Mapping[str, str] | None = None) -> Answer:
        return await self.send("GET", target, headers=headers)

    async def post(
        self,
        target: str,
        body: bytes | str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        return await self.send("POST", target, body, headers)

    async def raw(self, content: bytes) -> bytes:
        """Send these bytes and read one answer; it is empty if the node hangs up without one."""
        address = URL(self.url)
        reader, writer = await asyncio.open_connection(address.host, address.port)
        try:
            writer.write(content)
            await writer.drain()
            head = await reader.readuntil(b"\r\n\r\n")
            length = re.search(rb"content-length: *(\d+)", head, re.IGNORECASE)
            return head + await reader.readexactly(int(length[1]) if length else 0)
        except asyncio.IncompleteReadError as error:
            return error.partial
        except ConnectionError:
            return b""
        finally:
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()
