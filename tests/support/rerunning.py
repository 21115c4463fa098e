"""What tests of reruns share: a rerun as a step, activities that tell what they were given."""

from __future__ import annotations

from typing import Any

import perdure
from perdure import WorkflowContext
from perdure.runtime.workflow import payload
from perdure.runtime.workflow.fork import Rerun
from tests.support.world import Handle, World


async def rerun(world: World, source: str, event_id: int, **options: Any) -> Handle:
    await world.step()
    if "input" in options:
        options |= {"input": payload.encode(options["input"]), "overwrite_input": True}
    made = await world.service.rerun(source, Rerun(event_id=event_id, **options))
    return world.handle(made)


class Calls:
    """What the activities of a test were given, in order."""

    def __init__(self) -> None:
        self.seen: list[Any] = []

    @property
    def add(self) -> Any:
        @perdure.activity
        def add(number: int | None) -> int:
            self.seen.append(number)
            return 100 if number is None else number + 1

        return add


@perdure.workflow
async def chain(ctx: WorkflowContext, number: int) -> list[Any]:
    found = [number]
    for _ in range(3):
        found.append(await ctx.call_activity("add", input=found[-1]))
    return found


@perdure.workflow
async def double(ctx: WorkflowContext, number: int) -> int:
    return number * 2


@perdure.workflow
async def waits(ctx: WorkflowContext, name: str = "go") -> Any:
    return await ctx.wait_for_external_event(name)
