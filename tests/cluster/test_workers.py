"""Workers on some nodes of a cluster, and the instances that they serve on others.

A turn, or an activity, whose owner has no worker goes to a node that has one, and what came of it
comes back. Whichever of these goes meanwhile, nothing is lost, and each decision counts once.
"""

from __future__ import annotations

import json
from typing import Any

from perdure.runtime.node import Node
from perdure.runtime.workflow import history as h
from perdure.runtime.workflow.registry import Registry
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
