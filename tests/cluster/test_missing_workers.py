"""Workers with some of the names, on nodes of one app: who gets what, and what is said to miss."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from perdure.placement.membership import Membership
from perdure.runtime.node import Node
from perdure.runtime.workflow import history as h
from tests.cluster.nodes import Nodes, output, until
from tests.support.workers import Worker, call, completed


async def two(nodes: Nodes) -> tuple[Node, Node]:
    settings: dict[str, Any] = {"grpc_port": 0}
    first, second = [await nodes.start(None, **settings) for _ in range(2)]
    await nodes.balanced()
    return first, second


async def test_every_node_says_which_worker_is_missing_on_any(nodes: Nodes) -> None:
    first, second = await two(nodes)
    id_ = nodes.id_of(first)
    await first.service.start("ship", instance_id=id_)
    await until(lambda: second.engine.missing_workers() == ("workflow:ship",), "it has heard of it")
    view = await second.service.get(id_)
    assert (view.row.status, view.waiting) == (
        h.Status.PENDING,
        "no connected worker runs workflow 'ship'",
    )
    worker = Worker(second, turn_names=frozenset({"ship"}))
    await worker.turn(completed("done"))
    assert await output(first, id_) == '"done"'
    await until(lambda: not first.engine.missing_workers(), "nothing is missing")
    await until(lambda: not second.engine.missing_workers(), "nothing is missing")
    worker.leave()


async def test_a_node_whose_workers_have_other_names_is_given_nothing(nodes: Nodes) -> None:
    first, second = await two(nodes)
    other = Worker(second, turn_names=frozenset({"bill"}), activity_names=frozenset({"weigh"}))
    names: dict[str, Any] = {
        "turn_names": frozenset({"ship"}),
        "activity_names": frozenset({"label"}),
    }
    right = Worker(first, **names)
    await until(lambda: first.engine.tenure.turns.workers == 2, "it knows of both")
    id_ = nodes.id_of(first)
    await first.service.start("ship", instance_id=id_)
    await right.turn(call(1, "pack"), call(2, "label"))
    assert (await right.activity()).name == "label"
    await right.turn()
    await until(lambda: second.engine.missing_workers() == ("activity:pack",), "it says so")
    assert first.engine.tenure.dispatch.sent == first.engine.tenure.turns.given == 0
    packer = Worker(second, turn_names=frozenset(), activity_names=frozenset({"pack"}))
    assert (await packer.activity()).name == "pack"
    await right.turn(completed(1))
    assert await output(second, id_) == "1"
    assert other.stream.load == 0
    for worker in (other, right, packer):
        worker.leave()


async def test_a_turn_that_another_nodes_worker_refuses_pauses_before_it_is_offered_again(
    nodes: Nodes,
) -> None:
    first, second = await two(nodes)
    worker = Worker(second)
    await until(lambda: first.engine.tenure.turns.workers == 1, "it knows of it")
    id_ = nodes.id_of(first)
    await first.service.start("ship", instance_id=id_)
    turns, fence = second.engine.tenure.turns, first.engine.tenure.fence
    turns._config = replace(turns._config, again_seconds=3600.0)
    given = await worker.next()
    work = given.turn
    given.refuse()
    second_try = nodes.id_of(first, "other")
    await first.service.start("ship", instance_id=second_try)
    assert (await worker.turn(completed(1))).instance_id == second_try
    assert await output(first, second_try) == "1"
    assert worker.stream.load == 0  # Nor has the first one come back.
    turns._give_back(Membership(fence.node_id, fence.generation), work)
    assert (await worker.turn(completed(2))).instance_id == id_
    assert await output(first, id_) == "2"
    worker.leave()
