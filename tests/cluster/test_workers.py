"""Workers on some nodes of a cluster, and the instances that they serve on others.

A turn, or an activity, whose owner has no worker goes to a node that has one, and what came of it
comes back. Whichever of these goes meanwhile, nothing is lost, and each decision counts once.
"""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from perdure.runtime.node import Node
from perdure.runtime.workflow.registry import Registry
from perdure.runtime.workflow.workers.stream import WorkerGone
from tests.cluster.nodes import Nodes, in_time, until
from tests.cluster.nodes import output as output_of
from tests.support.workers import Worker, call

SERVING: dict[str, Any] = {"grpc_port": 0}


async def start_all(nodes: Nodes, count: int) -> list[Node]:
    return await nodes.start_all(count, Registry(), **SERVING)


async def test_an_activity_that_waits_on_a_former_owner_goes_where_a_worker_is(
    nodes: Nodes,
) -> None:
    former = await nodes.start(Registry(), **SERVING)
    worker = Worker(former, activities=0)
    ids = [f"o{number}" for number in range(12)]
    for id_ in ids:
        await former.service.start("order", instance_id=id_)
        (await worker.next()).decide(call(1))
    worker.leave()
    await until(
        lambda: former.engine.tenure.activities.waiting == len(ids), "all wait for a worker"
    )
    other = await nodes.start(Registry(), **SERVING)
    await nodes.balanced()
    assert any(other.engine.router.owned(id_) is not None for id_ in ids)
    worker = Worker(other)
    given = [await worker.next() for _ in ids]
    assert {each.activity.instance_id for each in given} == {*ids}


async def test_a_worker_decides_for_every_node(nodes: Nodes) -> None:
    first, *others = await start_all(nodes, 3)
    worker = Worker(first)
    ids = [nodes.id_of(node) for node in (first, *others)]
    for id_ in ids:
        await first.service.start("order", instance_id=id_)
        given = await worker.next()
        assert given.turn.instance_id == id_
        given.decide(call(1), call(2))
        for _ in range(2):
            (await worker.next()).complete(id_)
        # The first answer is decided on at once, or both together.
        while (given := await worker.next()).turn.covers < 3:
            given.decide()
        given.end(id_)
        assert await output_of(others[0], id_) == json.dumps(id_)


async def test_a_turn_outlives_the_node_whose_worker_has_it(nodes: Nodes) -> None:
    owner, other, third = await start_all(nodes, 3)
    id_ = nodes.id_of(owner)
    worker = Worker(other)
    await owner.service.start("order", instance_id=id_)
    lost = await worker.next()
    await owner.service.raise_event(id_, "go")
    await nodes.kill(other.engine.tenure.fence.node_id)
    again = await Worker(third).next()
    assert again.turn.instance_id == id_
    assert again.turn.after == lost.turn.after
    again.end("alive")
    assert await output_of(third, id_) == '"alive"'


async def test_a_turn_goes_back_when_its_worker_leaves_another_node(nodes: Nodes) -> None:
    owner, other = await start_all(nodes, 2)
    id_ = nodes.id_of(owner)
    worker = Worker(other)
    await owner.service.start("order", instance_id=id_)
    await worker.next()
    worker.leave()
    here = Worker(owner)
    (await here.next()).end("here")
    assert await output_of(other, id_) == '"here"'


async def test_a_decision_finds_the_new_owner_of_its_instance(nodes: Nodes) -> None:
    """Of a turn that the former owner, which is gone, has given out."""
    owner, other, third = await start_all(nodes, 3)
    id_ = nodes.id_of(owner)
    worker = Worker(other)
    await owner.service.start("order", instance_id=id_)
    given = await worker.next()
    await nodes.kill(owner.engine.tenure.fence.node_id)
    given.end("for whoever it is")
    assert await output_of(third, id_) == '"for whoever it is"'
    view = await third.service.get(id_)
    assert view.row.execution == 1


async def test_a_drained_node_s_workers_finish_what_they_have(nodes: Nodes) -> None:
    leaving, staying = await start_all(nodes, 2)
    id_ = nodes.id_of(leaving)
    worker = Worker(leaving)
    await leaving.service.start("order", instance_id=id_)
    given = await worker.next()
    stopping = asyncio.ensure_future(nodes.stop(leaving.engine.tenure.fence.node_id))
    await until(lambda: worker.stream.is_draining, "it is drained")
    given.decide(call(1))
    with pytest.raises(WorkerGone):
        await worker.next()
    worker.leave()
    await in_time(stopping)
    worker = Worker(staying)
    (await worker.next()).complete()
    (await worker.next()).end("there")
    assert await output_of(staying, id_) == '"there"'
