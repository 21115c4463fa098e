"""Retry policies: how often, how far apart, and for which failures."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

import perdure
from perdure import (
    ActivityContext,
    NonRetryableError,
    RetryPolicy,
    TaskFailedError,
    WorkflowContext,
)
from perdure.runtime.workflow import history as h
from tests.support.world import World

MS = timedelta(milliseconds=1)


class Flaky:
    """An activity that fails some times before it succeeds."""

    def __init__(self, failures: int, error: Callable[[], Exception] = lambda: OSError("no")):
        self.failures = failures
        self.error = error
        self.calls: list[str] = []

    def activity(self) -> Any:
        @perdure.activity(name="flaky")
        def flaky(ctx: ActivityContext, input: Any = None) -> str:
            self.calls.append(ctx.task_execution_id)
            if len(self.calls) <= self.failures:
                raise self.error()
            return f"try {len(self.calls)}"

        return flaky


def _calling(policy: RetryPolicy | None) -> Any:
    @perdure.workflow(name="calls")
    async def calls(ctx: WorkflowContext) -> str:
        return str(await ctx.call_activity("flaky", retry_policy=policy))

    return calls


async def test_a_failing_activity_is_tried_again_until_it_succeeds(world: World) -> None:
    flaky = Flaky(2)
    policy = RetryPolicy(first_retry_interval=MS, max_number_of_attempts=3)
    await world.serve(_calling(policy), flaky.activity())
    instance = await world.start("calls")
    assert await instance.result() == "try 3"
    tries = await instance.of(h.TaskScheduled)
    assert [event.task_id for event in tries] == [1, 3, 5]
    timers = await instance.of(h.TimerCreated)
    assert {timer.origin for timer in timers} == {f"activityRetry:{tries[0].execution_id}"}


async def test_without_a_policy_the_first_failure_counts(world: World) -> None:
    flaky = Flaky(1)
    await world.serve(_calling(None), flaky.activity())
    failure = await (await world.start("calls")).failure()
    assert failure.message.endswith("Activity task #1 failed: no")
    assert len(flaky.calls) == 1


async def test_after_the_last_try_the_failure_is_that_of_the_last_try(steady: World) -> None:
    flaky = Flaky(9, lambda: ValueError(f"failure {len(flaky.calls)}"))
    policy = RetryPolicy(first_retry_interval=MS, max_number_of_attempts=3)
    await steady.serve(_calling(policy), flaky.activity())
    failure = await (await steady.start("calls")).failure()
    assert failure.inner is not None
    assert (failure.inner.error_type, failure.inner.message) == ("ValueError", "failure 3")
    assert len(flaky.calls) == 3


async def test_the_waits_grow_by_the_coefficient_up_to_the_limit(steady: World) -> None:
    flaky = Flaky(5)
    policy = RetryPolicy(
        first_retry_interval=2 * MS,
        max_number_of_attempts=6,
        backoff_coefficient=2.0,
        max_retry_interval=10 * MS,
    )
    await steady.serve(_calling(policy), flaky.activity())
    instance = await steady.start("calls")
    await instance.result()
    waits = []
    for turn in await instance.turns():
        for event in turn.outgoing:
            if isinstance(event, h.TimerCreated):
                waits.append(event.fire_at_us - turn.at_us)
    assert waits == [2_000, 4_000, 8_000, 10_000, 10_000]


async def test_no_try_begins_after_the_retry_timeout(steady: World) -> None:
    flaky = Flaky(1000)
    policy = RetryPolicy(
        first_retry_interval=4 * MS, max_number_of_attempts=1000, retry_timeout=20 * MS
    )
    await steady.serve(_calling(policy), flaky.activity())
    instance = await steady.start("calls")
    await instance.failure()
    turns = await instance.turns()
    tries = [t.at_us for t in turns for e in t.outgoing if isinstance(e, h.TaskScheduled)]
    assert 1 <= len(tries) <= 5  # As many as the machine manages in that time.


@pytest.mark.parametrize(
    "listed", [{"non_retryable_error_types": ["OSError"]}, {"non_retryable": [OSError]}], ids=str
)
async def test_listed_errors_are_not_tried_again(live: World, listed: dict[str, Any]) -> None:
    flaky = Flaky(1)
    policy = RetryPolicy(first_retry_interval=MS, max_number_of_attempts=5, **listed)
    await live.serve(_calling(policy), flaky.activity())
    await (await live.start("calls")).failure()
    assert len(flaky.calls) == 1


async def test_a_non_retryable_error_is_never_tried_again(live: World) -> None:
    flaky = Flaky(1, lambda: NonRetryableError("final"))
    policy = RetryPolicy(first_retry_interval=MS, max_number_of_attempts=5)
    await live.serve(_calling(policy), flaky.activity())
    failure = await (await live.start("calls")).failure()
    assert failure.message.endswith("final")
    assert len(flaky.calls) == 1


async def test_an_unregistered_activity_is_tried_again(live: World) -> None:
    policy = RetryPolicy(first_retry_interval=MS, max_number_of_attempts=3)
    await live.serve(_calling(policy))
    instance = await live.start("calls")
    await instance.failure()
    assert len(await instance.of(h.TaskScheduled)) == 3


async def test_all_tries_of_one_call_have_one_execution_id_and_each_call_its_own(
    steady: World,
) -> None:
    seen: dict[int, list[str]] = {0: [], 1: []}

    @perdure.activity
    def flaky(ctx: ActivityContext, number: int) -> None:
        seen[number].append(ctx.task_execution_id)
        if len(seen[number]) < 3:
            raise OSError("no")

    policy = RetryPolicy(first_retry_interval=MS, max_number_of_attempts=3)

    @perdure.workflow
    async def both(ctx: WorkflowContext) -> None:
        calls = [ctx.call_activity(flaky, input=n, retry_policy=policy) for n in range(2)]
        await asyncio.gather(*calls)

    await steady.serve(both, flaky)
    await (await steady.start("both")).result()
    assert [len(ids) for ids in seen.values()] == [3, 3]
    assert [len(set(ids)) for ids in seen.values()] == [1, 1]
    assert seen[0][0] != seen[1][0]
    assert len(seen[0][0]) == 36


async def test_a_cancelled_call_is_not_tried_again(world: World) -> None:
    flaky = Flaky(100)
    policy = RetryPolicy(first_retry_interval=100 * MS, max_number_of_attempts=3)

    @perdure.workflow
    async def gives_up(ctx: WorkflowContext) -> str:
        try:
            await asyncio.wait_for(ctx.call_activity("flaky", retry_policy=policy), 0.02)
        except TimeoutError:
            await ctx.create_timer(timedelta(milliseconds=150))
            return "gave up"
        return ""

    await world.serve(gives_up, flaky.activity())
    instance = await world.start("gives_up")
    assert await instance.result() == "gave up"
    assert len(await instance.of(h.TaskScheduled)) == 1


async def test_each_try_of_a_child_is_a_new_instance(world: World) -> None:
    @perdure.workflow
    async def child(ctx: WorkflowContext) -> str:
        if not ctx.instance_id.endswith("0005"):
            raise ValueError("not yet")
        return ctx.instance_id

    policy = RetryPolicy(first_retry_interval=MS, max_number_of_attempts=3)

    @perdure.workflow
    async def parent(ctx: WorkflowContext) -> Any:
        return await ctx.call_child_workflow(child, retry_policy=policy)

    await world.serve(parent, child)
    instance = await world.start("parent", instance_id="p")
    assert await instance.result() == "p:0005"
    assert await world.ids() == ["p", "p:0001", "p:0003", "p:0005"]
    origins = {timer.origin for timer in await instance.of(h.TimerCreated)}
    assert origins == {"childWorkflowRetry:p:0001"}


async def test_a_child_with_a_chosen_id_is_tried_again_under_it(steady: World) -> None:
    flaky = Flaky(2)

    @perdure.workflow
    async def child(ctx: WorkflowContext) -> str:
        return str(await ctx.call_activity("flaky"))

    policy = RetryPolicy(first_retry_interval=MS, max_number_of_attempts=3)

    @perdure.workflow
    async def parent(ctx: WorkflowContext) -> Any:
        return await ctx.call_child_workflow(child, instance_id="c", retry_policy=policy)

    await steady.serve(parent, child, flaky.activity())
    instance = await steady.start("parent")
    assert await instance.result() == "try 3"
    assert (await steady.handle("c").row()).execution == 3


async def test_retries_of_several_children_are_chains_of_their_own(world: World) -> None:
    policy = RetryPolicy(first_retry_interval=MS, max_number_of_attempts=2)

    @perdure.workflow
    async def child(ctx: WorkflowContext, number: int) -> int:
        if ctx.instance_id in ("p:0001", "p:0003"):
            raise ValueError("not yet")
        return number

    @perdure.workflow
    async def parent(ctx: WorkflowContext) -> list[int]:
        calls = [ctx.call_child_workflow(child, input=n, retry_policy=policy) for n in range(3)]
        return list(await asyncio.gather(*calls))

    await world.serve(parent, child)
    assert await (await world.start("parent", instance_id="p")).result() == [0, 1, 2]


async def test_a_child_that_fails_for_good_fails_after_its_last_try(world: World) -> None:
    @perdure.workflow
    async def child(ctx: WorkflowContext) -> None:
        raise ValueError("never")

    @perdure.workflow
    async def parent(ctx: WorkflowContext) -> str:
        policy = RetryPolicy(first_retry_interval=MS, max_number_of_attempts=2)
        try:
            await ctx.call_child_workflow(child, retry_policy=policy)
        except TaskFailedError as error:
            return error.details.message
        return ""

    await world.serve(parent, child)
    instance = await world.start("parent")
    assert await instance.result() == "never"
    assert len(await instance.of(h.ChildWorkflowInstanceCreated)) == 2
