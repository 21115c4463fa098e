"""The user's code: a small language of workflows, run in both styles. A value module.

A program is a JSON list `[verb, argument, …]`. The `async def` and the generator workflow below run
any program; what it must come to is computed by `model.py`, which knows no engine.
"""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Generator
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import perdure.runtime.workflow.failure as failures
from perdure.runtime.workflow.activities.context import ActivityContext
from perdure.runtime.workflow.context import WorkflowContext
from perdure.runtime.workflow.propagation import PropagationScope
from perdure.runtime.workflow.registry import Registry
from perdure.runtime.workflow.retry import RetryPolicy
from perdure.runtime.workflow.task import when_all, when_any

Program = list[Any]

FAR, FAR_GEN, FAR_WORK = "far", "far_gen", "far_work"
"""Two workflows and an activity that only workers have."""


@dataclass(slots=True)
class Journal:
    """What activities really did, outside the engine: survives every crash."""

    now: Any = None
    process: Any = None
    """Callables: the simulated time, and the name of the living process."""
    runs: dict[tuple[str, int], list[tuple[float, str, str]]] = field(default_factory=dict)
    """(instance id, task id) → (time, process, execution id) of each beginning."""
    tries: dict[str, list[int]] = field(default_factory=dict)
    """Execution id → the task ids under which it was tried."""
    heard: dict[tuple[str, str, int], Any] = field(default_factory=dict)
    """(instance id, execution id, task id) → the history that came with the call."""

    def note(self, ctx: ActivityContext) -> int:
        """Write down a run; returns the number of this try."""
        self._hear(ctx)
        key = (ctx.workflow_id, ctx.task_id)
        entry = (self.now(), self.process(), ctx.task_execution_id)
        self.runs.setdefault(key, []).append(entry)
        tries = self.tries.setdefault(ctx.task_execution_id, [])
        if ctx.task_id not in tries:
            tries.append(ctx.task_id)
        return tries.index(ctx.task_id)

    def _hear(self, ctx: ActivityContext) -> None:
        """Whoever runs a call, it comes with the same history of its callers."""
        history = ctx.get_propagated_history()
        came = None if history is None else history.events
        call = (ctx.workflow_id, ctx.task_execution_id, ctx.task_id)
        if self.heard.setdefault(call, came) != came:
            raise AssertionError("another history came with the same call")


class Declined(Exception):
    """What an activity of the simulation fails with."""


class Activities:
    """The app's activities; `journal` is exchanged for every world."""

    def __init__(self) -> None:
        self.journal = Journal()

    async def work(self, ctx: ActivityContext, order: Any) -> Any:
        value, milliseconds, failing = order
        attempt = self.journal.note(ctx)
        if milliseconds:
            await asyncio.sleep(milliseconds / 1000)
        return _outcome(value, failing, attempt)

    def work_in_thread(self, ctx: ActivityContext, order: Any) -> Any:
        value, _, failing = order
        return _outcome(value, failing, self.journal.note(ctx))


def _outcome(value: Any, failing: int, attempt: int) -> Any:
    if failing < 0:
        raise failures.NonRetryableError(f"never: {value}")
    if attempt < failing:
        raise Declined(f"try {attempt} of {value}")
    return value


def _policy(attempts: int) -> RetryPolicy | None:
    if attempts <= 1:
        return None
    return RetryPolicy(
        first_retry_interval=timedelta(milliseconds=40),
        max_number_of_attempts=attempts,
        backoff_coefficient=2.0,
        max_retry_interval=timedelta(milliseconds=200),
    )


def _call(ctx: WorkflowContext, step: Program) -> asyncio.Future[Any]:
    """`["call", value, milliseconds, failing tries, tries, name of the activity]`"""
    _, value, milliseconds, failing, attempts, name = step
    return ctx.call_activity(
        name,
        input=[value, milliseconds, failing],
        retry_policy=_policy(attempts),
        propagation=_scope(value),
    )


def _child(ctx: WorkflowContext, step: Program) -> asyncio.Future[Any]:
    """`["child", program, style, id suffix or None, tries]`"""
    _, program, style, suffix, attempts = step
    chosen = None if suffix is None else f"{ctx.instance_id}.{suffix}"
    return ctx.call_child_workflow(
        style,
        input=[program, 0, []],
        instance_id=chosen,
        retry_policy=_policy(attempts),
        propagation=_scope(program),
    )


def _scope(of: object) -> PropagationScope:
    """Any of them, and always the same for the same step."""
    return PropagationScope(zlib.crc32(repr(of).encode()) % len(PropagationScope))


def _plain(ctx: WorkflowContext, step: Program) -> Any:
    """The verbs that wait for nothing."""
    match step:
        case ["status", text]:
            ctx.set_custom_status(text)
        case ["forget", value, milliseconds, name]:
            ctx.call_activity(name, input=[value, milliseconds, 0])
        case ["detach", program, suffix, style]:
            name = f"{ctx.instance_id}.{suffix}"
            ctx.schedule_new_workflow(style, input=[program, 0, []], instance_id=name)
        case ["chance"]:
            ctx.set_custom_status(f"{ctx.random.random()} {ctx.new_uuid()} {ctx.is_patched('p')}")
        case ["fail", text]:
            raise Declined(text)
        case _:
            raise AssertionError(f"no such step {step}")
    return step[0]


async def run_async(ctx: WorkflowContext, step: Program) -> Any:
    """Run a program with asyncio's own means."""
    match step:
        case ["call", *_]:
            return await _caught(_call(ctx, step))
        case ["child", *_]:
            return await _caught(_child(ctx, step))
        case ["limit", value, seconds]:
            order = [value, 60_000, 0]
            return await _caught(ctx.call_activity("work", input=order, timeout=seconds))
        case ["sleep", milliseconds]:
            due = ctx.current_utc_datetime + timedelta(milliseconds=milliseconds)
            await asyncio.sleep(milliseconds / 1000)
            return ctx.current_utc_datetime >= due
        case ["seq", *steps]:
            return [await run_async(ctx, each) for each in steps]
        case ["all", *steps]:
            return list(await asyncio.gather(*[run_async(ctx, each) for each in steps]))
        case ["group", *steps]:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(run_async(ctx, each)) for each in steps]
            return [task.result() for task in tasks]
        case ["break", value, *steps]:
            # In a task of its own: up to CPython 3.11.4 a task whose group was broken counts as
            # being cancelled ever after, and its next `asyncio.timeout` ends it.
            return await asyncio.ensure_future(_broken_group(ctx, value, steps))
        case ["race", milliseconds, inner]:
            try:
                async with asyncio.timeout(milliseconds / 1000):
                    return await run_async(ctx, inner)
            except TimeoutError:
                return "late"
        case ["event", name]:
            return await ctx.wait_for_external_event(name)
        case ["maybe", name, milliseconds]:
            try:
                return await ctx.wait_for_external_event(name, timeout=milliseconds / 1000)
            except TimeoutError:
                return "late"
        case ["queue", count]:
            return await _through_a_queue(ctx, count)
        case _:
            return _plain(ctx, step)


async def _broken_group(ctx: WorkflowContext, value: Any, steps: list[Program]) -> Any:
    """One member fails; the others are cancelled, and each does something about it."""

    async def member(number: int, step: Program) -> None:
        try:
            await run_async(ctx, step)
        finally:
            ctx.call_activity("work", input=[f"undo {number}", 1, 0])

    async def culprit() -> None:
        await ctx.call_activity("work", input=[value, 5, 1])

    result = "whole"
    try:
        async with asyncio.TaskGroup() as group:
            for number, step in enumerate(steps):
                group.create_task(member(number, step))
            group.create_task(culprit())
    except* failures.TaskFailedError:
        result = "broken"
    return result


async def _through_a_queue(ctx: WorkflowContext, count: int) -> list[Any]:
    queue: asyncio.Queue[Any] = asyncio.Queue(2)

    async def produce(number: int) -> None:
        await queue.put(await ctx.call_activity("work", input=[number, number * 3, 0]))

    async with asyncio.TaskGroup() as group:
        for number in range(count):
            group.create_task(produce(number))
        return sorted([await queue.get() for _ in range(count)])


async def _caught(future: asyncio.Future[Any]) -> Any:
    try:
        return await future
    except failures.TaskFailedError:
        return "failed"


def run_steps(ctx: WorkflowContext, step: Program) -> Generator[Any, Any, Any]:
    """Run a program in Dapr's generator style."""
    match step:
        case ["call", *_] | ["child", *_]:
            try:
                return (yield _call(ctx, step) if step[0] == "call" else _child(ctx, step))
            except failures.TaskFailedError:
                return "failed"
        case ["sleep", milliseconds]:
            due = ctx.current_utc_datetime + timedelta(milliseconds=milliseconds)
            yield ctx.create_timer(timedelta(milliseconds=milliseconds))
            return ctx.current_utc_datetime >= due
        case ["seq", *steps]:
            results = []
            for each in steps:
                results.append((yield from run_steps(ctx, each)))
            return results
        case ["all" | "group", *steps]:
            return (yield from _all_steps(ctx, steps))
        case ["race", milliseconds, inner]:
            timer = ctx.create_timer(timedelta(milliseconds=milliseconds))
            task = _call(ctx, inner)
            if (yield when_any([timer, task])) is timer:
                return "late"
            return task.result()
        case ["event", name]:
            return (yield ctx.wait_for_external_event(name))
        case ["maybe", name, milliseconds]:
            try:
                return (
                    yield ctx.wait_for_external_event(name, timedelta(milliseconds=milliseconds))
                )
            except TimeoutError:
                return "late"
        case _:
            return _plain(ctx, step)


def _all_steps(ctx: WorkflowContext, steps: list[Program]) -> Generator[Any, Any, Any]:
    """Calls that cannot fail go side by side; whatever else, one after the other."""
    if all(step[0] == "call" and step[3] == 0 for step in steps):
        return (yield when_all([_call(ctx, step) for step in steps]))
    results = []
    for step in steps:
        results.append((yield from run_steps(ctx, step)))
    return results


async def main(ctx: WorkflowContext, order: Any) -> Any:
    """`[program, times to go round, results of earlier rounds]`"""
    program, rounds, results = order
    results = [*results, await run_async(ctx, program)]
    if rounds > 0:
        ctx.continue_as_new([program, rounds - 1, results], save_events=True)
        return None
    return results


def gen(ctx: WorkflowContext, order: Any) -> Generator[Any, Any, Any]:
    """The same in the other style."""
    program, rounds, results = order
    results = [*results, (yield from run_steps(ctx, program))]
    if rounds > 0:
        ctx.continue_as_new([program, rounds - 1, results], save_events=True)
        return None
    return results


def registry_of(activities: Activities) -> Registry:
    """The app of the simulation."""
    registry = Registry()
    registry.add_workflow(main)
    registry.add_workflow(gen)
    registry.add_activity(activities.work)
    registry.add_activity(activities.work_in_thread)
    return registry
