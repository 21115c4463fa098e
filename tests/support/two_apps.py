"""Two apps in one cluster, `shop`, which calls, and `bank`, which is called. A support module."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import perdure
from perdure import WorkflowContext
from tests.support.world import World

SETTINGS = {"recovery_scan_seconds": 0.1}
"""A node that has just joined is not known to the other one yet, which cannot tell it anything:
what it says meanwhile waits in the inbox."""


@dataclass
class Receipt:
    cents: int


@perdure.activity
def charge(cents: int) -> Receipt:
    return Receipt(cents)


@perdure.workflow
async def transfer(ctx: WorkflowContext, cents: int) -> Receipt:
    return Receipt(cents)


@perdure.workflow
async def waits(ctx: WorkflowContext) -> Any:
    return await ctx.wait_for_external_event("go")


@perdure.workflow
async def fails(ctx: WorkflowContext) -> None:
    raise ValueError("no money")


@perdure.workflow
async def idle(ctx: WorkflowContext) -> None:
    """An app needs a workflow."""


async def serve_bank(bank: World, *app: Any) -> None:
    await bank.serve(idle, *app, app_id="bank", **SETTINGS)


async def serve_shop(shop: World, *app: Any) -> None:
    await shop.serve(*app, app_id="shop", **SETTINGS)
