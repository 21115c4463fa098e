"""SIGTERM while a hundred clients wait for answers: each gets a true one, or none."""

from __future__ import annotations

import asyncio
import itertools
import json
import signal
from dataclasses import dataclass, field
from textwrap import dedent
from typing import Any

import aiohttp

from tests.e2e.conftest import Perdure as Command
from tests.e2e.conftest import Served

CLIENTS = 100
APP = """
import perdure

@perdure.workflow
async def collects(ctx, _=None):
    first = await ctx.wait_for_external_event("first")
    return [first, await ctx.wait_for_external_event("second")]
"""


@dataclass
class Answers:
    """What the clients were told, until the node took no more connections."""

    started: set[str] = field(default_factory=set)
    raised: set[str] = field(default_factory=set)
    refusals: list[tuple[int, dict[str, Any]]] = field(default_factory=list)
    hung_up: int = 0
    enough: asyncio.Event = field(default_factory=asyncio.Event)

    async def client(self, session: aiohttp.ClientSession, base: str, name: int) -> None:
        """Start one instance after the other, and raise an event on each."""
        for number in itertools.count():
            instance_id = f"{name}-{number}"
            started = await self._post(session, f"{base}/collects/start?instanceID={instance_id}")
            if started is None:
                return
            if started:
                self.started.add(instance_id)
                raised = await self._post(session, f"{base}/{instance_id}/raiseEvent/first")
                if raised is None:
                    return
                if raised:
                    self.raised.add(instance_id)
            if len(self.raised) >= 2 * CLIENTS:
                self.enough.set()

    async def _post(self, session: aiohttp.ClientSession, url: str) -> bool | None:
        """Whether it was done; None if the node hung up or was not there any more.

        A body that breaks off is an error: whoever gets a head gets the whole answer.
        """
        try:
            async with session.post(url, data=b"1") as response:
                said = await response.read()
        except aiohttp.ClientConnectionError:
            self.hung_up += 1
            return None
        told = json.loads(said)
        assert response.content_type == "application/json"
        if response.status == 202:
            return True
        self.refusals.append((response.status, told))
        return False


async def load(served: Served, answers: Answers) -> None:
    base = f"{served.url}/v1.0/workflows/dapr"
    connector = aiohttp.TCPConnector(limit=0)
    async with (
        aiohttp.ClientSession(connector=connector) as session,
        asyncio.TaskGroup() as group,
    ):
        for name in range(CLIENTS):
            group.create_task(answers.client(session, base, name))
        await answers.enough.wait()
        served.signal(signal.SIGTERM)


async def stored(served: Served) -> dict[str, dict[str, Any]]:
    """All instances that there are, by id."""
    found: dict[str, dict[str, Any]] = {}
    cursor = ""
    async with aiohttp.ClientSession() as session:
        while True:
            url = f"{served.url}/v1.0/workflows/dapr?limit=1000{cursor}"
            async with session.get(url) as response:
                page = await response.json()
            found |= {one["instanceID"]: one for one in page["instances"]}
            if "cursor" not in page:
                return found
            cursor = f"&cursor={page['cursor']}"


async def finish(served: Served, instance_ids: set[str]) -> set[str]:
    """Raise the second event on these; returns the ids of those whose first one was there."""
    complete = set()
    async with aiohttp.ClientSession(f"{served.url}/v1.0/workflows/dapr/") as session:
        for instance_id in instance_ids:
            async with session.post(f"{instance_id}/raiseEvent/second", data=b"2") as response:
                assert response.status == 202
            async with session.get(f"{instance_id}?wait=completed") as response:
                output = (await response.json())["properties"].get("dapr.workflow.output")
            if output == "[1,2]":
                complete.add(instance_id)
    return complete


async def test_what_was_acknowledged_while_the_node_stopped_is_there(perdure: Command) -> None:
    (perdure.place / "app.py").write_text(dedent(APP))
    served = perdure.serve("app.py")
    answers = Answers()
    await load(served, answers)
    code, said = served.ended()
    assert code == 0, said
    assert "Traceback" not in said
    assert answers.hung_up == CLIENTS
    for status, told in answers.refusals:
        assert (status, set(told)) == (503, {"errorCode", "message"})
        assert "shutting down" in told["message"]
    again = perdure.serve("app.py")
    there = await stored(again)
    assert answers.started <= set(there)
    assert {one["runtimeStatus"] for one in there.values()} == {"RUNNING"}
    last = {f"{name}-{max(numbers)}" for name, numbers in _by_client(answers.raised).items()}
    assert await finish(again, last) == last


def _by_client(instance_ids: set[str]) -> dict[str, list[int]]:
    """The numbers of the instances of each client."""
    numbers: dict[str, list[int]] = {}
    for instance_id in instance_ids:
        name, _, number = instance_id.partition("-")
        numbers.setdefault(name, []).append(int(number))
    return numbers
