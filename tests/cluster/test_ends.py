"""How a stay in the cluster ends: at once where it must, and never without a word."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any
from unittest import mock

import pytest

import perdure
from perdure.actors.errors import NodeFenced
from perdure.actors.reminders import Reminders
from perdure.runtime.config import NodeConfig
from perdure.runtime.node import Node
from tests.cluster.nodes import SETTINGS, Nodes, in_time, output, recorded, until


async def test_an_activity_that_puts_off_its_cancellation_does_not_keep_its_node_from_rejoining(
    nodes: Nodes,
) -> None:
    begun, may_end = asyncio.Event(), asyncio.Event()

    @perdure.activity
    async def stubborn(ctx: perdure.ActivityContext, _: Any) -> str:
        begun.set()
        while not may_end.is_set():
            with contextlib.suppress(asyncio.CancelledError):
                await may_end.wait()
        return "at last"

    @perdure.workflow
    async def asks(ctx: perdure.WorkflowContext, _: Any) -> Any:
        return await ctx.call_activity(stubborn, input=1)

    @perdure.workflow
    async def hello(ctx: perdure.WorkflowContext, _: Any) -> str:
        return "hello"

    node = await nodes.start([stubborn, asks, hello])
    await node.service.start("asks", "1", instance_id="a")
    await in_time(begun.wait())
    before, store = nodes.generations()["n1"], node.engine._seams.store

    async def fenced(*_: object) -> None:
        raise NodeFenced("declared dead")

    with mock.patch.object(store, "commit", fenced):
        await until(lambda: nodes.generations().get("n1", 0) > before, "it joins again")
    assert (await in_time(node.service.run("hello", "1"))).row.output == '"hello"'
    may_end.set()
    assert await output(node, "a") == '"at last"'


async def test_a_task_that_nobody_has_cancelled_takes_its_node_down_loudly(nodes: Nodes) -> None:
    async def cancelled(_: Reminders) -> None:
        raise asyncio.CancelledError

    @perdure.workflow
    async def hello(ctx: perdure.WorkflowContext) -> str:
        return "hello"

    with mock.patch.object(Reminders, "run", cancelled), recorded() as log:
        with pytest.raises(AssertionError, match="was cancelled by nobody"):
            async with Node([hello], config=NodeConfig(store=nodes.path, **SETTINGS)) as node:
                await node.run_until_stopped()
        assert len(log.of("node_failed")) == 1
