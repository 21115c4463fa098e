"""Names that no connected worker has: what needs them waits, and says so."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from perdure.runtime.api import render
from perdure.runtime.node import Node
from perdure.runtime.workflow import history as h
from perdure.runtime.workflow.views import WorkflowView
from tests.cluster.nodes import in_time, recorded, until
from tests.support.workers import Worker, call, completed, serving_workers

NO_WORKFLOW = "no connected worker runs workflow 'ship'"
NO_ACTIVITY = "no connected worker runs activity 'pack'"


async def seen(node: Node, instance_id: str, waiting: str | None) -> WorkflowView:
    """The instance as soon as it says that it waits for this."""
    async with asyncio.timeout(15):
        while True:
            view = await node.service.get(instance_id)
            if view.waiting == waiting:
                return view
            await asyncio.sleep(0)


async def test_an_instance_without_any_worker_says_what_it_waits_for() -> None:
    async with serving_workers() as node:
        await node.service.start("ship", instance_id="o")
        view = await seen(node, "o", NO_WORKFLOW)
        shown = render.workflow(view)
        assert shown.runtime_status == "PENDING"
        assert shown.properties == {"perdure.waiting.reason": NO_WORKFLOW}
        assert node.status().missing_workers == ("workflow:ship",)
        assert (await node.cluster()).missing_workers == ("workflow:ship",)


async def test_a_worker_that_has_other_workflows_is_none() -> None:
    async with serving_workers() as node:
        other = Worker(node, turn_names=frozenset({"bill"}))
        await node.service.start("ship", instance_id="o")
        await seen(node, "o", NO_WORKFLOW)
        right = Worker(node, turn_names=frozenset({"ship"}))
        await right.turn(completed())
        view = await in_time(node.service.wait("o", timeout=15))
        assert (view.row.status, view.waiting) == (h.Status.COMPLETED, None)
        assert node.status().missing_workers == ()
        assert other.stream.load == 0


async def test_a_worker_that_does_not_say_what_it_has_has_everything() -> None:
    async with serving_workers() as node:
        worker = Worker(node)
        await node.service.start("ship", instance_id="o")
        await worker.next()
        assert (await node.service.get("o")).waiting is None


async def test_an_instance_whose_time_has_not_come_waits_for_nobody() -> None:
    async with serving_workers() as node:
        later = 32_503_680_000_000_000
        await node.service.start("ship", instance_id="o", start_at_us=later)
        assert (await node.service.get("o")).waiting is None


async def test_an_instance_says_which_of_its_activities_wait_for_a_worker() -> None:
    async with serving_workers() as node:
        worker = Worker(node, activity_names=frozenset({"bill"}))
        await node.service.start("ship", instance_id="o")
        await worker.turn(call(1, "pack"), call(2, "bill"))
        view = await seen(node, "o", NO_ACTIVITY)
        assert render.workflow(view).properties["perdure.waiting.reason"] == NO_ACTIVITY
        assert node.status().missing_workers == ("activity:pack",)
        assert (await worker.activity()).name == "bill"  # Which is not held up.
        packer = Worker(node, turn_names=frozenset(), activity_names=frozenset({"pack"}))
        assert (await packer.activity()).name == "pack"
        await seen(node, "o", None)


async def test_an_activity_without_a_worker_keeps_nobody_busy() -> None:
    async with serving_workers() as node:
        worker = Worker(node, activity_names=frozenset({"bill"}))
        await node.service.start("ship", instance_id="o")
        await worker.turn(call(1, "pack"))
        await seen(node, "o", NO_ACTIVITY)
        begun = node.engine.tenure.activities.started
        for _ in range(50):
            await asyncio.sleep(0)
        assert node.engine.tenure.activities.started == begun


async def test_an_activity_without_a_worker_is_not_offered_to_others_all_the_time() -> None:
    async with serving_workers() as node:
        worker = Worker(node, activity_names=frozenset({"bill"}))
        dispatch = node.engine.tenure.dispatch
        dispatch._config = replace(dispatch._config, room_seconds=3600.0)
        await node.service.start("ship", instance_id="o")
        await worker.turn(call(1, "pack"))
        await seen(node, "o", NO_ACTIVITY)
        await until(lambda: dispatch._spreading is None, "it is left to wait")


async def test_what_other_instances_miss_is_not_this_ones() -> None:
    async with serving_workers() as node:
        worker = Worker(node, turn_names=frozenset({"ship"}))
        await node.service.start("bill", instance_id="other")
        await node.service.start("ship", instance_id="o")
        await worker.turn(call(1, "pack"))
        await seen(node, "other", "no connected worker runs workflow 'bill'")
        assert (await node.service.get("o")).waiting is None


@pytest.mark.parametrize("comes_back", [True, False])
async def test_a_name_that_stays_missing_is_logged_once_and_when_it_is_there(
    comes_back: bool,
) -> None:
    with recorded() as log:
        async with serving_workers() as node:
            node.engine.tenure.turns.lookout._patience = 0.0
            await node.service.start("ship", instance_id="o")
            await until(lambda: log.of("worker_missing"), "it is logged")
            await node.service.start("ship", instance_id="p")
            if comes_back:
                worker = Worker(node)
                await worker.turn(completed())
                await worker.turn(completed())
            else:
                await node.service.terminate("o")
                await node.service.terminate("p")
            await until(lambda: log.of("worker_found"), "it is logged too")
        [missing] = log.of("worker_missing")
        [found] = log.of("worker_found")
        assert missing.__dict__["code"] == found.__dict__["code"] == ["workflow:ship"]
