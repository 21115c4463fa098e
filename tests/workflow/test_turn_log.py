"""With `--log-level debug` each turn says what came and what was asked for."""

from __future__ import annotations

import logging
from typing import Any

import pytest

import perdure
from tests.support.world import World


async def test_each_turn_says_what_came_and_what_its_code_asked_for(
    live: World, caplog: pytest.LogCaptureFixture
) -> None:
    @perdure.activity
    def pay(cents: int) -> int:
        return cents

    @perdure.workflow
    async def sell(ctx: perdure.WorkflowContext) -> Any:
        await ctx.wait_for_external_event("go")
        return await ctx.call_activity(pay, input=1)

    caplog.set_level(logging.DEBUG, "perdure")
    await live.serve(pay, sell)
    order = await live.start("sell", instance_id="o")
    await order.raise_event("go")
    await order.result()
    told = [vars(r) for r in caplog.records if vars(r).get("event") == "turn_taken"]
    assert {(one["instance_id"], one["workflow"]) for one in told} == {("o", "sell")}
    assert [(one.get("came"), one.get("asked")) for one in told] == [
        (["ExecutionStarted sell"], None),
        (["EventRaised go"], ["TaskScheduled 1 pay"]),
        (["TaskCompleted 1"], ["ExecutionCompleted"]),
    ]
