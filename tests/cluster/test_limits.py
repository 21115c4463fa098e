"""Limits of what runs at a time: on a node, in the cluster, and of one name in the cluster.

A limit is kept at every moment, whatever the number of nodes, and everything completes all the
same. What exceeds one node goes to all of them; what one node does in no time stays there.
"""

from __future__ import annotations

import asyncio
import json
import threading
from collections import Counter
from typing import Any

import perdure
from tests.cluster.nodes import Busy, Nodes, finished, in_time, output

LOTS = 120


class Work:
    """An app of which each node has its own copy, so that it is seen what runs where.

    Activities that are `common` go on once so many of them have run `together`.
    """

    def __init__(self, pause: float = 0.005, together: int = 0) -> None:
        self.all = Busy()
        self.rare = Busy()
        self.turns = Busy()
        self.threads = Busy()
        self.by_node: dict[str, Busy] = {}
        self._pause = pause
        self._together = together
        self._all_there = asyncio.Event()
        self._lock = threading.Lock()

    def app_of(self, node: str) -> list[Any]:
        own = self.by_node[node] = Busy()

        @perdure.activity
        async def common(ctx: perdure.ActivityContext, n: int) -> int:
            with self.all.inside(), own.inside():
                if self.all.now >= self._together:
                    self._all_there.set()
                await self._all_there.wait()
                await asyncio.sleep(self._pause)
            return n

        @perdure.activity
        async def rare(ctx: perdure.ActivityContext, n: int) -> int:
            with self.all.inside(), own.inside(), self.rare.inside():
                await asyncio.sleep(self._pause)
            return n

        @perdure.activity
        def in_thread(ctx: perdure.ActivityContext, n: int) -> int:
            with self._lock:
                entered = self.threads.inside()
                entered.__enter__()
            barrier.wait(self._pause)
            with self._lock:
                entered.__exit__(None, None, None)
            return n

        barrier = threading.Event()

        @perdure.workflow
        async def fan(ctx: perdure.WorkflowContext, names: list[str]) -> int:
            calls = (ctx.call_activity(name, input=n) for n, name in enumerate(names))
            return sum(await asyncio.gather(*calls))

        return [common, rare, in_thread, fan]


async def fan_out(nodes: Nodes, *names: str) -> None:
    """Run so many activities, from a workflow on the first node."""
    first = next(iter(nodes.up.values()))
    id_ = nodes.id_of(first)
    await first.service.start("fan", json.dumps(names), instance_id=id_)
    assert await output(first, id_) == str(sum(range(len(names))))


async def test_a_node_runs_no_more_activities_at_a_time_than_it_may(nodes: Nodes) -> None:
    work = Work(together=12)
    for name in ("n1", "n2", "n3"):
        await nodes.start(work.app_of(name), name, activity_concurrency=4)
    await nodes.balanced()
    await fan_out(nodes, *["common"] * LOTS)
    assert [busy.most for busy in work.by_node.values()] == [4, 4, 4]
    assert work.all.total == LOTS


async def test_the_cluster_runs_no_more_activities_at_a_time_than_it_may(nodes: Nodes) -> None:
    work = Work(together=5)
    for name in ("n1", "n2", "n3"):
        await nodes.start(work.app_of(name), name, cluster_activities_max=5)
    await nodes.balanced()
    await fan_out(nodes, *["common"] * LOTS)
    assert work.all.most == 5
    assert work.all.total == LOTS
    assert min(busy.total for busy in work.by_node.values()) > 0


async def test_the_cluster_runs_no_more_of_one_name_at_a_time_than_it_may(nodes: Nodes) -> None:
    work = Work()
    for name in ("n1", "n2", "n3"):
        await nodes.start(work.app_of(name), name, activity_limits={"rare": 2})
    await nodes.balanced()
    await fan_out(nodes, *["rare", "common"] * (LOTS // 2))
    assert work.rare.most <= 2
    assert work.all.most > 2
    assert work.all.total == LOTS


async def test_a_limit_below_the_number_of_nodes_lets_everything_complete(nodes: Nodes) -> None:
    work = Work()
    limits: dict[str, Any] = {
        "cluster_activities_max": 2,
        "activity_limits": {"rare": 1, "common": 1},
    }
    for name in ("n1", "n2", "n3"):
        await nodes.start(work.app_of(name), name, **limits)
    await nodes.balanced()
    for node in nodes.up.values():
        id_ = nodes.id_of(node)
        await node.service.start("fan", json.dumps(["rare", "common"] * 10), instance_id=id_)
    for node in nodes.up.values():
        await output(node, nodes.id_of(node))
    assert (work.rare.most, work.all.most) == (1, 2)
    assert work.all.total == 60


async def test_the_share_of_a_node_without_the_code_does_not_lie_idle(nodes: Nodes) -> None:
    work = Work()
    limits: dict[str, Any] = {"cluster_activities_max": 1, "activity_limits": {"rare": 1}}
    _, _, _, fan = lacking = work.app_of("n1")
    lacking[:3] = []
    assert lacking == [fan]
    await nodes.start(lacking, "n1", **limits)
    await nodes.start(work.app_of("n2"), "n2", **limits)
    await nodes.balanced()
    await fan_out(nodes, *["rare", "common"] * 5)
    assert (work.rare.most, work.all.most, work.all.total) == (1, 1, 10)


async def test_a_limited_name_that_nobody_has_fails_at_once_on_every_node(nodes: Nodes) -> None:
    work = Work()
    for name in ("n1", "n2"):
        await nodes.start(work.app_of(name), name, activity_limits={"unknown": 1})
    await nodes.balanced()
    for node in nodes.up.values():
        id_ = await node.service.start("fan", '["unknown"]')
        failure = (await finished(node, id_)).row.failure
        assert failure is not None
        assert "unknown" in failure.message


async def test_a_limit_holds_for_calls_from_another_app_and_keeps_none_of_them(
    nodes: Nodes,
) -> None:
    work = Work()
    limits: dict[str, Any] = {"app_id": "bank", "activity_limits": {"rare": 1}}
    for name in ("b1", "b2", "b3"):
        await nodes.start(work.app_of(name), name, **limits)

    @perdure.workflow
    async def order(ctx: perdure.WorkflowContext, count: int) -> int:
        calls = (ctx.call_activity("rare", input=n, app_id="bank") for n in range(count))
        return sum(await asyncio.gather(*calls))

    shop = await nodes.start([order], "s1", app_id="shop")
    await nodes.know_each_other()
    assert await output(shop, await shop.service.start("order", "20")) == "190"
    assert (work.rare.most, work.rare.total) == (1, 20)


async def test_a_limit_is_kept_when_a_node_joins_and_when_one_leaves(nodes: Nodes) -> None:
    work = Work()
    settings: dict[str, Any] = {"cluster_activities_max": 4}
    first = await nodes.start(work.app_of("n1"), "n1", **settings)
    await first.service.start("fan", json.dumps(["common"] * 400), instance_id="big")
    await nodes.start(work.app_of("n2"), "n2", **settings)
    await nodes.balanced()
    await nodes.start(work.app_of("n3"), "n3", **settings)
    await nodes.balanced()
    await nodes.stop("n1")
    assert await output(nodes.up["n2"], "big") == str(sum(range(400)))
    assert work.all.most <= 4


async def test_synchronous_activities_have_as_many_threads_as_the_node_may(nodes: Nodes) -> None:
    work = Work()
    await nodes.start(work.app_of("n1"), "n1", activity_threads=3)
    await nodes.start(work.app_of("n2"), "n2", activity_threads=2)
    await nodes.balanced()
    await fan_out(nodes, *["in_thread"] * LOTS)
    assert work.threads.most <= 5
    assert work.threads.total == LOTS


async def test_a_thread_that_is_waited_for_does_not_hold_up_the_others(nodes: Nodes) -> None:
    go_on = threading.Event()

    @perdure.activity
    def stuck(ctx: perdure.ActivityContext, n: int) -> int:
        go_on.wait(30)
        return n

    @perdure.activity
    async def quick(ctx: perdure.ActivityContext, n: int) -> int:
        return n

    @perdure.workflow
    async def calls(ctx: perdure.WorkflowContext, names: list[str]) -> int:
        return len(await asyncio.gather(*(ctx.call_activity(name, input=1) for name in names)))

    node = await nodes.start([stuck, quick, calls], activity_threads=1)
    try:
        slow = await node.service.start("calls", json.dumps(["stuck"] * 3))
        assert await output(node, await node.service.start("calls", '["quick", "quick"]')) == "2"
    finally:
        go_on.set()
    assert await output(node, slow) == "3"


async def test_many_slow_activities_use_every_node(nodes: Nodes) -> None:
    work = Work(pause=0.05)
    for name in ("n1", "n2", "n3"):
        await nodes.start(work.app_of(name), name, activity_concurrency=10)
    await nodes.balanced()
    await fan_out(nodes, *["common"] * 300)
    ran = {name: busy.total for name, busy in work.by_node.items()}
    assert min(ran.values()) >= 50, ran
    assert sum(ran.values()) == 300


async def test_a_burst_of_activities_that_take_no_time_stays_on_its_node(nodes: Nodes) -> None:
    work = Work(pause=0)
    for name in ("n1", "n2", "n3"):
        await nodes.start(work.app_of(name), name)
    await nodes.balanced()
    for _ in range(10):
        id_ = await nodes.up["n1"].service.start("fan", json.dumps(["common"] * 10))
        await output(nodes.up["n1"], id_)
    assert Counter({name: busy.total for name, busy in work.by_node.items()})["n1"] == 100


# ---- turns


def turns_of(nodes: Nodes) -> tuple[Busy, Counter[str]]:
    """How many turns are under way on all nodes, and how many by node at most."""
    busy, most = Busy(), Counter[str]()
    for name, node in nodes.up.items():
        tenure: Any = node.engine.tenure
        assert not tenure._gate.is_open, "nobody is counted"
        tenure.host.turns._gate = WatchedGate(tenure._gate, busy, most, name)
    return busy, most


class WatchedGate:
    """Counts with a node's gate."""

    def __init__(self, gate: Any, busy: Busy, most: Counter[str], name: str) -> None:
        self._gate = gate
        self._busy = busy
        self._most = most
        self._name = name

    @property
    def is_open(self) -> bool:
        return bool(self._gate.is_open)

    def enter(self, name: str) -> bool:
        entered = bool(self._gate.enter(name))
        if entered:
            self._busy.now += 1
            self._busy.total += 1
            self._busy.most = max(self._busy.most, self._busy.now)
            self._most[self._name] = max(self._most[self._name], self._gate.count)
        return entered

    def leave(self, name: str) -> None:
        self._gate.leave(name)
        self._busy.now -= 1


async def many_workflows(nodes: Nodes, count: int) -> None:
    async def one(number: int) -> None:
        node = list(nodes.up.values())[number % len(nodes.up)]
        id_ = f"w{number}"
        await node.service.start("fan", '["common", "common"]', instance_id=id_)
        assert await output(node, id_) == "1"

    async with asyncio.TaskGroup() as group:
        for number in range(count):
            group.create_task(one(number))


async def test_a_node_takes_no_more_turns_at_a_time_than_it_may(nodes: Nodes) -> None:
    work = Work(pause=0)
    for name in ("n1", "n2"):
        await nodes.start(work.app_of(name), name, workflow_concurrency=3)
    await nodes.balanced()
    busy, most = turns_of(nodes)
    await in_time(many_workflows(nodes, 60))
    assert dict(most) == {"n1": 3, "n2": 3}
    assert busy.total >= 60


async def test_the_cluster_takes_no_more_turns_at_a_time_than_it_may(nodes: Nodes) -> None:
    work = Work(pause=0)
    for name in ("n1", "n2", "n3"):
        await nodes.start(work.app_of(name), name, cluster_workflows_max=4)
    await nodes.balanced()
    busy, _ = turns_of(nodes)
    await in_time(many_workflows(nodes, 60))
    assert busy.most <= 4


async def test_the_cluster_takes_no_more_turns_of_one_name_than_it_may(nodes: Nodes) -> None:
    work = Work(pause=0)
    for name in ("n1", "n2"):
        await nodes.start(work.app_of(name), name, workflow_limits={"fan": 2})
    await nodes.balanced()
    busy, _ = turns_of(nodes)
    await in_time(many_workflows(nodes, 60))
    assert busy.most <= 2
