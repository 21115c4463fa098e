"""Nodes of one app with different code, as in the middle of a deployment.

Which names a node lacks is told in the status of all of them and, once for each name, in its log.
An instance whose workflow the owner lacks waits for it; an activity runs where its code is.
"""

from __future__ import annotations

import asyncio
from typing import Any

import perdure
from perdure.runtime.workflow import history as h
from tests.cluster.nodes import Nodes, finished, in_time, output, recorded, until

OLD, NEW = "a-old", "b-new"


class Code:
    """Two releases of an app; `ran_on` are the nodes that ran the activity."""

    def __init__(self) -> None:
        self.ran_on: list[str] = []
        self.gate = asyncio.Event()

    def release(self, node: str, *, has_workflow: bool = True, has_activity: bool = True) -> Any:
        @perdure.activity
        async def pack(ctx: perdure.ActivityContext, order: int) -> str:
            self.ran_on.append(node)
            return f"packed {order}"

        @perdure.activity
        async def hold(ctx: perdure.ActivityContext, order: int) -> str:
            self.ran_on.append(node)
            await self.gate.wait()
            return f"held {order}"

        @perdure.workflow
        async def held(ctx: perdure.WorkflowContext, order: int) -> Any:
            return await ctx.call_activity("hold", input=order)

        @perdure.workflow
        async def ship(ctx: perdure.WorkflowContext, order: int) -> Any:
            return await ctx.call_activity("pack", input=order)

        @perdure.workflow
        async def greet(ctx: perdure.WorkflowContext, name: str) -> str:
            return f"Hello {name}"

        ours: list[Any] = [greet, held]
        ours += [ship] if has_workflow else []
        return ours + ([pack, hold] if has_activity else [])

    async def start_both(self, nodes: Nodes, **lacks: bool) -> None:
        await nodes.start(self.release(OLD, **lacks), OLD)
        await nodes.start(self.release(NEW), NEW)
        await nodes.balanced()


async def test_what_a_node_lacks_is_named_in_the_status_and_once_in_its_log(nodes: Nodes) -> None:
    code = Code()
    with recorded() as log:
        await code.start_both(nodes, has_workflow=False, has_activity=False)
        for node in nodes.up.values():
            facts = {node.node_id: node.missing for node in (await node.cluster()).nodes}
            assert facts == {OLD: ("hold", "pack", "ship"), NEW: ()}
        assert nodes.up[OLD].status().missing == ("hold", "pack", "ship")
        assert nodes.up[NEW].status().missing == ()
        await nodes.start(code.release("c-new"), "c-new")  # Which changes the view of the cluster.
        await nodes.balanced()
        await nodes.stop("c-new")
        [told] = log.of("code_missing")
        assert told.__dict__["code"] == ["activity:hold", "activity:pack", "workflow:ship"]


async def test_an_instance_waits_on_a_node_without_its_code_until_that_comes(nodes: Nodes) -> None:
    code = Code()
    await code.start_both(nodes, has_workflow=False)
    old, new = nodes.up[OLD], nodes.up[NEW]
    id_ = nodes.id_of(old)
    await new.service.start("ship", "7", instance_id=id_)
    waits = await in_time(new.service.wait(id_, until=[h.Status.STALLED], timeout=60))
    assert waits.row.stalled == (
        f"workflow 'ship' is not registered here, but on {NEW}; "
        "start a node whose app has it and the instance goes on"
    )
    assert code.ran_on == []
    await nodes.stop(OLD)  # Its slots go to the other one.
    assert await output(new, id_) == '"packed 7"'
    assert code.ran_on == [NEW]


async def test_an_instance_goes_on_when_its_node_is_started_with_the_code(nodes: Nodes) -> None:
    code = Code()
    await code.start_both(nodes, has_workflow=False)
    old, new = nodes.up[OLD], nodes.up[NEW]
    ids = nodes.ids_of(old, 5)
    for id_ in ids:
        await new.service.start("ship", "7", instance_id=id_)
    await nodes.stop(NEW)  # Now there is no node that has it: what was accepted waits all the same.
    for id_ in ids:
        await in_time(old.service.wait(id_, until=[h.Status.STALLED], timeout=60))
    await nodes.start(code.release(NEW), NEW)
    await nodes.stop(OLD)
    for id_ in ids:
        assert await output(nodes.up[NEW], id_) == '"packed 7"'


async def test_an_activity_runs_where_its_code_is(nodes: Nodes) -> None:
    code = Code()
    await code.start_both(nodes, has_activity=False)
    old = nodes.up[OLD]
    for id_ in nodes.ids_of(old, 5):
        await old.service.start("ship", "7", instance_id=id_)
        assert await output(old, id_) == '"packed 7"'
    assert code.ran_on == [NEW] * 5


async def test_an_activity_waits_for_no_code_that_nobody_has(nodes: Nodes) -> None:
    code = Code()
    await nodes.start(code.release(OLD, has_activity=False), OLD)
    await nodes.start(code.release(NEW, has_activity=False), NEW)
    await nodes.balanced()
    old = nodes.up[OLD]
    id_ = nodes.id_of(old)
    await old.service.start("ship", "7", instance_id=id_)
    row = (await finished(old, id_)).row
    assert row.status is h.Status.FAILED
    assert "pack" in (row.failure.message if row.failure else "")


async def test_an_activity_waits_for_its_only_node_to_come_back(nodes: Nodes) -> None:
    code = Code()
    await code.start_both(nodes, has_activity=False)
    old = nodes.up[OLD]
    ids = nodes.ids_of(old, 3)
    for id_ in ids:
        await old.service.start("held", "7", instance_id=id_)
    await until(lambda: len(code.ran_on) == 3, "they run where their code is")
    await nodes.kill(NEW)
    await until(lambda: set(nodes.generations()) == {OLD}, "the dead one is taken over")
    code.gate.set()
    await nodes.start(code.release(NEW), NEW)
    for id_ in ids:
        assert await output(old, id_) == '"held 7"'
    assert code.ran_on == [NEW] * 6


async def test_an_activity_of_a_node_that_does_not_come_back_fails_in_the_end(nodes: Nodes) -> None:
    code = Code()
    await code.start_both(nodes, has_activity=False)
    old = nodes.up[OLD]
    id_ = nodes.id_of(old)
    await old.service.start("held", "7", instance_id=id_)
    await until(lambda: code.ran_on, "it runs where its code is")
    await nodes.kill(NEW)
    row = (await finished(old, id_)).row
    assert row.status is h.Status.FAILED
    assert "hold" in (row.failure.message if row.failure else "")


async def test_a_node_with_more_code_can_come_and_go(nodes: Nodes) -> None:
    code = Code()
    await code.start_both(nodes, has_workflow=False, has_activity=False)
    old = nodes.up[OLD]
    assert old.status().missing
    await nodes.stop(NEW)
    await until(lambda: old.status().missing == (), "nothing is missing any more")
