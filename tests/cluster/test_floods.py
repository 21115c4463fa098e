"""More than the nodes can take: refused beyond a bound, and nothing that was accepted is lost."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

import aiohttp

import perdure
from perdure.actors.committer import Committer
from perdure.actors.errors import MailboxFull
from perdure.actors.host import ActorHost
from perdure.runtime.node import Node
from tests.cluster.nodes import PATIENCE, Nodes, in_time, output

FLOOD = 400
BOUND = 20
BACKLOG = 10
INSTANCES, WIDTH = 80, 3
SMALL: dict[str, Any] = {
    "calls_max": BOUND,
    "mailbox_limit": BOUND,
    "activity_concurrency": 5,
    "live_actors_max": 50,
}
TYPE = {"Content-Type": "application/json"}


@perdure.activity
async def double(n: int) -> int:
    return 2 * n


@perdure.workflow
async def twice(ctx: perdure.WorkflowContext, n: int) -> Any:
    return await ctx.call_activity("double", input=n)


@perdure.workflow
async def echo(ctx: perdure.WorkflowContext, n: int) -> int:
    return n


APP: list[Any] = [double, twice, echo]


class Peaks:
    """How much waited at most on any node, looked at whenever something more comes to wait."""

    def __init__(self) -> None:
        self.calls = 0
        self.units = 0
        self.live = 0
        self.activities = 0


@contextmanager
def watched(nodes: list[Node]) -> Iterator[Peaks]:
    peaks, deliver, submit = Peaks(), ActorHost.deliver, Committer.submit

    def watching(host: ActorHost, *args: Any, **kwargs: Any) -> None:
        deliver(host, *args, **kwargs)
        peaks.calls = max(peaks.calls, host._calls)
        peaks.live = max(peaks.live, host.live)
        waiting = [node.engine.tenure.activities.waiting for node in nodes]
        peaks.activities = max(peaks.activities, *waiting)

    def submitting(committer: Committer, *args: Any) -> None:
        submit(committer, *args)
        peaks.units = max(peaks.units, committer.backlog)

    with (
        mock.patch.object(ActorHost, "deliver", watching),
        mock.patch.object(Committer, "submit", submitting),
    ):
        yield peaks


async def test_a_flood_over_http_is_refused_beyond_a_bound_and_what_is_accepted_completes(
    nodes: Nodes,
) -> None:
    all_nodes = [await nodes.start(APP, http=True, **SMALL) for _ in range(2)]
    await nodes.balanced()
    answers: Counter[int] = Counter()
    accepted: list[int] = []

    async def start(client: aiohttp.ClientSession, n: int) -> None:
        """Every id by the wrong node as often as by the right one; refused, once more later."""
        url = f"{all_nodes[n % 2].url}/v1.0/workflows/dapr/twice/start?instanceID=f{n}"
        while True:
            async with client.post(url, data=str(n), headers=TYPE) as response:
                answers[response.status] += 1
                if response.status == 202:
                    accepted.append(n)
                    return
                body = await response.json()
                assert response.status == 429, body
                assert "waiting" in body["message"] or "waits" in body["message"]
                await asyncio.sleep(int(response.headers["Retry-After"]) / 100)

    with watched(all_nodes) as peaks:
        limits = aiohttp.TCPConnector(limit=0)
        async with aiohttp.ClientSession(connector=limits) as client, asyncio.timeout(PATIENCE):
            await asyncio.gather(*(start(client, n) for n in range(FLOOD)))
        for n in accepted:
            assert await output(all_nodes[0], f"f{n}") == str(2 * n)
    assert sorted(accepted) == list(range(FLOOD))
    assert answers[429] > 0
    assert peaks.calls <= BOUND


async def test_a_flood_of_starts_in_process_is_refused_too_and_lets_go_again(nodes: Nodes) -> None:
    one, other = await nodes.start_all(2, APP, **SMALL)

    async def start(n: int) -> str | None:
        try:
            return await (one, other)[n % 2].service.start("echo", str(n), instance_id=f"f{n}")
        except MailboxFull:
            return None

    with watched([one, other]) as peaks:
        started = await in_time(asyncio.gather(*(start(n) for n in range(FLOOD))))
    assert 0 < peaks.units <= BOUND  # No more turns wait for the disk than calls for an answer.
    refused = [n for n, id_ in enumerate(started) if id_ is None]
    assert 0 < len(refused) < FLOOD
    for n in refused:  # Refused is not half done: nothing stands in the way of a second try.
        await one.service.start("echo", str(n), instance_id=f"f{n}")
    for n in range(FLOOD):
        assert await output(other, f"f{n}") == str(n)


async def test_what_waits_for_its_turn_waits_in_the_database(nodes: Nodes) -> None:
    gate = asyncio.Event()

    @perdure.activity
    async def gated(n: int) -> int:
        await gate.wait()
        return n

    @perdure.workflow
    async def fan(ctx: perdure.WorkflowContext, width: int) -> int:
        calls = [ctx.call_activity("gated", input=n) for n in range(width)]
        return sum(await perdure.when_all(calls))

    settings = SMALL | {"activity_backlog_max": BACKLOG}
    all_nodes = await nodes.start_all(2, [gated, fan], **settings)
    ids = [f"f{n}" for n in range(INSTANCES)]
    with watched(all_nodes) as peaks:
        for id_ in ids:
            await all_nodes[0].service.start("fan", str(WIDTH), instance_id=id_)
        gate.set()
        for id_ in ids:
            assert await output(all_nodes[1], id_) == str(sum(range(WIDTH)))
    assert 0 < peaks.activities <= BACKLOG
    assert peaks.live <= SMALL["live_actors_max"]
