"""All lines between the nodes are cut: what they still share is the database.

Messages between nodes only make things faster, so nothing is lost, and nothing done twice. What
needs another node at once waits for it, or is refused with the request to try again.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp

import perdure
from perdure.runtime.api.peers.dialer import DialFailed
from perdure.runtime.node import App, Node
from perdure.runtime.workflow import history as h
from tests.cluster.nodes import Nodes, in_time, output, recorded, until

BASE = "/v1.0/workflows/dapr"


class Lines:
    """The lines between these nodes, which may all be cut."""

    def __init__(self, nodes: Nodes) -> None:
        self._ends = [node._links for node in nodes.up.values() if node._links is not None]
        self._dials = [end._dialer.dial for end in self._ends]

    def cut(self) -> None:
        """No node is linked to another one, nor can be."""
        for end in self._ends:
            end._dialer.dial = _no_answer  # type: ignore[assignment,method-assign]
            for link in list(end._links):
                link._socket.transport.abort()

    @property
    def are_cut(self) -> bool:
        return not any(end.statistics().links_open for end in self._ends)

    def mend(self) -> None:
        for end, dial in zip(self._ends, self._dials, strict=True):
            end._dialer.dial = dial  # type: ignore[method-assign]


async def _no_answer(*_: object) -> None:
    raise DialFailed("the line is cut")


@asynccontextmanager
async def blackout(nodes: Nodes) -> AsyncIterator[None]:
    """All lines are cut until the block ends."""
    lines = Lines(nodes)
    lines.cut()
    await until(lambda: lines.are_cut, "all lines are cut")
    try:
        yield
    finally:
        lines.mend()


async def linked_again(nodes: Nodes) -> None:
    """Wait until each node has its links to all others."""
    told = [node._links for node in nodes.up.values() if node._links is not None]
    await until(
        lambda: all(each.statistics().links_open == len(told) - 1 for each in told),
        "all nodes are linked",
    )


class Works:
    """An app whose activities are counted. Those named `slow` wait at their node's gate."""

    def __init__(self) -> None:
        self.runs: Counter[tuple[str, int]] = Counter()
        self.gates: dict[str, asyncio.Event] = {}
        self.begun: Counter[str] = Counter()

    def app(self, node: str) -> App:
        gate = self.gates[node] = asyncio.Event()

        @perdure.activity
        async def quick(ctx: perdure.ActivityContext, number: int) -> int:
            self.runs[ctx.workflow_id, ctx.task_id] += 1
            return 2 * number

        @perdure.activity
        async def slow(ctx: perdure.ActivityContext, number: int) -> str:
            self.runs[ctx.workflow_id, ctx.task_id] += 1
            self.begun[node] += 1
            await gate.wait()
            return node

        @perdure.workflow
        async def child(ctx: perdure.WorkflowContext, number: int) -> int:
            result: int = await ctx.call_activity(quick, input=number)
            return result

        @perdure.workflow
        async def parent(ctx: perdure.WorkflowContext, ids: list[str]) -> int:
            children = (ctx.call_child_workflow(child, input=1, instance_id=id_) for id_ in ids)
            return sum(await asyncio.gather(*children))

        @perdure.workflow
        async def fan(ctx: perdure.WorkflowContext, count: int) -> list[str]:
            calls = (ctx.call_activity(slow, input=number) for number in range(count))
            return list(await asyncio.gather(*calls))

        @perdure.workflow
        async def collector(ctx: perdure.WorkflowContext, _: Any) -> list[Any]:
            seen: list[Any] = []
            while (said := await ctx.wait_for_external_event("news")) is not None:
                seen.append(said)
            return seen

        return [quick, slow, child, parent, fan, collector]


async def started(nodes: Nodes, works: Works, count: int, **settings: Any) -> list[Node]:
    """So many nodes, balanced and linked."""
    for number in range(1, count + 1):
        await nodes.start(works.app(f"n{number}"), f"n{number}", **settings)
    await nodes.balanced()
    await linked_again(nodes)
    return list(nodes.up.values())


async def test_what_goes_between_nodes_comes_through_by_way_of_the_database(nodes: Nodes) -> None:
    works = Works()
    first, second, third = all_ = await started(nodes, works, 3)
    parents = {node: nodes.id_of(node, "parent") for node in all_}
    async with blackout(nodes):
        for node, id_ in parents.items():
            children = [nodes.id_of(other, f"child-{id_}-") for other in all_]
            await node.service.start("parent", json.dumps(children), instance_id=id_)
        # Whoever waits for what others own looks at the rows by itself.
        ends = [output(node, id_) for node in (second, third) for id_ in parents.values()]
        assert await in_time(asyncio.gather(*ends)) == ["6"] * 6
        assert (await second.service.get(parents[first])).row.status is h.Status.COMPLETED
    assert set(works.runs.values()) == {1}
    assert len(works.runs) == 9


async def test_an_activity_whose_result_cannot_be_told_is_not_run_again(nodes: Nodes) -> None:
    works = Works()
    first, second = await started(nodes, works, 2, activity_concurrency=1)
    id_ = nodes.id_of(first)
    await first.service.start("fan", "2", instance_id=id_)
    await until(lambda: works.begun.total() == 2, "each node is at one")
    async with blackout(nodes):
        works.gates["n2"].set()
        works.gates["n1"].set()
        await until(lambda: not first.engine.tenure.activities.running, "its own has ended")
        await stays_as_it_is(nodes)
        assert (await second.service.get(id_)).row.status is h.Status.RUNNING
    assert sorted(json.loads(await output(first, id_) or "")) == ["n1", "n2"]
    assert set(works.runs.values()) == {1}


async def stays_as_it_is(nodes: Nodes) -> None:
    """Wait for more than two leases, and see that nobody has moved, died or joined."""
    all_ = list(nodes.up.values())
    beats = 12  # Five a lease.
    before = {node: node.engine.tenure.committer.commits for node in all_}
    views = [(node.engine.router.view.version, node.engine.router.owned_slots) for node in all_]
    with recorded() as records:
        await until(
            lambda: all(
                node.engine.tenure.committer.commits >= before[node] + beats for node in all_
            ),
            "more than two leases have passed",
        )
    assert views == [
        (node.engine.router.view.version, node.engine.router.owned_slots) for node in all_
    ]
    assert not records.of("node_taken_over")
    assert not records.of("node_fenced")


async def test_nodes_that_do_not_reach_each_other_do_not_take_each_other_for_dead(
    nodes: Nodes,
) -> None:
    await started(nodes, Works(), 3)
    generations = nodes.generations()
    async with blackout(nodes):
        await stays_as_it_is(nodes)
    assert nodes.generations() == generations


async def test_a_request_through_another_node_is_refused_with_503_and_goes_through_later(
    nodes: Nodes,
) -> None:
    works = Works()
    first, second = await started(nodes, works, 2, http=True, call_seconds=0.3)
    id_, new = nodes.ids_of(first, 2)
    await second.service.start("collector", "0", instance_id=id_)
    requests = [
        ("POST", f"{id_}/raiseEvent/news", "hello"),
        ("POST", f"collector/start?instanceID={new}", 0),
        ("POST", f"{id_}/pause", None),
    ]
    async with aiohttp.ClientSession(f"{second.url}{BASE}/") as session:
        async with blackout(nodes):
            for method, path, body in requests:
                async with session.request(method, path, json=body) as response:
                    said = (await response.json())["message"]
                    assert (response.status, response.headers["Retry-After"]) == (503, "1"), said
                    assert "there is no link to node 'n1'" in said
            # What needs no other node goes on: reads, and new instances without an id.
            async with session.get(id_) as response:
                assert (await response.json())["runtimeStatus"] == "RUNNING"
            async with session.post("collector/start", json=0) as response:
                assert response.status == 202
        await linked_again(nodes)
        for method, path, body in requests:
            async with session.request(method, path, json=body) as response:
                assert response.status == 202, await response.text()
    assert (await first.service.get(new)).row.execution == 1
    await second.service.resume(id_)
    await second.service.raise_event(id_, "news", "null")
    assert await output(second, id_) == '["hello"]'


async def test_requests_that_have_time_wait_for_the_line_and_are_carried_out_once(
    nodes: Nodes,
) -> None:
    """Also those that were under way when it broke, whose answers nobody got."""
    works = Works()
    first, second = await started(nodes, works, 2)
    id_, *new = nodes.ids_of(first, 3)
    await first.service.start("collector", "0", instance_id=id_)
    done: list[int] = []

    async def tell(number: int) -> None:
        await second.service.raise_event(id_, "news", str(number))
        done.append(number)

    async def start(name: str) -> None:
        await second.service.start("collector", "0", instance_id=name)
        done.append(0)

    lines, taken = Lines(nodes), first.engine.router.on_foreign_call

    def cut(message: object) -> None:
        """It has just been committed; its answer, and those of its batch, will not arrive."""
        lines.cut()
        taken(message)

    first.engine.router.on_foreign_call = cut
    async with asyncio.TaskGroup() as group:
        group.create_task(start(new[0]))
        for number in range(50):
            group.create_task(tell(number))
        await until(lambda: lines.are_cut, "some are carried out and the line breaks")
        first.engine.router.on_foreign_call = taken
        group.create_task(start(new[1]))
        for number in range(50, 60):
            group.create_task(tell(number))
        await until(lambda: calls_pending(second) >= 62, "all of them wait for the line")
        assert not done
        lines.mend()
    assert [(await first.service.get(name)).row.execution for name in new] == [1, 1]
    await second.service.raise_event(id_, "news", "null")
    assert sorted(json.loads(await output(first, id_) or "")) == list(range(60))


def calls_pending(node: Node) -> int:
    assert node.peer_statistics is not None
    return node.peer_statistics.calls_pending
