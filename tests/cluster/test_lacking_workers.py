"""Workers with different code on two nodes of one app, none of which says what it has."""

from __future__ import annotations

from typing import Any

from perdure.placement.membership import Membership
from perdure.runtime.node import Node
from perdure.runtime.workflow import history as h
from tests.cluster.nodes import Nodes, in_time, output, until
from tests.support.workers import Worker, call, completed


async def two(nodes: Nodes) -> tuple[Node, Node]:
    settings: dict[str, Any] = {"grpc_port": 0}
    first, second = [await nodes.start(None, **settings) for _ in range(2)]
    await nodes.balanced()
    return first, second


async def heard_of(node: Node, workers: int) -> None:
    await until(lambda: node.engine.tenure.turns.workers == workers, "it knows of all workers")


async def shipping(nodes: Nodes, node: Node) -> str:
    """An instance of a workflow that only some workers have."""
    id_ = nodes.id_of(node)
    await node.service.start("ship", instance_id=id_)
    return id_


async def failure(node: Node, instance_id: str) -> str:
    view = await in_time(node.service.wait(instance_id, timeout=15))
    assert view.row.status is h.Status.FAILED
    message: str = view.row.failure.message
    return message


async def test_what_this_nodes_worker_lacks_goes_to_the_other_nodes(nodes: Nodes) -> None:
    first, second = await two(nodes)
    wrong, right = Worker(first, "wrong"), Worker(second, "right")
    await heard_of(first, 2)
    await heard_of(second, 2)
    id_ = await shipping(nodes, first)
    (await wrong.next()).lack()
    await right.turn(call(1, "pack"))
    # An activity begins where its workflow is.
    (await wrong.next()).lack()
    assert (await right.activity("packed")).name == "pack"
    await right.turn(completed("done"))
    assert await output(first, id_) == '"done"'
    assert wrong.stream.load == 0
    # From now on it goes there at once.
    other = nodes.id_of(first, "other")
    await first.service.start("ship", instance_id=other)
    await right.turn(completed("too"))
    assert await output(first, other) == '"too"'
    for worker in (wrong, right):
        worker.leave()


async def test_what_another_nodes_worker_lacks_comes_back_and_goes_on(nodes: Nodes) -> None:
    first, second = await two(nodes)
    wrong, right = Worker(second, "wrong"), Worker(second, "right", turns=1)
    await heard_of(first, 2)
    id_ = await shipping(nodes, first)
    (await wrong.next()).lack()
    await right.turn(call(1, "pack"))
    (await wrong.next()).lack()
    assert (await right.activity(1)).name == "pack"
    await right.turn(completed(2))
    assert await output(first, id_) == "2"
    for worker in (wrong, right):
        worker.leave()


async def test_what_no_worker_of_any_node_has_fails(nodes: Nodes) -> None:
    first, second = await two(nodes)
    one, two_ = Worker(first, "one"), Worker(second, "two")
    await heard_of(first, 2)
    await heard_of(second, 2)
    id_ = await shipping(nodes, first)
    (await one.next()).lack()
    (await two_.next()).lack()
    assert await failure(second, id_) == "two has no ship"
    id_ = nodes.id_of(first, "bill")
    await first.service.start("bill", instance_id=id_)
    await one.turn(call(1, "pack"))
    (await one.next()).lack()
    (await two_.next()).lack()
    (event,) = (await one.next()).turn.incoming
    assert isinstance(event, h.TaskFailed)
    assert event.failure.message == "two has no pack"
    for worker in (one, two_):
        worker.leave()


async def test_a_node_without_workers_has_what_nobody_has_fail_at_another_one(
    nodes: Nodes,
) -> None:
    first, second = await two(nodes)
    worker = Worker(second, "only")
    await heard_of(first, 1)
    for number in range(2):
        id_ = nodes.id_of(first, str(number))
        await first.service.start("ship", instance_id=id_)
        (await worker.next()).lack()
        assert await failure(first, id_) == "only has no ship"
    worker.leave()


async def test_what_only_a_node_that_dies_had_fails_where_others_say_so(nodes: Nodes) -> None:
    first, second = await two(nodes)
    wrong, right = Worker(first, "wrong"), Worker(second, "right")
    await heard_of(first, 2)
    await heard_of(second, 2)
    id_ = await shipping(nodes, first)
    (await wrong.next()).lack()
    await right.next()
    await nodes.kill("n2")
    (await wrong.next()).lack()
    assert await failure(first, id_) == "wrong has no ship"


async def test_a_node_takes_no_more_of_a_name_than_its_workers_get_to(nodes: Nodes) -> None:
    first, second = await two(nodes)
    boss = Worker(first, activity_names=frozenset())
    packer = Worker(
        second, turn_names=frozenset(), activity_names=frozenset({"pack"}), activities=1
    )
    biller = Worker(
        second, turn_names=frozenset(), activity_names=frozenset({"bill"}), activities=9
    )
    await heard_of(first, 3)
    rooms, there = first.engine.tenure.dispatch._rooms, second.engine.tenure.fence
    membership = Membership(there.node_id, there.generation)
    await until(lambda: rooms.of(membership).at_workers == 10, "it knows of their room")
    await shipping(nodes, first)
    await boss.turn(*[call(number, "pack") for number in range(1, 6)], call(6, "bill"))
    packing = await packer.next()
    assert (await biller.activity()).name == "bill"
    runner = second.engine.tenure.activities
    await until(lambda: runner.running == 1, "the bill is done with")
    assert runner.waiting == 1
    packing.complete()
    for _ in range(4):
        await packer.activity()
    for worker in (boss, packer, biller):
        worker.leave()
