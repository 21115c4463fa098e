"""A database that cannot be written for several leases: nobody is taken for dead by that.

A foreign program holds SQLite's write lock. That a database which fails outright is survived too is
shown by the simulator's faults "away" and "full" (`tests/simulation/scenario.py`).
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import perdure
from perdure.actors.errors import Retryable
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
def held(path: Path) -> Iterator[None]:
    """The write lock is somebody else's for as long as the block lasts."""
    with closing(sqlite3.connect(path, timeout=PATIENCE, isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        yield
        connection.execute("ROLLBACK")


async def test_nobody_is_taken_for_dead_and_nothing_accepted_is_lost(nodes: Nodes) -> None:
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
            with held(nodes.path):
                before = len(accepted)
                await asyncio.sleep(3.5 * LEASE)  # What is tested is that time alone does nothing.
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
