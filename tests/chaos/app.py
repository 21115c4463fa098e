"""The workflows of the chaos rounds. Every run of an activity leaves two lines in a journal.

    begin|end <monotonic seconds> <pid> <instance> <activity> <execution id> <task id>

The clock is the machine's, the same for all processes. A call of an activity, one try of it, is
known by instance, execution id and task id: two `begin` of one call are a repeat.
"""

from __future__ import annotations

import asyncio
import os
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import perdure
from tests.chaos.tether import end_with_the_parent

PLACE = Path(os.environ["CHAOS_PLACE"])
STEP_SECONDS = 0.03
NAP_SECONDS = 0.4


end_with_the_parent()


def _note(phase: str, ctx: perdure.ActivityContext) -> None:
    """One line, written whole: the kernel does not mix up appends."""
    what = f"{ctx.workflow_id} {ctx.activity_name} {ctx.task_execution_id} {ctx.task_id}"
    file = os.open(PLACE / "journal", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        os.write(file, f"{phase} {time.monotonic():.6f} {os.getpid()} {what}\n".encode())
    finally:
        os.close(file)


@perdure.activity
async def double(ctx: perdure.ActivityContext, number: int) -> int:
    _note("begin", ctx)
    await asyncio.sleep(STEP_SECONDS)
    _note("end", ctx)
    return 2 * number


@perdure.activity
def in_thread(ctx: perdure.ActivityContext, number: int) -> int:
    _note("begin", ctx)
    time.sleep(STEP_SECONDS)
    _note("end", ctx)
    return number + 1


@perdure.activity
async def slow(ctx: perdure.ActivityContext, number: int) -> int:
    _note("begin", ctx)
    await asyncio.sleep(20 * STEP_SECONDS)
    _note("end", ctx)
    return number


@perdure.activity
def fails_twice(ctx: perdure.ActivityContext, number: int) -> int:
    """By tries, not by runs: a try that is repeated after a crash ends as it did before."""
    _note("begin", ctx)
    tries = PLACE / "tries" / ctx.task_execution_id.replace("/", "_")
    tries.mkdir(parents=True, exist_ok=True)
    (tries / str(ctx.task_id)).touch()
    begun = sorted(int(path.name) for path in tries.iterdir())
    _note("end", ctx)
    if begun.index(ctx.task_id) < 2:
        raise RuntimeError(f"try {begun.index(ctx.task_id) + 1}")
    return number


@perdure.activity
def fails(ctx: perdure.ActivityContext, number: int) -> int:
    _note("begin", ctx)
    _note("end", ctx)
    raise ValueError(f"never {number}")


_TRIES = perdure.RetryPolicy(
    first_retry_interval=timedelta(milliseconds=50), max_number_of_attempts=4
)
_TWO_TRIES = perdure.RetryPolicy(
    first_retry_interval=timedelta(milliseconds=50), max_number_of_attempts=2
)


@perdure.workflow
async def chain(ctx: perdure.WorkflowContext, number: int) -> int:
    for _ in range(4):
        number = await ctx.call_activity(double, input=number)
    return number


@perdure.workflow
async def fan(ctx: perdure.WorkflowContext, width: int) -> list[int]:
    here = [ctx.call_activity(double, input=number) for number in range(width)]
    there = [ctx.call_activity(in_thread, input=number) for number in range(width)]
    long = ctx.call_activity(slow, input=width)
    return [sum(await asyncio.gather(*here)), sum(await asyncio.gather(*there)), await long]


@perdure.workflow
def family(ctx: perdure.WorkflowContext, number: int) -> Any:
    children = [
        ctx.call_child_workflow(chain, input=number + n, instance_id=f"{ctx.instance_id}-c{n}")
        for n in range(3)
    ]
    results = yield perdure.when_all(children)
    return results


@perdure.workflow
async def sleeper(ctx: perdure.WorkflowContext, number: int) -> list[Any]:
    """Its naps must not be too short, by its own clock; by the journal, the checker looks."""
    long_enough = []
    for _ in range(2):
        await ctx.call_activity(double, input=number)
        before = ctx.current_utc_datetime
        await asyncio.sleep(NAP_SECONDS)
        long_enough.append(ctx.current_utc_datetime - before >= timedelta(seconds=NAP_SECONDS))
    return [await ctx.call_activity(in_thread, input=number), *long_enough]


@perdure.workflow
async def patient(ctx: perdure.WorkflowContext, number: int) -> list[Any]:
    """Takes as many events as it was told, with a step in between."""
    seen = []
    for _ in range(number):
        seen.append(await ctx.wait_for_external_event("news"))
        await ctx.call_activity(double, input=number)
    return seen


@perdure.workflow
async def stubborn(ctx: perdure.WorkflowContext, number: int) -> int:
    result: int = await ctx.call_activity(fails_twice, input=number, retry_policy=_TRIES)
    return result


@perdure.workflow
async def doomed(ctx: perdure.WorkflowContext, number: int) -> None:
    await ctx.call_activity(fails, input=number, retry_policy=_TWO_TRIES)


@perdure.workflow
async def again(ctx: perdure.WorkflowContext, state: list[Any]) -> list[Any]:
    """A run for each event; those that came too early go along."""
    left, seen = state
    if left == 0:
        return seen  # type: ignore[no-any-return]
    seen = [*seen, await ctx.wait_for_external_event("news")]
    await ctx.call_activity(in_thread, input=left)
    ctx.continue_as_new([left - 1, seen], save_events=True)
    return []


@perdure.workflow
async def paused(ctx: perdure.WorkflowContext, number: int) -> list[Any]:
    number = await ctx.call_activity(slow, input=number)
    said = await ctx.wait_for_external_event("go")
    return [await ctx.call_activity(double, input=number), said]


@perdure.workflow
async def endless(ctx: perdure.WorkflowContext, number: int) -> None:
    await ctx.call_activity(double, input=number)
    await ctx.call_child_workflow(for_ever, instance_id=f"{ctx.instance_id}-c0")


@perdure.workflow
async def for_ever(ctx: perdure.WorkflowContext, _: Any) -> None:
    await ctx.wait_for_external_event("never")


@perdure.workflow
async def purged(ctx: perdure.WorkflowContext, number: int) -> int:
    result: int = await ctx.call_activity(double, input=number)
    return result
