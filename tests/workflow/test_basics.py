"""One instance from its start to its end: statuses, input and output, what an unknown name does."""

from __future__ import annotations

import asyncio
from collections.abc import Generator
from datetime import timedelta
from typing import Any

import pytest

import perdure
from perdure import TaskFailedError, WorkflowContext
from perdure.runtime.workflow import history as h
from perdure.runtime.workflow.errors import InstanceNotFound
from tests.support.world import World


@perdure.activity
def greet(name: str) -> str:
    return f"hello {name}"


@perdure.activity
async def shout(name: str) -> str:
    await asyncio.sleep(0)
    return name.upper()


@perdure.workflow
async def waits(ctx: WorkflowContext) -> Any:
    return await ctx.wait_for_external_event("go")


async def test_a_workflow_gets_its_input_and_gives_its_output(world: World) -> None:
    @perdure.workflow
    async def double(ctx: WorkflowContext, number: int) -> int:
        return number * 2

    await world.serve(double)
    done = await world.start("double", 21)
    assert await done.result() == 42
    assert await done.kinds() == ["ExecutionStarted", "ExecutionCompleted"]
    assert (await world.service.get(done.id)).input == "21"


async def test_activities_of_both_kinds_are_called_in_the_async_style(world: World) -> None:
    @perdure.workflow
    async def both(ctx: WorkflowContext, name: str) -> list[str]:
        return [
            await ctx.call_activity(greet, input=name),
            await ctx.call_activity("shout", input=name),
        ]

    await world.serve(both, greet, shout)
    done = await world.start("both", "ada")
    assert await done.result() == ["hello ada", "ADA"]
    assert await done.kinds() == [
        "ExecutionStarted",
        "TaskScheduled",
        "TaskCompleted",
        "TaskScheduled",
        "TaskCompleted",
        "ExecutionCompleted",
    ]


async def test_activities_of_both_kinds_are_called_in_the_generator_style(world: World) -> None:
    @perdure.workflow
    def both(ctx: WorkflowContext, name: str) -> Generator[Any, Any, list[str]]:
        first = yield ctx.call_activity(greet, input=name)
        second = yield ctx.call_activity(shout, input=name)
        return [first, second]

    await world.serve(both, greet, shout)
    assert await (await world.start("both", "ada")).result() == ["hello ada", "ADA"]


async def test_a_plain_function_that_waits_for_nothing_is_a_workflow(world: World) -> None:
    @perdure.workflow
    def plain(ctx: WorkflowContext, number: int = 7) -> int:
        return number

    await world.serve(plain)
    assert await (await world.start("plain")).result() == 7
    assert await (await world.start("plain", 8)).result() == 8


async def test_a_workflow_and_an_activity_may_take_nothing_at_all(world: World) -> None:
    @perdure.activity
    def nothing() -> None: ...

    @perdure.workflow
    async def bare(ctx: WorkflowContext) -> Any:
        return await ctx.call_activity(nothing)

    await world.serve(bare, nothing)
    done = await world.start("bare")
    assert await done.result() is None
    assert (await done.row()).output is None


async def test_an_instance_runs_while_it_waits(world: World) -> None:
    await world.serve(waits)
    instance = await world.start("waits")
    row = await instance.until(h.Status.RUNNING)
    assert (row.name, row.output, row.failure, row.execution) == ("waits", None, None, 1)
    await instance.raise_event("go", [1, 2])
    assert await instance.result() == [1, 2]


async def test_a_failed_workflow_shows_why_and_has_no_output(world: World) -> None:
    @perdure.workflow
    async def fails(ctx: WorkflowContext) -> None:
        raise LookupError("no such order")

    await world.serve(fails)
    instance = await world.start("fails")
    failure = await instance.failure()
    assert (failure.error_type, failure.message) == ("LookupError", "no such order")
    assert 'raise LookupError("no such order")' in (failure.stack_trace or "")
    assert (await instance.row()).output is None


async def test_an_unregistered_name_makes_an_instance_that_has_failed(world: World) -> None:
    await world.serve(waits)
    failure = await (await world.start("nobody")).failure()
    assert failure.error_type == "OrchestratorNotRegisteredError"
    assert failure.message == "A 'nobody' orchestrator was not registered."


async def test_an_unregistered_activity_fails_its_call_only(world: World) -> None:
    @perdure.workflow
    async def calls(ctx: WorkflowContext) -> list[str]:
        try:
            await ctx.call_activity("nobody")
        except TaskFailedError as error:
            return [error.details.error_type, error.details.message]
        return []

    await world.serve(calls)
    assert await (await world.start("calls")).result() == [
        "TaskActivityNotRegistered",
        "no task activity named 'nobody' was registered",
    ]


async def test_an_unhandled_activity_failure_fails_the_workflow_with_its_details(
    world: World,
) -> None:
    @perdure.activity
    def charge() -> None:
        raise ValueError("card declined") from KeyError("card")

    @perdure.workflow
    async def order(ctx: WorkflowContext) -> None:
        await ctx.call_activity(charge)

    await world.serve(order, charge)
    instance = await world.start("order", instance_id="o1")
    failure = await instance.failure()
    assert failure.error_type == "TaskFailedError"
    assert failure.message == "o1: Activity task #1 failed: card declined"
    assert failure.inner is not None
    assert (failure.inner.error_type, failure.inner.message) == ("ValueError", "card declined")
    assert failure.inner.inner is not None
    assert failure.inner.inner.error_type == "KeyError"


async def test_the_custom_status_is_what_the_code_set_last(world: World) -> None:
    @perdure.workflow
    async def order(ctx: WorkflowContext) -> str:
        ctx.set_custom_status("packing")
        await ctx.wait_for_external_event("packed")
        ctx.set_custom_status("ignored")
        ctx.set_custom_status({"step": 2})
        await ctx.wait_for_external_event("sent")
        return "done"

    await world.serve(order)
    instance = await world.start("order")
    await instance.when(lambda row: row.custom_status == "packing")
    await instance.raise_event("packed")
    await instance.when(lambda row: row.custom_status == '{"step":2}')
    await instance.raise_event("sent")
    assert await instance.result() == "done"
    assert (await instance.row()).custom_status == '{"step":2}'


async def test_a_custom_status_can_be_taken_back(world: World) -> None:
    @perdure.workflow
    async def order(ctx: WorkflowContext) -> None:
        ctx.set_custom_status("busy")
        await ctx.wait_for_external_event("go")
        ctx.set_custom_status(None)

    await world.serve(order)
    instance = await world.start("order")
    await instance.when(lambda row: row.custom_status == "busy")
    await instance.raise_event("go")
    await instance.result()
    assert (await instance.row()).custom_status is None


async def test_a_custom_status_that_is_no_text_fails_the_workflow_and_nothing_else(
    world: World,
) -> None:
    @perdure.workflow
    async def order(ctx: WorkflowContext) -> None:
        ctx.set_custom_status("\ud800")

    await world.serve(order)
    assert (await (await world.start("order")).failure()).error_type == "PayloadError"


async def test_many_instances_run_side_by_side(world: World) -> None:
    @perdure.workflow
    async def both(ctx: WorkflowContext, name: str) -> str:
        name = await ctx.call_activity(greet, input=name)
        await ctx.create_timer(timedelta(milliseconds=1))
        return str(await ctx.call_activity(shout, input=name))

    await world.serve(both, greet, shout)
    for number in range(40):
        await world.service.start("both", f'"{number}"', instance_id=f"n{number}")
    for number in range(40):
        row = await world.handle(f"n{number}").until(h.Status.COMPLETED, h.Status.FAILED)
        assert row.output == f'"HELLO {number}"'


async def test_run_starts_and_waits(world: World) -> None:
    @perdure.workflow
    async def hello(ctx: WorkflowContext, name: str) -> str:
        return str(await ctx.call_activity(greet, input=name))

    await world.serve(hello, greet)
    view = await world.service.run("hello", '"ada"')
    assert (view.row.status, view.row.output) == (h.Status.COMPLETED, '"hello ada"')
    assert view.input == '"ada"'


async def test_waiting_ends_at_its_timeout_with_what_is_so_then(live: World) -> None:
    await live.serve(waits)
    instance = await live.start("waits")
    view = await live.service.wait(instance.id, timeout=0.001)
    assert view.row.status is h.Status.RUNNING


async def test_nothing_can_be_asked_of_an_unknown_instance(live: World) -> None:
    await live.serve(waits)
    nobody = live.handle("nobody")
    for asked in (
        live.service.get("nobody"),
        live.service.wait("nobody", timeout=1),
        live.service.history("nobody"),
        nobody.raise_event("go"),
        nobody.suspend(),
        nobody.resume(),
        nobody.terminate(),
        nobody.purge(),
        nobody.purge(force=True),
    ):
        with pytest.raises(InstanceNotFound, match="no such instance exists"):
            await asked


async def test_a_finished_instance_takes_no_notice_of_anything(world: World) -> None:
    @perdure.workflow
    async def hello(ctx: WorkflowContext) -> str:
        return "done"

    await world.serve(hello)
    instance = await world.start("hello")
    await instance.result()
    before = await instance.row()
    await instance.raise_event("go")
    await instance.suspend()
    await instance.resume()
    await instance.terminate("other")
    assert await instance.row() == before


async def test_a_result_of_some_megabytes_arrives_whole(world: World) -> None:
    @perdure.activity
    def large() -> str:
        return "x" * 5_000_000

    @perdure.workflow
    async def carries(ctx: WorkflowContext) -> str:
        return str(await ctx.call_activity(large))

    await world.serve(carries, large, payload_bytes_max=6 << 20, max_body_bytes=8 << 20)
    assert await (await world.start("carries")).result() == "x" * 5_000_000


async def test_a_result_above_the_limit_fails_its_call_with_the_way_out(world: World) -> None:
    @perdure.activity
    def large() -> str:
        return "x" * 200

    @perdure.workflow
    async def carries(ctx: WorkflowContext) -> None:
        await ctx.call_activity(large)

    await world.serve(carries, large, payload_bytes_max=100, custom_status_bytes_max=100)
    failure = await (await world.start("carries")).failure()
    assert "result of activity 'large' has 202 characters, the limit is 100" in failure.message
    assert "return a reference to where the data is" in failure.message


async def test_ids_with_unusual_characters_work_everywhere(world: World) -> None:
    @perdure.workflow
    async def child(ctx: WorkflowContext) -> str:
        await ctx.create_timer(timedelta(milliseconds=1))
        return ctx.instance_id

    @perdure.workflow
    async def parent(ctx: WorkflowContext) -> list[Any]:
        return [await ctx.call_child_workflow(child), await ctx.call_activity(greet, input="a")]

    await world.serve(parent, child, greet)
    for instance_id in ("a|b@c", "ä::1", "x%_*'\"; --", "日本"):
        instance = await world.start("parent", instance_id=instance_id)
        assert await instance.result() == [f"{instance_id}:0001", "hello a"]
