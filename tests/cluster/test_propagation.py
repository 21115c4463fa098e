"""History that goes with a call, between nodes: it is the same wherever the callee runs."""

from __future__ import annotations

import asyncio
import json
from datetime import timedelta
from typing import Any

import perdure
from perdure import ActivityContext, PropagationScope, WorkflowContext
from perdure.runtime.node import App
from tests.cluster.nodes import Nodes, output, until

LINEAGE = PropagationScope.LINEAGE
EXPECTED = [
    [
        *("outer", "ExecutionStarted", "TimerCreated", "TimerFired"),
        "ChildWorkflowInstanceCreated",
    ],
    ["inner", "ExecutionStarted", "TaskScheduled"],
]


class Ears:
    """An app of which each node has its own copy, and what its activity saw at each node."""

    def __init__(self) -> None:
        self.gate = asyncio.Event()
        self.seen: list[tuple[str, list[list[str]]]] = []

    def app(self, node: str, *, with_activity: bool = True) -> App:
        @perdure.activity
        async def hear(ctx: ActivityContext, _: Any = None) -> None:
            history = ctx.get_propagated_history()
            assert history is not None
            found = [[one.name, *[e.type for e in one.events]] for one in history.get_workflows()]
            self.seen.append((node, found))
            await self.gate.wait()

        @perdure.workflow
        async def outer(ctx: WorkflowContext, child: str) -> str:
            await ctx.create_timer(timedelta(milliseconds=1))
            await ctx.call_child_workflow("inner", instance_id=child, propagation=LINEAGE)
            return "well"

        @perdure.workflow
        async def inner(ctx: WorkflowContext) -> None:
            await ctx.call_activity("hear", propagation=LINEAGE)

        return [*([hear] if with_activity else []), outer, inner]


async def test_a_child_and_an_activity_on_other_nodes_see_their_callers(nodes: Nodes) -> None:
    ears = Ears()
    first = await nodes.start(ears.app("n1", with_activity=False), "n1")
    second = await nodes.start(ears.app("n2", with_activity=False), "n2")
    await nodes.start(ears.app("n3"), "n3")
    await nodes.balanced()
    parent, child = nodes.id_of(first), nodes.id_of(second)
    await first.service.start("outer", json.dumps(child), instance_id=parent)
    await until(lambda: ears.seen, "it runs")
    ears.gate.set()
    assert await output(first, parent) == '"well"'
    assert ears.seen == [("n3", EXPECTED)]


async def test_when_its_node_and_its_workflows_node_die_it_sees_the_same_again(
    nodes: Nodes,
) -> None:
    ears = Ears()
    first = await nodes.start(ears.app("n1"), "n1")
    second = await nodes.start(ears.app("n2"), "n2")
    await nodes.balanced()
    parent, child = nodes.id_of(first), nodes.id_of(second)
    await first.service.start("outer", json.dumps(child), instance_id=parent)
    await until(lambda: ears.seen, "it runs")
    await nodes.kill("n2")
    await until(lambda: len(ears.seen) == 2, "it runs again")
    ears.gate.set()
    assert await output(first, parent) == '"well"'
    assert ears.seen == [("n2", EXPECTED), ("n1", EXPECTED)]
