"""Planned moves: nodes that are drained and nodes that join, while everybody goes on working.

Callers see delay, never an error, and never a doubled or a lost effect. What happens if a node
stops in the midst of it is left to the simulator and to the chaos rounds.
"""

from __future__ import annotations

import asyncio
import itertools
import json
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import aiohttp

import perdure
from perdure.runtime.node import App, Node
from perdure.runtime.workflow import history as h
from perdure.runtime.workflow.errors import InstanceExists
from tests.cluster.nodes import PATIENCE, Nodes, finished, in_time, output, until

BASE = "/v1.0/workflows/dapr"


class Shop:
    """An app, and what it has done on all nodes. An activity takes so many seconds."""

    def __init__(self, seconds: float = 0.0) -> None:
        self.runs: Counter[tuple[str, int]] = Counter()
        self.seconds = seconds

    def app(self) -> App:
        @perdure.activity
        async def double(ctx: perdure.ActivityContext, number: int) -> int:
            self.runs[ctx.workflow_id, ctx.task_id] += 1
            await asyncio.sleep(self.seconds)
            return 2 * number

        @perdure.workflow
        async def order(ctx: perdure.WorkflowContext, number: int) -> list[Any]:
            first = await ctx.call_activity(double, input=number)
            said = await ctx.wait_for_external_event("go")
            return [await ctx.call_activity(double, input=first), said]

        @perdure.workflow
        async def collector(ctx: perdure.WorkflowContext, _: Any) -> list[Any]:
            seen: list[Any] = []
            while (said := await ctx.wait_for_external_event("news")) is not None:
                seen.append(said)
            return seen

        @perdure.workflow
        async def patient(ctx: perdure.WorkflowContext, given: Any) -> Any:
            await ctx.call_activity(double, input=1)
            await ctx.wait_for_external_event("go")
            return given

        return [double, order, collector, patient]


@asynccontextmanager
async def meanwhile(work: Callable[[asyncio.Event], Any], count: int) -> AsyncIterator[None]:
    """So many of `work(is_over)` beside the block; they end when its end is told to them."""
    is_over = asyncio.Event()
    async with asyncio.timeout(PATIENCE), asyncio.TaskGroup() as group:
        for _ in range(count):
            group.create_task(work(is_over))
        yield
        is_over.set()


# ---- a rolling restart


class Callers:
    """Clients of all nodes. One that is refused tries again when it was told to, elsewhere."""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self.doors: list[str] = []
        """The nodes that may be called: those that are just being stopped too."""
        self.served: dict[str, list[Any]] = {}
        self._session = session
        self._turn = itertools.count()
        self._numbers = itertools.count()

    async def ask(self, method: str, path: str, key: str, body: Any = None) -> Any:
        """The answer; raises for everything but a success."""
        while True:
            door = self.doors[next(self._turn) % len(self.doors)]
            try:
                async with self._session.request(
                    method, f"{door}{BASE}/{path}", json=body, headers={"Idempotency-Key": key}
                ) as response:
                    if response.status not in (429, 503):
                        assert response.status in (200, 202), await response.text()
                        return await response.json()
                    pause = float(response.headers["Retry-After"])
            except aiohttp.ClientConnectionError:
                pause = 0.0  # It is gone; a balancer would know.
            await asyncio.sleep(pause)

    async def are_served(self) -> None:
        """Wait until further ones have been."""
        before = len(self.served)
        await until(lambda: len(self.served) > before, "callers are served")

    async def work(self, is_over: asyncio.Event) -> None:
        while not is_over.is_set():
            number = next(self._numbers)
            id_ = f"c{number}"
            await self.ask("POST", f"order/start?instanceID={id_}", f"start {id_}", number)
            await self.ask("POST", f"{id_}/raiseEvent/go", f"go {id_}", id_)
            state: dict[str, Any] = {"runtimeStatus": "RUNNING"}
            while state["runtimeStatus"] == "RUNNING":
                state = await self.ask("GET", f"{id_}?wait=completed&timeout=30", "")
            self.served[id_] = [number, json.loads(state["properties"]["dapr.workflow.output"])]


async def test_a_rolling_restart_under_load_shows_no_error_to_callers_that_try_again(
    nodes: Nodes,
) -> None:
    shop = Shop(seconds=0.1)  # At every moment some are running.
    old = [await nodes.start(shop.app(), http=True) for _ in range(3)]
    await nodes.balanced()
    async with aiohttp.ClientSession() as session:
        callers = Callers(session)
        callers.doors = [str(node.url) for node in old]
        async with meanwhile(callers.work, 16):
            for name, node in list(nodes.up.items()):
                fresh = await nodes.start(shop.app(), http=True)
                callers.doors.append(str(fresh.url))
                await nodes.stop(name)
                callers.doors.remove(str(node.url))
                await nodes.balanced()
                await callers.are_served()
    assert set(nodes.up) == {"n4", "n5", "n6"}
    for id_, (number, result) in callers.served.items():
        assert result == [4 * number, id_]
    assert set(shop.runs.values()) == {1}
    assert len(shop.runs) == 2 * len(callers.served)


# ---- one id, two nodes


async def test_of_two_starts_of_one_id_at_once_one_succeeds_also_while_slots_move(
    nodes: Nodes,
) -> None:
    shop = Shop()
    one, other = await nodes.start_all(2, shop.app())
    winners: dict[str, str] = {}
    numbers = itertools.count()

    async def start(node: Node, id_: str, name: str) -> str | None:
        try:
            await node.service.start("patient", f'"{name}"', instance_id=id_)
        except InstanceExists:
            return None
        return name

    async def work(is_over: asyncio.Event) -> None:
        while not is_over.is_set():
            id_ = f"s{next(numbers)}"
            won = await asyncio.gather(start(one, id_, "one"), start(other, id_, "other"))
            assert sorted(name is None for name in won) == [False, True], won
            winners[id_] = next(name for name in won if name is not None)

    async with meanwhile(work, 4):
        await until(lambda: winners, "some have been started before")
        third = await nodes.start(shop.app())
        await nodes.balanced()
        before = len(winners)
        await until(lambda: len(winners) > before, "some have been started after")
        fourth = await nodes.start(shop.app())
        await nodes.stop(next(name for name, node in nodes.up.items() if node is third))
    for id_, name in winners.items():
        await fourth.service.raise_event(id_, "go")
        view = await finished(one, id_)
        assert (view.row.output, view.row.execution) == (f'"{name}"', 1)
    assert set(shop.runs.values()) == {1}
    assert len(shop.runs) == len(winners)


# ---- waiting, and events, by way of nodes that do not own it


async def test_who_waits_through_another_node_hears_of_the_end_wherever_it_happens(
    nodes: Nodes,
) -> None:
    shop = Shop()
    _, second, third = await nodes.start_all(3, shop.app())
    ids = nodes.ids_of(nodes.up["n1"], 6, "w")
    for id_ in ids:
        await second.service.start("patient", json.dumps(id_), instance_id=id_)

    async def polled(id_: str) -> str | None:
        """As a client does that only knows `get`."""
        while not (row := (await third.service.get(id_)).row).status.is_terminal:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        assert row.status is h.Status.COMPLETED
        return row.output

    async with asyncio.TaskGroup() as group:
        waits = [
            [
                group.create_task(ask)
                for ask in (output(second, id_), output(third, id_), polled(id_))
            ]
            for id_ in ids
        ]
        await second.service.raise_event(ids[0], "go")
        stopping = group.create_task(nodes.stop("n1"))
        for id_ in ids[1:3]:
            await third.service.raise_event(id_, "go")
        await stopping
        for id_ in ids[3:]:
            await second.service.raise_event(id_, "go")
        for id_, asked in zip(ids, waits, strict=True):
            assert [await in_time(each) for each in asked] == [json.dumps(id_)] * 3
    assert set(shop.runs.values()) == {1}


async def test_events_through_other_nodes_are_applied_once_each_while_their_instance_moves(
    nodes: Nodes,
) -> None:
    shop = Shop()
    _, second, third = await nodes.start_all(3, shop.app())
    ids = nodes.ids_of(nodes.up["n1"], 4, "e")
    for id_ in ids:
        await second.service.start("collector", "0", instance_id=id_)
    raised: dict[str, list[str]] = {id_: [] for id_ in ids}
    workers = itertools.count()

    async def work(is_over: asyncio.Event) -> None:
        worker = next(workers)
        node = (second, third)[worker % 2]
        for number in itertools.count():
            if is_over.is_set():
                break
            for id_ in ids:
                said = f"{worker} {number}"
                await node.service.raise_event(id_, "news", json.dumps(said))
                raised[id_].append(said)

    def count() -> int:
        return sum(map(len, raised.values()))

    async with meanwhile(work, 4):
        await until(count, "some have been raised before")
        await nodes.stop("n1")
        between = count()
        fourth = await nodes.start(shop.app())
        await nodes.balanced()
        after = count()
        await until(lambda: count() > after, "some have been raised after")
    assert between < after
    for id_ in ids:
        await fourth.service.raise_event(id_, "news", "null")
        found = json.loads(await output(second, id_) or "[]")
        assert sorted(found) == sorted(raised[id_])
        for worker in range(4):
            # What somebody raises one after the other arrives so.
            own = [int(said.split()[1]) for said in found if said.startswith(f"{worker} ")]
            assert own == sorted(own)
