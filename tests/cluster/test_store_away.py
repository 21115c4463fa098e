"""A database that cannot be written for several leases: nobody is taken for dead by that.

A foreign program holds SQLite's write lock, or a process that hangs holds that of the nodes. That a
database which fails outright is survived too is shown by the simulator's faults "away" and "full"
(`tests/simulation/scenario.py`), and a full disk by `tests/e2e/test_faults.py`.
"""

from __future__ import annotations

import asyncio
import fcntl
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

import perdure
from perdure.actors.errors import Retryable
from perdure.runtime.node import Node
from tests.cluster.nodes import LEASE, PATIENCE, Nodes, output, recorded, until

CLIENTS = 24


@perdure.activity
async def double(n: int) -> int:
    return 2 * n


@perdure.workflow
async def twice(ctx: perdure.WorkflowContext, n: int) -> Any:
    return await ctx.call_activity("double", input=n)


@perdure.workflow
async def waits(ctx: perdure.WorkflowContext) -> Any:
    return await ctx.wait_for_external_event("go")


APP: list[Any] = [double, twice, waits]


@contextmanager
def hangs(path: Path) -> Iterator[None]:
    """The lock of the nodes is held, as by one of them that is stopped while it writes."""
    with path.with_name(f"{path.name}.lock").open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


@contextmanager
def held(path: Path) -> Iterator[None]:
    """SQLite's write lock is somebody else's for as long as the block lasts."""
    with closing(sqlite3.connect(path, timeout=PATIENCE, isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        yield
        connection.execute("ROLLBACK")


@pytest.mark.parametrize("lock", [held, hangs])
async def test_nobody_is_taken_for_dead_and_nothing_accepted_is_lost(
    nodes: Nodes, lock: Callable[[Path], AbstractContextManager[None]]
) -> None:
    await nodes.start_all(3, APP)
    all_nodes = list(nodes.up.values())
    members = nodes.generations()
    accepted: dict[str, int] = {}
    is_over = False

    async def client(number: int) -> None:
        """Starts one after the other, each until it is accepted, by a node after the other."""
        count = 0
        while not is_over:
            id_ = f"c{number}-{count}"
            try:
                node = all_nodes[(number + count) % 3]
                await node.service.start("twice", str(count), instance_id=id_, idempotency_key=id_)
                accepted[id_] = count
                count += 1
            except Retryable:
                await asyncio.sleep(0.05)

    with recorded() as log:
        async with asyncio.TaskGroup() as group:
            for number in range(CLIENTS):
                group.create_task(client(number))
            await until(lambda: len(accepted) >= CLIENTS, "they have begun")
            with lock(nodes.path):
                before = len(accepted)
                await asyncio.sleep(3 * LEASE)  # What is tested is that time alone does nothing.
                # At most what stood already, and was not answered yet.
                assert len(accepted) <= before + CLIENTS
            before = len(accepted)
            await until(lambda: len(accepted) >= before + CLIENTS, "they go on")
            is_over = True
        for id_, n in accepted.items():
            assert await output(all_nodes[n % 3], id_) == str(2 * n)
    assert nodes.generations() == members
    assert not log.of("node_taken_over")
    assert not log.of("node_fenced")


async def test_a_node_that_dies_meanwhile_is_taken_over_when_the_database_is_back(
    nodes: Nodes,
) -> None:
    first, second = await nodes.start_all(2, APP)
    id_ = nodes.id_of(second)
    await first.service.start("waits", instance_id=id_)
    with held(nodes.path):
        await nodes.kill("n2")
        await asyncio.sleep(1.5 * LEASE)
        assert set(nodes.generations()) == {"n1", "n2"}
    await until(lambda: set(nodes.generations()) == {"n1"}, "the dead one is taken over")
    await first.service.raise_event(id_, "go", "3")
    assert await output(first, id_) == "3"


async def test_clients_are_told_to_come_back_later_and_may_read_meanwhile(nodes: Nodes) -> None:
    one, other = [await nodes.start(APP, http=True) for _ in range(2)]
    await nodes.balanced()
    id_ = nodes.id_of(other)
    await one.service.start("waits", instance_id=id_)

    async with aiohttp.ClientSession() as client:

        async def asked(method: str, node: Node, path: str) -> tuple[int, str | None]:
            async with client.request(method, f"{node.url}/v1.0/{path}") as response:
                return response.status, response.headers.get("Retry-After")

        with held(nodes.path):
            await until(
                lambda: all("store" in node.status().unready for node in (one, other)),
                "both of them have noticed",
            )
            for node in (one, other):  # Of whom one owns the instance.
                for path in (f"{id_}/raiseEvent/go", f"waits/start?instanceID={id_}-2"):
                    status, later = await asked("POST", node, f"workflows/dapr/{path}")
                    assert (status, later is not None) == (503, True)
                assert (await asked("GET", node, f"workflows/dapr/{id_}"))[0] == 200
                assert (await asked("GET", node, "healthz"))[0] == 500
        await until(
            lambda: not one.status().unready and not other.status().unready,
            "both can write again",
        )
        for node in (one, other):
            assert (await asked("GET", node, "healthz"))[0] == 204
    await one.service.raise_event(id_, "go", "3")
    assert await output(other, id_) == "3"
