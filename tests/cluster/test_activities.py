"""Activities on several nodes: where they run, and what becomes of them when nodes go.

An activity runs on the node of its workflow as long as that has room, else wherever there is some.
It runs again only if the node at it is gone, and its result counts once, however often it is told.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from typing import Any

import pytest

import perdure
from perdure.placement import wire
from perdure.placement.errors import NodeUnreachable
from perdure.placement.membership import Membership, NodeRecord
from perdure.runtime.node import App, Node
from perdure.runtime.workflow.history import TaskCompleted
from perdure.runtime.workflow.messages import ACTIVITY, WORKFLOW
from tests.cluster.nodes import Nodes, output, until


class Sites:
    """An app of which each node has its own copy. Its activity waits at its node's gate."""

    def __init__(self) -> None:
        self.gates: dict[str, asyncio.Event] = {}
        self.begun: dict[str, list[tuple[str, int]]] = {}
        """Which calls have begun on each node, by instance and number."""

    def app(self, node: str, *, with_activity: bool = True) -> App:
        gate = self.gates[node] = asyncio.Event()
        begun: list[tuple[str, int]] = []
        self.begun[node] = begun

        @perdure.activity
        async def work(ctx: perdure.ActivityContext, number: int) -> str:
            begun.append((ctx.workflow_id, number))
            await gate.wait()
            return node

        @perdure.workflow
        async def fan(ctx: perdure.WorkflowContext, count: int) -> list[str]:
            calls = (ctx.call_activity("work", input=number) for number in range(count))
            return list(await asyncio.gather(*calls))

        @perdure.workflow
        async def two_steps(ctx: perdure.WorkflowContext, _: Any) -> Any:
            first = await ctx.call_activity("work", input=0)
            await ctx.wait_for_external_event("go")
            return first

        return [*([work] if with_activity else []), fan, two_steps]

    @property
    def runs(self) -> Counter[tuple[str, int]]:
        return Counter(call for begun in self.begun.values() for call in begun)

    def open_all(self) -> None:
        for gate in self.gates.values():
            gate.set()


async def started(nodes: Nodes, sites: Sites, **concurrency: int) -> list[Node]:
    """A node for each of these names, which may run so many activities at a time."""
    for name, most in concurrency.items():
        await nodes.start(sites.app(name), name, activity_concurrency=most)
    await nodes.balanced()
    return list(nodes.up.values())


async def fan_out(nodes: Nodes, count: int) -> str:
    """A workflow on the first node that calls so many activities."""
    id_ = nodes.id_of(nodes.up["n1"])
    await nodes.up["n1"].service.start("fan", str(count), instance_id=id_)
    return id_


async def results_of(node: Node, id_: str) -> list[str]:
    results: list[str] = json.loads(await output(node, id_) or "")
    return results


async def completions_of(node: Node, id_: str) -> list[str | None]:
    """The results of activities that stand in a history."""
    _, turns = await node.service.history(id_)
    events = [event for turn in turns for event in turn.incoming]
    return [event.result for event in events if isinstance(event, TaskCompleted)]


# ---- where


async def test_activities_run_on_the_node_of_their_workflow_while_it_has_room(nodes: Nodes) -> None:
    sites = Sites()
    first, _ = await started(nodes, sites, n1=8, n2=8)
    id_ = await fan_out(nodes, 8)
    await until(lambda: len(sites.begun["n1"]) == 8, "all of them run there")
    sites.open_all()
    assert await results_of(first, id_) == ["n1"] * 8


async def test_what_a_busy_node_has_no_room_for_runs_on_an_idle_one_meanwhile(nodes: Nodes) -> None:
    sites = Sites()
    first, second = await started(nodes, sites, n1=2, n2=8)
    id_ = await fan_out(nodes, 6)
    await until(lambda: len(sites.runs) == 6, "all of them run at the same time")
    assert [len(sites.begun[name]) for name in ("n1", "n2")] == [2, 4]
    assert [node.engine.tenure.activities.running for node in (first, second)] == [2, 4]
    sites.open_all()
    assert Counter(await results_of(first, id_)) == {"n1": 2, "n2": 4}
    assert set(sites.runs.values()) == {1}


async def test_a_node_takes_as_many_as_it_may_run_with_however_few_threads(nodes: Nodes) -> None:
    sites = Sites()
    for name, most in (("n1", 1), ("n2", 20)):
        await nodes.start(sites.app(name), name, activity_concurrency=most, activity_threads=2)
    await nodes.balanced()
    id_ = await fan_out(nodes, 12)
    await until(lambda: len(sites.runs) == 12, "all of them run at the same time")
    sites.open_all()
    assert Counter(await results_of(nodes.up["n1"], id_)) == {"n1": 1, "n2": 11}


# ---- nodes that die


async def test_the_death_of_a_workflow_s_node_leaves_activities_on_the_living_alone(
    nodes: Nodes,
) -> None:
    sites = Sites()
    first, second, third = await started(nodes, sites, n1=1, n2=100, n3=1)
    ids = nodes.ids_of(first, 8)
    for id_ in ids:
        await first.service.start("fan", "2", instance_id=id_)
    await until(lambda: len(sites.runs) == 16, "all of them run, or have been given away")
    before = {name: set(begun) for name, begun in sites.begun.items()}
    lost = before["n1"]
    assert len(lost) == 1
    await nodes.kill("n1")
    await until(lambda: all(sites.runs[call] == 2 for call in lost), "what has died runs again")
    # Some of the workflows are now where their activities run, others are not.
    assert {nodes.owner(id_) for id_ in ids} == {second, third}
    sites.open_all()
    for id_ in ids:
        assert len(await results_of(second, id_)) == 2
    assert sites.runs == Counter(list(sites.runs)) + Counter(lost)


async def test_what_a_dead_node_was_at_runs_again_and_nothing_else(nodes: Nodes) -> None:
    sites = Sites()
    first, _ = await started(nodes, sites, n1=1, n2=1)
    id_ = await fan_out(nodes, 2)
    await until(lambda: len(sites.runs) == 2, "one runs on each")
    lost = list(sites.begun["n2"])
    await nodes.kill("n2")
    sites.gates["n1"].set()
    assert await results_of(first, id_) == ["n1", "n1"]
    assert sites.runs == Counter(list(sites.runs)) + Counter(lost)


# ---- nodes that are drained


@pytest.mark.parametrize("name", ["n1", "n2"], ids=["the workflow's", "another"])
async def test_a_node_that_is_drained_lets_its_activities_finish(nodes: Nodes, name: str) -> None:
    sites = Sites()
    await started(nodes, sites, n1=1, n2=1)
    id_ = await fan_out(nodes, 2)
    await until(lambda: len(sites.runs) == 2, "one runs on each")
    drained = nodes.up[name].engine
    [stays] = [node for other, node in nodes.up.items() if other != name]
    async with asyncio.TaskGroup() as group:
        stopping = group.create_task(nodes.stop(name))
        await until(lambda: not drained.router.owned_slots, "it has handed over its slots")
        assert not stopping.done()
        sites.open_all()
        assert sorted(await results_of(stays, id_)) == ["n1", "n2"]
        await stopping
    assert set(sites.runs.values()) == {1}


@pytest.mark.parametrize("name", ["n1", "n2"], ids=["the workflow's", "another"])
async def test_what_does_not_finish_within_the_drain_runs_again_elsewhere(
    nodes: Nodes, name: str
) -> None:
    sites = Sites()
    for each in ("n1", "n2"):
        await nodes.start(sites.app(each), each, activity_concurrency=1, drain_seconds=0.3)
    await nodes.balanced()
    id_ = await fan_out(nodes, 2)
    await until(lambda: len(sites.runs) == 2, "one runs on each")
    lost = list(sites.begun[name])
    [other] = {"n1", "n2"} - {name}
    await nodes.stop(name)
    sites.gates[other].set()
    assert await results_of(nodes.up[other], id_) == [other] * 2
    assert sites.runs == Counter(list(sites.runs)) + Counter(lost)


# ---- what is lost, or comes late, on the way between nodes


class Line:
    """Stands between a node and its links, and does damage to what it asks of others."""

    def __init__(self, node: Node, about: str) -> None:
        self._peers = node.engine.router._peers
        self._about = about
        self.lost_requests = 0
        self.lost_answers = 0
        self.late: list[bytes] | None = None
        """Requests that are still on their way; None if all arrive at once."""
        node.engine.router._peers = self  # type: ignore[assignment]  # All that a router uses.
        self.tell = self._peers.tell

    async def call(self, node: NodeRecord, request: bytes, seconds: float) -> bytes:
        if wire.decode_request(request).ref.type != self._about:
            return await self._peers.call(node, request, seconds)
        if self.late is not None:
            self.late.append(request)
            await asyncio.get_running_loop().create_future()
        if self.lost_requests:
            self.lost_requests -= 1
            raise NodeUnreachable("lost on the way")
        answer = await self._peers.call(node, request, seconds)
        if self.lost_answers:
            self.lost_answers -= 1
            raise NodeUnreachable("the answer was lost on the way")
        return answer


@pytest.mark.parametrize("lost", ["lost_requests", "lost_answers"])
@pytest.mark.parametrize(
    ("name", "about"), [("n1", ACTIVITY), ("n2", WORKFLOW)], ids=["order", "result"]
)
async def test_what_is_lost_on_the_way_is_said_again_and_done_once(
    nodes: Nodes, name: str, about: str, lost: str
) -> None:
    sites = Sites()
    for each, most in (("n1", 1), ("n2", 8)):
        app = sites.app(each)
        # So short that not even a call as a whole comes through.
        await nodes.start(app, each, activity_concurrency=most, call_seconds=0.05)
    await nodes.balanced()
    line = Line(nodes.up[name], about)
    setattr(line, lost, 3)
    id_ = await fan_out(nodes, 3)
    if about == WORKFLOW:
        sites.gates["n2"].set()
    await until(lambda: not getattr(line, lost), "so much has been lost")
    sites.open_all()
    assert Counter(await results_of(nodes.up["n1"], id_)) == {"n1": 1, "n2": 2}
    assert set(sites.runs.values()) == {1}
    assert len(await completions_of(nodes.up["n1"], id_)) == 3


async def declare_dead(witness: Node, victim: Node) -> None:
    """Have one node take another one for dead that lives, and wait until that has joined again."""
    agent, before = witness.engine.tenure.agent, victim.engine.tenure
    is_alive, incarnation = agent._is_alive, before.fence.incarnation
    agent._is_alive = lambda identity: identity.incarnation != incarnation
    agent.refresh()
    stay = Membership(before.fence.node_id, before.fence.generation)
    await until(lambda: witness.engine.router.view.node(stay) is None, "it is taken for dead")
    agent._is_alive = is_alive
    await until(lambda: victim.engine.tenure is not before, "it has joined again")


@pytest.mark.parametrize("late_is_first", [True, False], ids=["before", "after"])
async def test_the_late_result_of_a_fenced_node_counts_at_most_once(
    nodes: Nodes, late_is_first: bool
) -> None:
    sites = Sites()
    first = await nodes.start(sites.app("n1", with_activity=False), "n1")
    for name in ("n2", "n3"):
        await nodes.start(sites.app(name), name)
    await nodes.balanced()
    lines = [Line(nodes.up[name], WORKFLOW) for name in ("n2", "n3")]
    late: list[bytes] = []
    for line in lines:
        line.late = late
    id_ = nodes.id_of(first)
    await first.service.start("two_steps", "0", instance_id=id_)
    await until(lambda: sites.runs, "one of them runs it")
    one, other = ("n2", "n3") if sites.begun["n2"] else ("n3", "n2")
    sites.gates[one].set()
    await until(lambda: late, "its result is on the way")
    for line in lines:
        line.late = None
    sites.gates[one].clear()
    await declare_dead(first, nodes.up[one])
    await until(lambda: sites.runs[id_, 0] == 2, "it runs again")
    await nodes.balanced()
    assert sites.begun[other]

    async def tell_late() -> None:
        answers: list[bytes] = []
        nodes.owner(id_).engine.router.received(late[0], answers.append)
        await until(lambda: answers, "it is answered")
        assert wire.decode_reply(answers[0]).kind == wire.ANSWERED

    async def tell_again() -> None:
        sites.gates[other].set()
        runner = nodes.up[other].engine.tenure.activities
        await until(lambda: not runner.running, "its answer was taken")

    told = f'"{one if late_is_first else other}"'
    for tell in (tell_late, tell_again) if late_is_first else (tell_again, tell_late):
        await tell()
        assert await completions_of(first, id_) == [told]
    await first.service.raise_event(id_, "go")
    assert await output(first, id_) == told


async def test_what_was_given_to_a_node_that_cannot_be_told_is_run_by_another(nodes: Nodes) -> None:
    sites = Sites()
    short: dict[str, Any] = {"lease_seconds": 0.6, "call_seconds": 0.05}
    for each, most in (("n1", 1), ("n2", 8)):
        await nodes.start(sites.app(each), each, activity_concurrency=most, **short)
    await nodes.balanced()
    Line(nodes.up["n1"], ACTIVITY).lost_requests = 1_000_000  # To n2 alone, which lives on.
    members = nodes.generations()
    id_ = await fan_out(nodes, 3)
    await until(lambda: nodes.up["n1"].engine.tenure.dispatch.sent == 2, "it gives two away")
    sites.open_all()
    assert await results_of(nodes.up["n1"], id_) == ["n1"] * 3
    assert set(sites.runs.values()) == {1}
    assert nodes.generations() == members
