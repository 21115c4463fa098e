"""Who may join a cluster that runs, and who may not; who is refused leaves no trace in it.

What a refused `perdure serve` prints, and its exit code, is in `tests/e2e`. That a stranger at the
peer port is refused and told of once is in `tests/peers/test_strangers.py`.
"""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

import perdure
from perdure.actors.errors import StoreDamaged
from perdure.placement.errors import ClusterSecretWrong, NodeIdTaken
from perdure.runtime.node import Node
from tests.cluster.nodes import SETTINGS, Nodes, in_time, output, recorded

SECRET, OTHER = "s3cret", "s3cret-2"


@perdure.activity
async def double(n: int) -> int:
    return 2 * n


@perdure.workflow
async def waits(ctx: perdure.WorkflowContext) -> Any:
    return await ctx.call_activity("double", input=await ctx.wait_for_external_event("go"))


APP: list[Any] = [double, waits]


class Cluster:
    """Two nodes that run, with an instance on each; what a newcomer does to them is seen."""

    def __init__(self, nodes: Nodes) -> None:
        self._nodes = nodes

    async def begin(self, **settings: Any) -> None:
        for node in await self._nodes.start_all(2, APP, **settings):
            await node.service.start("waits", instance_id=self._nodes.id_of(node))
        await self._nodes.know_each_other()
        self._rows = self._read()

    async def is_untouched(self) -> None:
        """Nothing has changed in the table of nodes and slots, and everybody is at work."""
        assert self._read() == self._rows
        nodes = list(self._nodes.up.values())
        for asked, owner in zip(nodes, reversed(nodes), strict=True):
            id_ = self._nodes.id_of(owner)
            await asked.service.raise_event(id_, "go", "3")
            assert await output(asked, id_) == "6"
        assert self._read() == self._rows

    def _read(self) -> list[Any]:
        with closing(sqlite3.connect(self._nodes.path, timeout=60)) as connection:
            return [
                connection.execute(sql).fetchall()
                for sql in (
                    "SELECT node_id, incarnation, generation, state FROM nodes ORDER BY node_id",
                    "SELECT * FROM slots ORDER BY app_id, slot",
                    "SELECT * FROM meta WHERE key NOT IN ('next_key', 'schema_version') "
                    "ORDER BY key",
                )
            ]


def execute(path: Path, sql: str) -> None:
    with closing(sqlite3.connect(path, timeout=60, isolation_level=None)) as connection:
        connection.execute(sql)


async def joined(*starts: Any) -> tuple[list[Node], list[BaseException]]:
    """Which of several starts at the same time succeeded, and with what the others failed."""
    results = await in_time(asyncio.gather(*starts, return_exceptions=True))
    return (
        [result for result in results if isinstance(result, Node)],
        [result for result in results if isinstance(result, BaseException)],
    )


# ---- one id, one node


@pytest.mark.parametrize("app_id", ["default", "bank"])
async def test_the_id_of_a_node_that_runs_is_refused_to_another(nodes: Nodes, app_id: str) -> None:
    cluster = Cluster(nodes)
    await cluster.begin()
    with recorded() as log:
        with pytest.raises(NodeIdTaken, match=r"'n1' is in use by the running process \d+ \("):
            await nodes.start(APP, "n1", app_id=app_id)
        await cluster.is_untouched()
    assert not log.of("node_fenced")
    assert not log.of("node_taken_over")


async def test_the_id_of_a_node_that_was_stopped_may_be_taken_again(nodes: Nodes) -> None:
    first, _ = await nodes.start_all(2, APP)
    before = nodes.generations()
    id_ = nodes.id_of(first)
    await first.service.start("waits", instance_id=id_)
    await nodes.stop("n1")
    with recorded() as log:
        again = await nodes.start(APP, "n1")
        await nodes.balanced()
        await again.service.raise_event(id_, "go", "3")
        assert await output(again, id_) == "6"
    assert nodes.generations()["n1"] > max(before.values())
    assert nodes.generations()["n2"] == before["n2"]
    assert not log.of("node_taken_over")  # Nobody has died.


async def test_of_several_nodes_of_one_id_that_start_at_once_one_joins(nodes: Nodes) -> None:
    [one], refused = await joined(*(nodes.start(APP, "n1") for _ in range(3)))
    assert [type(error) for error in refused] == [NodeIdTaken] * 2
    id_ = await one.service.start("waits")
    await one.service.raise_event(id_, "go", "3")
    assert await output(one, id_) == "6"
    assert len(nodes.generations()) == 1


async def test_nodes_that_start_at_once_where_no_database_is_yet_are_one_cluster(
    nodes: Nodes,
) -> None:
    up, refused = await joined(*(nodes.start(APP, f"n{n}") for n in range(4)))
    assert (len(up), refused) == (4, [])
    await nodes.balanced()
    assert len({node.status().cluster_id for node in up}) == 1
    assert len(set(nodes.generations().values())) == 4


# ---- one secret


@pytest.mark.parametrize(
    ("theirs", "own"), [(SECRET, OTHER), (SECRET, None), (None, SECRET)], ids=str
)
async def test_a_node_with_another_secret_is_refused(
    nodes: Nodes, theirs: str | None, own: str | None
) -> None:
    cluster = Cluster(nodes)
    await cluster.begin(cluster_secret=theirs)
    for _ in range(2):  # However often it tries.
        with pytest.raises(ClusterSecretWrong, match="PERDURE_CLUSTER_SECRET") as refused:
            await nodes.start(APP, "n3", cluster_secret=own)
        assert SECRET not in str(refused.value)
    await cluster.is_untouched()
    await nodes.start(APP, "n3", cluster_secret=theirs)
    await nodes.balanced()


async def test_of_nodes_with_different_secrets_that_start_at_once_one_side_joins(
    nodes: Nodes,
) -> None:
    secrets = [SECRET, OTHER] * 2
    up, refused = await joined(
        *(nodes.start(APP, f"n{n}", cluster_secret=one) for n, one in enumerate(secrets))
    )
    assert [type(error) for error in refused] == [ClusterSecretWrong] * 2
    assert len({node.config.cluster_secret for node in up}) == 1
    await nodes.balanced()


async def test_the_secret_can_be_changed_when_no_node_runs(nodes: Nodes) -> None:
    old = await nodes.start(APP, "n1", cluster_secret=SECRET)
    await old.service.start("waits", instance_id="o1")
    await nodes.stop("n1")
    for name in ("n1", "n2"):
        await nodes.start(APP, name, cluster_secret=OTHER)
    await nodes.balanced()
    for node in nodes.up.values():  # One of them asks the other, by the new secret.
        await node.service.raise_event("o1", "go", "3")
        assert await output(node, "o1") == "6"


# ---- one schema


async def test_a_database_of_a_newer_release_is_refused_while_its_nodes_go_on(
    nodes: Nodes,
) -> None:
    cluster = Cluster(nodes)
    await cluster.begin()
    found = "UPDATE meta SET value = value {} WHERE key = 'schema_version'"
    execute(nodes.path, found.format("+ 1"))
    with pytest.raises(StoreDamaged, match="install the release that wrote it"):
        await nodes.start(APP, "n3")
    await cluster.is_untouched()
    execute(nodes.path, found.format("- 1"))
    await nodes.start(APP, "n3")
    await nodes.balanced()


# ---- one number of slots


@pytest.mark.parametrize("own", [8, 1000])
async def test_a_node_that_is_set_to_another_number_of_slots_takes_that_of_the_cluster(
    nodes: Nodes, own: int
) -> None:
    first = await nodes.start(APP, "n1")
    second = await nodes.start(APP, "n2", slots=own)
    await nodes.balanced()  # Which counts the slots.
    for owner in (first, second):
        for asked in (first, second):
            id_ = nodes.ids_of(owner, 2)[asked is second]
            await asked.service.start("waits", instance_id=id_)
            await asked.service.raise_event(id_, "go", "3")
            assert await output(asked, id_) == "6"
    await nodes.stop("n1")
    assert len(second.engine.router.owned_slots) == SETTINGS["slots"]
