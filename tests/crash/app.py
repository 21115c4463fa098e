"""The workflows of the crash tests. Every activity leaves a line in an append-only journal."""

from __future__ import annotations

import asyncio
import os
from datetime import timedelta
from typing import Any

import perdure

JOURNAL = os.environ["CRASH_JOURNAL"]


def note(ctx: perdure.ActivityContext) -> None:
    """One line, written whole: the kernel does not mix up appends."""
    line = f"{ctx.workflow_id} {ctx.activity_name} {ctx.task_execution_id}\n"
    fd = os.open(JOURNAL, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        os.write(fd, line.encode())
    finally:
        os.close(fd)


@perdure.activity
async def double(ctx: perdure.ActivityContext, number: int) -> int:
    note(ctx)
    await asyncio.sleep(0.005)
    return 2 * number


@perdure.activity
def in_thread(ctx: perdure.ActivityContext, number: int) -> int:
    note(ctx)
    return number + 1


@perdure.activity
async def fails_twice(ctx: perdure.ActivityContext, number: int) -> int:
    note(ctx)
    with open(JOURNAL) as journal:  # noqa: ASYNC230 (small, and the point is the shared file)
        tries = sum(ctx.task_execution_id in line for line in journal)
    if tries < 3:
        raise RuntimeError(f"try {tries}")
    return number


@perdure.workflow
async def chain(ctx: perdure.WorkflowContext, number: int) -> int:
    for _ in range(5):
        number = await ctx.call_activity(double, input=number)
    return number


@perdure.workflow
async def fan(ctx: perdure.WorkflowContext, number: int) -> int:
    parts = await asyncio.gather(*(ctx.call_activity(in_thread, input=n) for n in range(number)))
    return sum(parts)


@perdure.workflow
def family(ctx: perdure.WorkflowContext, number: int) -> Any:
    children = [ctx.call_child_workflow(chain, input=number + n) for n in range(3)]
    results = yield perdure.when_all(children)
    return results


@perdure.workflow
async def patient(ctx: perdure.WorkflowContext, number: int) -> list[Any]:
    """Collects as many events as it was told, with timers in between."""
    seen = []
    for _ in range(number):
        seen.append(await ctx.wait_for_external_event("news"))
        await asyncio.sleep(0.01)
    return seen


@perdure.workflow
async def stubborn(ctx: perdure.WorkflowContext, number: int) -> int:
    policy = perdure.RetryPolicy(
        first_retry_interval=timedelta(milliseconds=10), max_number_of_attempts=5
    )
    result: int = await ctx.call_activity(fails_twice, input=number, retry_policy=policy)
    return result


@perdure.workflow
async def again(ctx: perdure.WorkflowContext, state: list[int]) -> list[int]:
    left, total = state
    if left == 0:
        return [0, total]
    total += await ctx.call_activity(double, input=1)
    ctx.continue_as_new([left - 1, total])
    return state
