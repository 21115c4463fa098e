"""All nodes die at once, and others come: everything that was accepted goes on."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import perdure
from tests.cluster.nodes import Nodes, output, until

ROUND = 4


class Orders:
    """Workflows in every state that there is: in an activity, asleep, waiting, with a child."""

    def __init__(self) -> None:
        self.begun: list[str] = []
        self.gate = asyncio.Event()

    def app(self) -> list[Any]:
        @perdure.activity
        async def slow(id_: str) -> str:
            self.begun.append(id_)
            await self.gate.wait()
            return f"done {id_}"

        @perdure.workflow
        async def acts(ctx: perdure.WorkflowContext, id_: str) -> Any:
            return await ctx.call_activity("slow", input=id_)

        @perdure.workflow
        async def sleeps(ctx: perdure.WorkflowContext, id_: str) -> str:
            await ctx.create_timer(timedelta(seconds=1))
            return f"done {id_}"

        @perdure.workflow
        async def waits(ctx: perdure.WorkflowContext, id_: str) -> str:
            return f"done {await ctx.wait_for_external_event('go')}"

        @perdure.workflow
        async def bears(ctx: perdure.WorkflowContext, id_: str) -> Any:
            return await ctx.call_child_workflow("acts", input=f"{id_}-child")

        return [slow, acts, sleeps, waits, bears]


async def test_what_was_accepted_completes_on_nodes_that_come_later(nodes: Nodes) -> None:
    orders = Orders()
    old = await nodes.start_all(3, orders.app())
    ids = [f"{kind}-{n}" for kind in ("acts", "sleeps", "waits", "bears") for n in range(ROUND)]
    for number, id_ in enumerate(ids):
        name = id_.partition("-")[0]
        await old[number % 3].service.start(name, f'"{id_}"', instance_id=id_)
    await until(lambda: len(orders.begun) == 2 * ROUND, "the activities run")
    for n in range(ROUND):
        await old[n % 3].service.raise_event(f"waits-{n}", "go", f'"waits-{n}"')
    await asyncio.gather(*(nodes.kill(name) for name in list(nodes.up)))
    assert len(nodes.generations()) == 3  # Nobody has said goodbye.

    orders.gate.set()
    new = await asyncio.gather(*(nodes.start(orders.app(), f"new{n}") for n in range(2)))
    for number, id_ in enumerate(ids):
        ending = "-child" if id_.startswith("bears") else ""
        assert await output(new[number % 2], id_) == f'"done {id_}{ending}"'
    assert set(nodes.generations()) == {"new0", "new1"}


async def test_the_same_nodes_come_back_under_their_old_ids(nodes: Nodes) -> None:
    orders = Orders()
    old = await nodes.start_all(2, orders.app())
    await old[0].service.start("acts", '"a"', instance_id="a")
    await until(lambda: orders.begun, "the activity runs")
    await asyncio.gather(*(nodes.kill(name) for name in list(nodes.up)))
    orders.gate.set()
    again = await asyncio.gather(*(nodes.start(orders.app(), f"n{n + 1}") for n in range(2)))
    assert await output(again[1], "a") == '"done a"'
    assert orders.begun == ["a", "a"]
