"""Workflows whose code is in workers, and which call other apps of the cluster by a router.

`shop` calls, `bank` is called; each is a node with one worker, all on one file.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from perdure.runtime.rpc import taskhub_pb2 as pb
from perdure.runtime.workflow import history as h
from tests.support import scripted_worker as scripted
from tests.support.actions import child, end, task
from tests.support.scripted_worker import Decide, scripted_worker
from tests.support.two_apps import SETTINGS, charge, idle, transfer
from tests.support.world import Mode, World

BANK = pb.TaskRouter(sourceAppID="shop", targetAppID="bank")


@pytest.fixture(params=[Mode.LIVE, Mode.EVICT], ids=str)
async def shop(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[World]:
    async with World(tmp_path / "app.db", request.param) as world:
        await world.serve(idle, app_id="shop", grpc_port=0, **SETTINGS)
        yield world
        await world.stop()
        assert world.leftovers() == {}


async def serve_bank(bank: World, *app: Any) -> None:
    await bank.serve(idle, *app, app_id="bank", grpc_port=0, **SETTINGS)


def calling(*asked: pb.WorkflowAction) -> Decide:
    """A workflow that asks for all of these at once, and completes with the answers."""

    def decide(turn: pb.WorkflowRequest) -> list[pb.WorkflowAction]:
        answered = scripted.answers(turn)
        known = {e.eventId for e in turn.pastEvents}
        if len(answered) == len(asked):
            texts = [_text(answered[action.id]) for action in asked]
            return [end(9, f"[{','.join(texts)}]")]
        return [action for action in asked if action.id not in known]

    return decide


def _text(event: pb.HistoryEvent) -> str:
    answer = getattr(event, event.WhichOneof("eventType") or "")
    if hasattr(answer, "result"):
        return str(answer.result.value)
    return f'"{answer.failureDetails.errorType}"'


def routers(turn: pb.WorkflowRequest) -> list[pb.TaskRouter]:
    found = [event.router for event in scripted.events(turn) if event.router]
    return [pb.TaskRouter.FromString(router) for router in found]


def both(router: pb.TaskRouter) -> Decide:
    return calling(task(1, "pay", router=router), child(2, "move", router=router))


async def test_another_apps_worker_runs_what_is_routed_to_it(shop: World, bank: World) -> None:
    await serve_bank(bank)
    async with (
        scripted_worker(shop.node.grpc_address) as ours,
        scripted_worker(bank.node.grpc_address) as theirs,
    ):
        ours.workflows["order"] = both(BANK)
        theirs.activities["pay"] = lambda asked: '"paid"'
        theirs.workflows["move"] = lambda turn: [end(1, '"moved"')]
        instance = await shop.start("order", instance_id="o")
        assert await instance.result() == ["paid", "moved"]
        assert await shop.ids() == ["o"]
        assert await bank.ids() == ["o:0002"]
        assert ours.runs == []
        parent = scripted.started(theirs.turns[0]).parentInstance
        assert (parent.workflowInstance.instanceId, parent.appID) == ("o", "shop")
        assert routers(ours.turns[-1]) == [
            pb.TaskRouter(sourceAppID="shop"),
            pb.TaskRouter(targetAppID="bank"),
            pb.TaskRouter(targetAppID="bank"),
        ]
        assert routers(theirs.turns[0]) == [BANK]


async def test_another_apps_own_code_runs_what_a_worker_routes_to_it(
    shop: World, bank: World
) -> None:
    await serve_bank(bank, charge, transfer)
    async with scripted_worker(shop.node.grpc_address) as ours:
        asked = [
            task(1, "charge", "3", router=BANK),
            child(2, "transfer", "3", router=BANK),
        ]
        ours.workflows["order"] = calling(*asked)
        assert await (await shop.start("order")).result() == [{"cents": 3}, {"cents": 3}]


async def test_a_routed_call_waits_for_an_app_that_is_not_there(shop: World, bank: World) -> None:
    async with scripted_worker(shop.node.grpc_address) as ours:
        ours.workflows["order"] = both(BANK)
        instance = await shop.start("order")
        await instance.saw("TaskScheduled")
        assert await instance.status() is h.Status.RUNNING
        await serve_bank(bank)  # And then its worker is still to come.
        async with scripted_worker(bank.node.grpc_address) as theirs:
            theirs.activities["pay"] = lambda asked: '"paid"'
            theirs.workflows["move"] = lambda turn: [end(1, '"moved"')]
            assert await instance.result() == ["paid", "moved"]


@pytest.mark.parametrize("app_id", ["b/nk", "-bank", "x" * 65])
async def test_a_call_to_what_can_be_no_app_fails(shop: World, app_id: str) -> None:
    async with scripted_worker(shop.node.grpc_address) as ours:
        ours.workflows["order"] = both(pb.TaskRouter(targetAppID=app_id))
        instance = await shop.start("order")
        assert await instance.result() == ["ValueError", "ValueError"]
        (failed,) = await instance.of(h.TaskFailed)
        assert repr(app_id) in failed.failure.message
        assert failed.failure.non_retryable


async def test_a_call_routed_to_the_callers_own_app_is_an_ordinary_one(shop: World) -> None:
    async with scripted_worker(shop.node.grpc_address) as ours:
        ours.workflows["order"] = both(pb.TaskRouter(targetAppID="shop"))
        ours.activities["pay"] = lambda asked: '"paid"'
        ours.workflows["move"] = lambda turn: [end(1, '"moved"')]
        instance = await shop.start("order", instance_id="o")
        assert await instance.result() == ["paid", "moved"]
        assert await shop.ids() == ["o", "o:0002"]
        assert [event.app_id for event in await instance.of(h.TaskScheduled)] == [None]
