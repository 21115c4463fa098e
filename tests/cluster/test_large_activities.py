"""Activities that are too large for another node, by the history that goes with them, or for the
workers there."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import perdure
from perdure import ActivityContext, PropagationScope, WorkflowContext
from perdure.actors.identity import ActorRef
from perdure.runtime.node import App
from perdure.runtime.workflow import history as h
from perdure.runtime.workflow.messages import ACTIVITY, Undeliverable
from perdure.runtime.workflow.registry import Registry
from tests.cluster.nodes import Nodes, in_time, output, until
from tests.support.workers import Worker, call

EVENT = json.dumps("x" * 60_000)
EVENTS = 8
"""Together more than six times the limit, which is what a message between nodes may have."""
LIMITED: dict[str, Any] = {
    "max_body_bytes": 64 << 10,
    "payload_bytes_max": 64 << 10,
    "activity_concurrency": 1,
}


class Office:
    """An app of which each node has its own copy, and what ran where."""

    def __init__(self) -> None:
        self.gate = asyncio.Event()
        self.runs: list[tuple[str, str]] = []

    def app(self, node: str, *, with_activity: bool = True) -> App:
        @perdure.activity
        async def pack(ctx: ActivityContext, what: str) -> None:
            self.runs.append((node, what))
            if what == "first":
                await self.gate.wait()

        @perdure.workflow
        async def large(ctx: WorkflowContext) -> None:
            for _ in range(EVENTS):
                await ctx.wait_for_external_event("more")
            history = PropagationScope.OWN_HISTORY
            await ctx.call_activity("pack", input="large", propagation=history)

        @perdure.workflow
        async def small(ctx: WorkflowContext, what: str) -> None:
            await ctx.call_activity("pack", input=what)

        return [*([pack] if with_activity else []), large, small]


async def test_one_that_only_another_node_can_run_stalls_its_instance(nodes: Nodes) -> None:
    office = Office()
    owner = await nodes.start(office.app("n1", with_activity=False), "n1", **LIMITED)
    await nodes.start(office.app("n2"), "n2", **LIMITED)
    await nodes.balanced()
    id_ = nodes.id_of(owner)
    await owner.service.start("large", instance_id=id_)
    for _ in range(EVENTS):
        await owner.service.raise_event(id_, "more", EVENT)
    view = await in_time(owner.service.wait(id_, until=[h.Status.STALLED], timeout=30))
    assert view.row.stalled.startswith("activity 'pack::")
    assert "exceeds what nodes send to each other, 393216 bytes" in view.row.stalled
    assert not office.runs


async def test_one_that_waits_for_room_is_not_given_to_a_node_that_has_some(nodes: Nodes) -> None:
    office = Office()
    owner = await nodes.start(office.app("n1"), "n1", **LIMITED)
    await nodes.start(office.app("n2"), "n2", **LIMITED)
    await nodes.balanced()
    first, large, last = nodes.ids_of(owner, 3)
    await owner.service.start("small", '"first"', instance_id=first)
    await until(lambda: office.runs, "the first one runs")
    await owner.service.start("large", instance_id=large)
    for _ in range(EVENTS):
        await owner.service.raise_event(large, "more", EVENT)
    await until(lambda: owner.engine.tenure.activities.waiting, "the large one waits")
    await owner.service.start("small", '"last"', instance_id=last)
    await output(owner, last)
    office.gate.set()
    await output(owner, large)
    assert office.runs == [("n1", "first"), ("n2", "last"), ("n1", "large")]


async def test_one_too_large_for_the_workers_of_another_node_stalls_until_more_come(
    nodes: Nodes,
) -> None:
    owner, other = await nodes.start_all(2, Registry(), grpc_port=0)
    id_ = nodes.id_of(owner)
    first = Worker(other)
    await owner.service.start("order", instance_id=id_)
    await first.turn(call(1))
    given = await first.next()
    too_large = Undeliverable(*given.activity.key_of_call, "it is too large")
    first.pool.answer(given.item, too_large)
    view = await in_time(owner.service.wait(id_, until=[h.Status.STALLED], timeout=30))
    assert view.row.stalled == "it is too large"
    assert not owner.engine.tenure.dispatch.works_for(ActorRef(ACTIVITY, id_))
    first.leave()
    await until(lambda: not owner.engine.tenure.turns.workers, "the owner knows of no worker")
    second = Worker(other)  # Not at the owner, which hears of it.
    assert (await second.activity("packed")).task_id == 1
    (await second.next()).end("done")
    assert await output(owner, id_) == '"done"'
