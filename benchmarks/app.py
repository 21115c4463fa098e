"""The workflows that are measured. An edge module: it is user code, and counts what happens to it.

The counters stand for the work of real activities. They belong to the process that runs the code.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum

import perdure


class Tally:
    """When something happened in this process, on the clock that all processes share."""

    def __init__(self) -> None:
        self.times: list[float] = []
        self.numbers: list[int] = []
        """To whom, at each of the times."""
        self._wanted = 0
        self._reached = asyncio.Event()

    def note(self, number: int = 0) -> None:
        self.times.append(time.perf_counter())
        self.numbers.append(number)
        if len(self.times) == self._wanted:
            self._reached.set()

    async def reach(self, count: int) -> None:
        """Wait until it has happened `count` times."""
        if len(self.times) < count:
            self._wanted = count
            self._reached.clear()
            await self._reached.wait()

    def __len__(self) -> int:
        return len(self.times)


STEPS = Tally()
"""Executions of `step`."""

WOKEN = Tally()
"""Instances of `sleep_until` that went on."""

HELD = Tally()
"""Executions of `be_held` that have begun."""

LET_GO = asyncio.Event()
"""Set where `be_held` ends at once."""

WENT_ON = Tally()
"""Executions of `go_on`, by the numbers of their instances."""


class Holder(StrEnum):
    """What an instance of `held_up` waits for."""

    ACTIVITY = "activity"
    TIMER = "timer"
    EVENT = "event"


@dataclass(frozen=True, slots=True)
class Held:
    """The input of `held_up`."""

    number: int
    holder: Holder
    due_us: int = 0
    """Of the timer."""


@perdure.activity
async def echo(value: int) -> int:
    return value


@perdure.activity
async def step(value: int) -> int:
    STEPS.note()
    return value + 1


@perdure.activity
async def be_held(number: int) -> None:
    """Does not end in a process that does not let go."""
    HELD.note(number)
    await LET_GO.wait()


@perdure.activity
async def go_on(number: int) -> int:
    WENT_ON.note(number)
    return number


@perdure.workflow
async def noop(ctx: perdure.WorkflowContext, value: int) -> int:
    """One activity that does nothing."""
    result: int = await ctx.call_activity(echo, input=value)
    return result


@perdure.workflow
async def chain(ctx: perdure.WorkflowContext, length: int) -> int:
    """Steps one after the other."""
    done = 0
    while done < length:
        done = await ctx.call_activity(step, input=done)
    return done


@perdure.workflow
async def fan_out(ctx: perdure.WorkflowContext, width: int) -> int:
    """Steps side by side."""
    tasks = [ctx.call_activity(echo, input=number) for number in range(width)]
    return sum(await perdure.when_all(tasks))


@perdure.workflow
async def wait_for_event(ctx: perdure.WorkflowContext, number: int) -> int:
    await ctx.wait_for_external_event("wake")
    return number


@perdure.workflow
async def sleep_until(ctx: perdure.WorkflowContext, due_us: int) -> None:
    await ctx.create_timer(datetime.fromtimestamp(due_us / 1e6, UTC))
    WOKEN.note()


@perdure.workflow
async def held_up(ctx: perdure.WorkflowContext, held: Held) -> int:
    """Waits in the middle of its work, and takes one more step."""
    if held.holder is Holder.ACTIVITY:
        await ctx.call_activity(be_held, input=held.number)
    elif held.holder is Holder.TIMER:
        await ctx.create_timer(datetime.fromtimestamp(held.due_us / 1e6, UTC))
    else:
        await ctx.wait_for_external_event("go on")
    result: int = await ctx.call_activity(go_on, input=held.number)
    return result
