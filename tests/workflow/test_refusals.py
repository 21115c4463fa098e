"""What a workflow must not do is refused with the line and the way out; the node goes on."""

from __future__ import annotations

import asyncio
import itertools
import sys
from collections.abc import Awaitable, Callable, Generator
from datetime import timedelta
from typing import Any

import pytest

import perdure
from perdure import WorkflowContext
from perdure.runtime.workflow.payload import PayloadError
from tests.support.world import World

REAL: dict[str, Any] = {}
"""Where a test puts a future of its own loop, for a workflow to stumble upon."""


@perdure.workflow
async def healthy(ctx: WorkflowContext) -> str:
    await ctx.create_timer(timedelta(milliseconds=1))
    return "healthy"


async def _failure(world: World, fn: Any) -> Any:
    """How a workflow fails, after which another one must still work."""
    await world.serve(perdure.workflow(name="order")(fn), healthy)
    failure = await (await world.start("order")).failure()
    assert await (await world.start("healthy")).result() == "healthy"
    return failure


async def _subprocess() -> None:
    await asyncio.create_subprocess_exec("true")


REFUSED: dict[str, tuple[Callable[[], Awaitable[Any]], str]] = {
    "a thread": (lambda: asyncio.to_thread(print), "running code in a thread or executor"),
    "a connection": (lambda: asyncio.open_connection("127.0.0.1", 9), "opening a connection"),
    "a server": (lambda: asyncio.start_server(print, "127.0.0.1", 0), "starting a server"),
    "a process": (_subprocess, "starting a process"),
}


@pytest.mark.parametrize("what", REFUSED)
async def test_input_and_output_are_refused_with_the_line_and_the_way_out(
    world: World, what: str
) -> None:
    do, named = REFUSED[what]

    async def order(ctx: WorkflowContext) -> None:
        await do()

    failure = await _failure(world, order)
    assert failure.error_type == "NotInWorkflow"
    assert failure.message.startswith(f"{named} at test_refusals.py:")
    assert "do this in an activity and await ctx.call_activity(...)" in failure.message


async def test_a_future_of_another_loop_is_refused_with_the_line_and_the_way_out(
    live: World,
) -> None:
    REAL["future"] = asyncio.get_running_loop().create_future()

    async def order(ctx: WorkflowContext) -> None:
        await REAL["future"]

    failure = await _failure(live, order)
    assert failure.error_type == "NotInWorkflow"
    assert "test_refusals.py:" in failure.message
    assert "do this in an activity and await ctx.call_activity(...)" in failure.message


async def test_a_generator_that_yields_something_else_is_told_what_to_yield(world: World) -> None:
    def order(ctx: WorkflowContext) -> Generator[Any, Any, Any]:
        yield 5

    failure = await _failure(world, order)
    assert failure.message == (
        "a workflow yields tasks such as ctx.call_activity(…) returns, not int"
    )


async def test_a_coroutine_in_a_generator_is_told_what_it_is_for(world: World) -> None:
    def order(ctx: WorkflowContext) -> Generator[Any, Any, Any]:
        yield asyncio.sleep(1)

    failure = await _failure(world, order)
    assert "coroutines are for `async def` workflows" in failure.message


async def test_a_list_in_a_generator_is_told_of_when_all(world: World) -> None:
    def order(ctx: WorkflowContext) -> Generator[Any, Any, Any]:
        yield [ctx.create_timer(timedelta(seconds=1))]

    failure = await _failure(world, order)
    assert "yield perdure.when_all([…])" in failure.message


async def test_an_endless_turn_fails_its_instance_only(live: World) -> None:
    async def order(ctx: WorkflowContext) -> None:
        while True:
            await asyncio.sleep(0)

    failure = await _failure(live, order)
    assert failure.error_type == "EndlessTurn"
    assert "is there a `while True` around `asyncio.sleep(0)`?" in failure.message


@pytest.mark.parametrize("place", ["workflow", "task", "generator"])
async def test_exit_in_a_workflow_fails_its_instance_only(world: World, place: str) -> None:
    async def leave() -> None:
        sys.exit("enough")

    async def order(ctx: WorkflowContext) -> None:
        await ctx.create_timer(timedelta(milliseconds=1))
        if place == "task":
            await asyncio.gather(leave(), ctx.create_timer(timedelta(hours=1)))
        await leave()

    def steps(ctx: WorkflowContext) -> Generator[Any, Any, Any]:
        yield ctx.create_timer(timedelta(milliseconds=1))
        sys.exit("enough")

    failure = await _failure(world, steps if place == "generator" else order)
    assert (failure.error_type, failure.message) == ("SystemExit", "enough")


async def test_exit_in_a_task_that_nobody_awaits_does_not_stop_the_others(world: World) -> None:
    @perdure.workflow
    async def order(ctx: WorkflowContext) -> list[Any]:
        async def leave() -> None:
            sys.exit(1)

        task = asyncio.create_task(leave())
        others = [asyncio.create_task(asyncio.sleep(0.001, n)) for n in range(3)]
        await asyncio.sleep(0)
        return [*await asyncio.gather(*others), type(task.exception()).__name__]

    await world.serve(order)
    assert await (await world.start("order")).result() == [0, 1, 2, "SystemExit"]


@pytest.mark.parametrize("style", ["async", "generator", "plain"])
async def test_stop_iteration_is_an_error_as_any_other(world: World, style: str) -> None:
    async def order(ctx: WorkflowContext) -> None:
        next(iter([]))

    def steps(ctx: WorkflowContext) -> Generator[Any, Any, Any]:
        yield ctx.create_timer(timedelta(milliseconds=1))
        next(iter([]))

    def plain(ctx: WorkflowContext) -> None:
        next(iter([]))

    failure = await _failure(world, {"async": order, "generator": steps, "plain": plain}[style])
    assert failure.error_type == "RuntimeError"
    assert "StopIteration" in failure.message


async def test_an_error_that_cannot_be_shown_fails_the_instance_all_the_same(
    world: World,
) -> None:
    class Broken(Exception):
        def __str__(self) -> str:
            raise ValueError("cannot say")

    async def order(ctx: WorkflowContext) -> None:
        raise Broken

    failure = await _failure(world, order)
    assert (failure.error_type, failure.message) == ("Broken", "<exception str() failed>")


async def test_a_huge_error_is_cut_to_what_a_history_can_hold(world: World) -> None:
    async def order(ctx: WorkflowContext) -> None:
        raise ValueError("x" * 1_000_000 + "\ud800")

    failure = await _failure(world, order)
    assert len(failure.message) < 10_000
    assert "characters left out" in failure.message


async def test_a_callback_that_raises_is_nobody_elses_business(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    """As on any event loop: it is logged, and everything else goes on."""

    @perdure.workflow
    async def order(ctx: WorkflowContext) -> str:
        timer = ctx.create_timer(timedelta(milliseconds=1))
        timer.add_done_callback(lambda _: 1 / 0)
        asyncio.get_running_loop().call_soon(lambda: 1 / 0)
        await timer
        await ctx.create_timer(timedelta(milliseconds=1))
        return "done"

    await world.serve(order)
    assert await (await world.start("order")).result() == "done"
    assert "a turn failed" not in caplog.text
    assert "a callback of a workflow raised" in caplog.text


@pytest.mark.parametrize("raised", [SystemExit, KeyError, GeneratorExit, asyncio.CancelledError])
async def test_whatever_a_finally_block_raises_at_an_eviction_harms_nobody(
    live: World, raised: type[BaseException]
) -> None:
    """Live code that is given up runs its `finally` blocks, which can cause nothing any more."""
    entered = itertools.count()

    @perdure.workflow(name="order")
    async def order(ctx: WorkflowContext) -> Any:
        try:
            return await ctx.wait_for_external_event("go")
        finally:
            if next(entered) < 2:
                ctx.set_custom_status("left")
                ctx.call_activity("nobody")
                raise raised("at the end")

    await live.serve(order, healthy)
    for number in range(2):
        instance = await live.start("order", instance_id=f"o{number}")
        await instance.running()
        assert live.node.engine.tenure.host.release(instance_ref(instance.id))
    for number in range(2):
        instance = live.handle(f"o{number}")
        await instance.raise_event("go", number)
        assert await instance.result() == number
        assert (await instance.row()).custom_status is None
    assert await (await live.start("healthy")).result() == "healthy"


def instance_ref(instance_id: str) -> Any:
    from perdure.actors.identity import ActorRef

    return ActorRef("workflow", instance_id)


@pytest.mark.parametrize("method", ["call_activity", "call_child_workflow"])
async def test_an_app_id_that_no_app_can_have_is_refused(live: World, method: str) -> None:
    async def order(ctx: WorkflowContext) -> None:
        await getattr(ctx, method)("charge", app_id="the bank")

    failure = await _failure(live, order)
    assert failure.error_type == "ValueError"
    assert failure.message.startswith("app_id must be 1 to 64 letters")
    assert failure.message.endswith("found 'the bank'")


@pytest.mark.parametrize("bad", ["\ud800", {"a": 1}, b"bytes"], ids=["surrogate", "dict", "bytes"])
async def test_what_cannot_be_stored_is_refused_at_the_door(live: World, bad: Any) -> None:
    """In a turn it would stall the instance."""

    @perdure.workflow
    async def order(ctx: WorkflowContext) -> Any:
        return await ctx.wait_for_external_event("go")

    await live.serve(order)
    instance = await live.start("order", instance_id="o")
    service = live.service
    for call in (
        service.start(bad),
        service.start("order", bad),
        service.start("order", instance_id=bad),
        service.raise_event("o", bad),
        service.raise_event("o", "go", bad),
        service.raise_event("o", "go", idempotency_key=bad),
        service.suspend("o", bad),
        service.resume("o", bad),
        service.terminate("o", bad),
    ):
        with pytest.raises(PayloadError):
            await call
    await instance.raise_event("go", "fine")
    assert await instance.result() == "fine"
