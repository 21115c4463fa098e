"""Running an instance again across nodes: the source, the new one and the caller are anywhere."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

import perdure
from perdure.runtime.node import App
from perdure.runtime.workflow.errors import InstanceCreatedBefore
from perdure.runtime.workflow.fork import Rerun
from tests.cluster.nodes import Nodes, in_time, output


@pytest.fixture
async def nodes(tmp_path: Path) -> AsyncIterator[Nodes]:
    async with Nodes(tmp_path / "app.db") as found:
        yield found


def app() -> App:
    @perdure.activity
    def add(number: int) -> int:
        return number + 1

    @perdure.workflow
    async def chain(ctx: perdure.WorkflowContext, number: int) -> list[Any]:
        first = await ctx.call_activity(add, input=number)
        child = await ctx.call_child_workflow("double", input=first)
        return [first, child, await ctx.call_activity(add, input=child)]

    @perdure.workflow
    async def double(ctx: perdure.WorkflowContext, number: int) -> int:
        return number * 2

    return [add, chain, double]


async def test_source_new_instance_and_caller_may_be_on_three_nodes(nodes: Nodes) -> None:
    caller, first, second = await nodes.start_all(3, app())
    source, made = nodes.id_of(first, "source"), nodes.id_of(second, "made")
    await in_time(caller.service.start("chain", "1", instance_id=source))
    assert await output(caller, source) == "[2,4,5]"
    wanted = Rerun(event_id=2, new_id=made, input="10", overwrite_input=True)
    assert await in_time(caller.service.rerun(source, wanted)) == made
    assert await output(first, made) == "[2,20,21]"
    with pytest.raises(InstanceCreatedBefore, match=f"workflow '{made}' has already been created"):
        await in_time(caller.service.rerun(source, wanted))
    unnamed = await in_time(caller.service.rerun(source, Rerun(event_id=3)))
    assert nodes.owner(unnamed) is caller
    assert await output(second, unnamed) == "[2,4,5]"


async def test_a_new_instance_outlives_the_node_that_made_it(nodes: Nodes) -> None:
    dying, other = await nodes.start_all(2, app())
    await in_time(other.service.start("chain", "1", instance_id="source"))
    await output(other, "source")
    made = nodes.id_of(dying, "made")
    await in_time(other.service.rerun("source", Rerun(event_id=1, new_id=made)))
    await nodes.kill(dying.config.node_id or "")
    assert await output(other, made) == "[2,4,5]"
