"""An instance whose code does not fit its history stops, loses nothing, and goes on when it can."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import pytest

import perdure
from perdure import WorkflowContext
from perdure.actors.identity import ActorRef
from perdure.actors.messages import Delivery, Quarantine
from perdure.runtime.workflow import history as h
from perdure.runtime.workflow import live_instance
from perdure.runtime.workflow.errors import InstanceStalled
from perdure.runtime.workflow.messages import WORKFLOW
from tests.support.world import Gate, Handle, World


@perdure.activity
def echo(value: Any) -> Any:
    return value


@perdure.workflow(name="order")
async def before(ctx: WorkflowContext) -> Any:
    await ctx.call_activity(echo, input="first")
    ctx.set_custom_status("waiting")
    return await ctx.wait_for_external_event("go")


async def _stalled(instance: Handle) -> str:
    row = await instance.until(h.Status.STALLED)
    assert row.stalled is not None
    return row.stalled


async def _order_under_other_code(world: World, other: Any) -> Handle:
    """An order that waits for its event, and a node with other code for it."""
    await world.serve(before, echo)
    instance = await world.start("order", instance_id="o")
    await instance.when(lambda row: row.custom_status == "waiting")
    await world.serve(other, echo)
    with pytest.raises(InstanceStalled):  # Nobody looks at it before something happens to it.
        await world.service.suspend("o")
    return instance


def _other(ask: Callable[[WorkflowContext], Awaitable[Any]]) -> Any:
    @perdure.workflow(name="order")
    async def order(ctx: WorkflowContext) -> Any:
        await ask(ctx)
        return await ctx.wait_for_external_event("go")

    return order


CHANGED = _other(lambda ctx: ctx.call_activity(echo, input="other"))

CHANGES: dict[str, tuple[Callable[[WorkflowContext], Any], str]] = {
    "another input": (
        lambda ctx: ctx.call_activity(echo, input="other"),
        "activity 'echo' with input \"other\" as task 1 at test_stalls.py:<line>",
    ),
    "another activity": (
        lambda ctx: ctx.call_activity("shout", input="first"),
        "activity 'shout' with input \"first\" as task 1 at test_stalls.py:<line>",
    ),
    "a child": (
        lambda ctx: ctx.call_child_workflow("order", input=1),
        "workflow 'order' as 'o:0001' with 1 as task 1 at test_stalls.py:<line>",
    ),
    "a detached workflow": (
        lambda ctx: _detached(ctx),
        "workflow 'order' as 'o-1' with no input as task 1 at test_stalls.py:<line>",
    ),
    "a timer": (
        lambda ctx: ctx.create_timer(timedelta(seconds=1)),
        "a timer (createTimer) due at <time> as task 1 at test_stalls.py:<line>",
    ),
    "nothing": (lambda ctx: ctx.wait_for_external_event("go"), "nothing"),
}


async def _detached(ctx: WorkflowContext) -> None:
    ctx.schedule_new_workflow("order")


@pytest.mark.parametrize("change", CHANGES)
async def test_a_changed_question_stalls_with_both_sides_and_their_lines(
    live: World, change: str
) -> None:
    ask, shown = CHANGES[change]
    instance = await _order_under_other_code(live, _other(ask))
    reason = re.sub(r"test_stalls.py:\d+", "test_stalls.py:<line>", await _stalled(instance))
    assert re.sub(r"due at \S+ as", "due at <time> as", reason) == (
        "NonDeterminismError: history has "
        "activity 'echo' with input \"first\" as task 1 at test_stalls.py:<line>, "
        f"the code now asks for {shown}"
    )


async def test_code_that_asks_for_more_stalls(live: World) -> None:
    async def more(ctx: WorkflowContext) -> None:
        first = ctx.call_activity(echo, input="first")
        ctx.call_activity(echo, input="second")
        await first

    instance = await _order_under_other_code(live, _other(more))
    reason = await _stalled(instance)
    assert "history has nothing, the code now asks for activity 'echo'" in reason


async def test_code_that_now_ends_or_fails_early_stalls_and_says_how(live: World) -> None:
    @perdure.workflow(name="order")
    async def ends(ctx: WorkflowContext) -> str:
        ctx.call_activity(echo, input="first")
        return "early"

    @perdure.workflow(name="order")
    async def fails(ctx: WorkflowContext) -> None:
        await ctx.call_activity(echo, input="first")
        raise KeyError("amount")

    instance = await _order_under_other_code(live, ends)
    assert "the code now ends (COMPLETED)" in await _stalled(instance)
    await live.serve(fails, echo)
    await instance.when(lambda row: "KeyError" in (row.stalled or ""))
    assert "the code now ends (FAILED: KeyError: 'amount')" in await _stalled(instance)


async def test_a_stalled_instance_refuses_every_change_and_can_be_read(live: World) -> None:
    instance = await _order_under_other_code(live, CHANGED)
    await _stalled(instance)
    for change in (
        instance.raise_event("go"),
        instance.suspend(),
        instance.resume(),
        instance.terminate(),
        instance.purge(),
        live.start("order", instance_id="o"),
    ):
        with pytest.raises(InstanceStalled, match="workflow is stalled: NonDeterminismError"):
            await change
    row = await instance.row()
    assert (row.status, row.custom_status) == (h.Status.STALLED, "waiting")
    assert await instance.kinds() == ["ExecutionStarted", "TaskScheduled", "TaskCompleted"]


async def test_a_stalled_instance_can_be_purged_by_force(live: World) -> None:
    instance = await _order_under_other_code(live, CHANGED)
    await _stalled(instance)
    assert await instance.purge(force=True) == 1
    assert not await instance.exists()


async def test_the_right_code_after_a_restart_lets_it_go_on(world: World) -> None:
    instance = await _order_under_other_code(world, CHANGED)
    await _stalled(instance)
    await world.serve(before, echo)
    row = await instance.until(h.Status.RUNNING)
    assert (row.stalled, row.custom_status) == (None, "waiting")
    await instance.raise_event("go", "on")
    assert await instance.result() == "on"


async def test_a_stall_outlives_restarts_under_the_wrong_code(live: World) -> None:
    instance = await _order_under_other_code(live, CHANGED)
    reason = await _stalled(instance)
    updated = (await instance.row()).updated_us
    for _ in range(2):
        await live.restart()
        assert await _stalled(instance) == reason
    assert (await instance.row()).updated_us == updated
    await live.serve(before, echo)
    await instance.until(h.Status.RUNNING)
    await instance.raise_event("go", 1)
    assert await instance.result() == 1


async def test_a_stalled_neighbour_disturbs_nobody(live: World) -> None:
    instance = await _order_under_other_code(live, CHANGED)
    await _stalled(instance)
    other = await live.start("order")
    await other.raise_event("go", 1)
    assert await other.result() == 1


def _gathering(text: str) -> Any:
    """Waits for a timer, an activity, a child and an event, all at once."""

    @perdure.workflow(name="order")
    async def order(ctx: WorkflowContext) -> list[Any]:
        await ctx.call_activity(echo, input=text)
        waited: list[Any] = [
            ctx.create_timer(timedelta(milliseconds=300)),
            ctx.call_activity("slow"),
            ctx.call_child_workflow("child", instance_id="c"),
            ctx.wait_for_external_event("go"),
        ]
        ctx.set_custom_status("waiting")
        return [await each for each in waited]

    return order


async def test_what_arrives_during_the_stall_is_kept_and_applied_after_it(live: World) -> None:
    gate = Gate()

    @perdure.activity
    async def slow() -> str:
        await gate.wait()
        return "slow"

    @perdure.workflow
    async def child(ctx: WorkflowContext) -> Any:
        return await ctx.wait_for_external_event("go")

    await live.serve(_gathering("first"), child, slow, echo)
    instance = await live.start("order", instance_id="o")
    await instance.when(lambda row: row.custom_status == "waiting")
    await live.handle("c").running()
    await instance.raise_event("go", "before")
    await live.serve(_gathering("other"), child, slow, echo, drain_seconds=0.01)
    await _stalled(instance)
    await live.handle("c").raise_event("go", "of the child")
    await live.handle("c").result()
    while live.rows("inbox") < 2:  # The child's answer and the fired timer.
        await live.service.wait("o", until=(), timeout=0.01)
    await live.restart()  # What is kept is in the inbox, not in memory.
    assert await instance.status() is h.Status.STALLED
    gate.opened.set()
    await live.serve(_gathering("first"), child, slow, echo)
    assert await instance.result() == [None, "slow", "of the child", "before"]
    assert live.rows("inbox") == 0


async def test_an_activity_that_ends_during_the_stall_is_not_run_again(live: World) -> None:
    """Its result is kept in the inbox of the stalled instance."""
    instance, gate = await _grown_beyond_its_limit(live)
    gate.opened.set()
    while live.rows("inbox") < 2:  # The event that was kept, and the result.
        await live.service.wait(instance.id, until=(), timeout=0.01)
    await live.serve(*_growing(gate))
    assert await instance.result() == "slow"
    assert gate.count == 1


def _growing(gate: Gate) -> tuple[Any, Any]:
    @perdure.activity
    async def slow() -> str:
        await gate.wait()
        return "slow"

    @perdure.workflow
    async def grows(ctx: WorkflowContext) -> Any:
        result = ctx.call_activity(slow)
        for _ in range(5):
            await ctx.wait_for_external_event("go")
        return await result

    return grows, slow


async def _grown_beyond_its_limit(world: World) -> tuple[Handle, Gate]:
    gate = Gate()
    await world.serve(*_growing(gate), history_events_max=10, history_events_warn=5)
    instance = await world.start("grows")
    await gate.entered.wait()
    for _ in range(5):
        await instance.raise_event("go")  # The last one brings the stall to light, and is kept.
    with pytest.raises(InstanceStalled, match=r"its history has \d+ events, the limit is 10"):
        await instance.raise_event("go")
    assert "use continue_as_new in long loops, or raise the limit" in await _stalled(instance)
    with pytest.raises(InstanceStalled):
        await instance.resume()
    return instance, gate


async def test_a_history_beyond_its_limit_stalls_until_the_limit_is_raised(live: World) -> None:
    instance, gate = await _grown_beyond_its_limit(live)
    await live.serve(*_growing(gate))
    await instance.until(h.Status.RUNNING)
    gate.opened.set()
    assert await instance.result() == "slow"
    assert len(await instance.of(h.EventRaised)) == 5


async def test_the_event_that_brings_a_stall_to_light_is_kept(live: World) -> None:
    await live.serve(before, echo)
    instance = await live.start("order", instance_id="o")
    await instance.when(lambda row: row.custom_status == "waiting")
    await live.serve(CHANGED, echo)
    await instance.raise_event("go", "kept")
    await _stalled(instance)
    await live.serve(before, echo)
    assert await instance.result() == "kept"


async def test_a_workflow_that_is_not_served_any_more_stalls(live: World) -> None:
    @perdure.workflow
    async def other(ctx: WorkflowContext) -> None: ...

    instance = await _order_under_other_code(live, other)
    assert await _stalled(instance) == (
        "workflow 'order' is not registered here; "
        "start a node whose app has it and the instance goes on"
    )
    await live.serve(before, echo)
    await instance.until(h.Status.RUNNING)
    await instance.raise_event("go", 1)
    assert await instance.result() == 1


async def test_an_instance_that_is_set_aside_needs_no_replay_for_that(
    live: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may be the replay that fails again and again, by a bug of ours."""

    def broken(*_: object) -> None:
        raise AssertionError("a bug of ours")

    await live.serve(before, echo)
    instance = await live.start("order", instance_id="o")
    await instance.when(lambda row: row.custom_status == "waiting")
    await live.restart()
    monkeypatch.setattr(live_instance, "restore", broken)
    host = live.node.engine.tenure.host
    host.deliver(ActorRef(WORKFLOW, "o"), Delivery(Quarantine("its turn failed 6 times")))
    assert await _stalled(instance) == "its turn failed 6 times"
    monkeypatch.undo()
    await instance.resume()
    await instance.raise_event("go", "on")
    assert await instance.result() == "on"
