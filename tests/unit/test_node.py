"""A node before it is started."""

from __future__ import annotations

import pytest

import perdure


@perdure.workflow
async def order(ctx: perdure.WorkflowContext) -> None: ...


def test_a_node_that_is_not_started_says_how_to_start_it() -> None:
    node = perdure.Node([order], store=":memory:")
    with pytest.raises(RuntimeError, match="use it inside `async with node:`"):
        _ = node.service
