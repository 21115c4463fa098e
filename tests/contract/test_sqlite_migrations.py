"""A database of an earlier release, with rows in it, is opened by this one."""

from __future__ import annotations

import sqlite3
import zlib
from pathlib import Path

import pytest

from perdure.actors.errors import StoreDamaged
from perdure.placement.membership import NodeState
from perdure.runtime.storage import migrations
from perdure.runtime.storage.opening import open_runner, open_store
from perdure.runtime.storage.sqlite import SqliteStore
from perdure.runtime.workflow.history import Parent, Status
from tests.contract.given import SLOTS, Member, alive, gone, identity, instance, message

FIRST = (Path(migrations.__file__).with_name("schema.sql")).read_text()
_SCHEMA = "SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL ORDER BY name"


def lowered(connection: sqlite3.Connection, path: Path) -> None:
    """Write what a database holds into a file of schema version 1, as its release made it."""
    old = sqlite3.connect(path, isolation_level=None)
    old.executescript(FIRST)
    for (table,) in old.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
        columns = ", ".join(name for _, name, *_ in old.execute(f"PRAGMA table_info({table})"))
        for row in connection.execute(f"SELECT {columns} FROM {table}"):
            old.execute(f"INSERT INTO {table} VALUES ({', '.join('?' * len(row))})", row)
    checksum = zlib.crc32(repr(old.execute(_SCHEMA).fetchall()).encode())
    old.execute("UPDATE meta SET value = 1 WHERE key = 'schema_version'")
    old.execute("UPDATE meta SET value = ? WHERE key = 'schema_checksum'", (checksum,))
    for key in ("cluster_secret", "cluster_secret_digest"):
        old.execute("DELETE FROM meta WHERE key = ?", (key,))
    old.close()


@pytest.fixture
async def old(tmp_path: Path) -> Path:
    """Two instances, a message and a reminder, of a node that had died."""
    path = tmp_path / "old.db"
    async with open_runner(tmp_path / "new.db") as runner:
        store = SqliteStore(runner, "shop")
        member = Member(store, await store.join(identity(), SLOTS, gone))
        parent = {"parent_key": 1, "parent_id": "o1", "parent_execution": 1, "parent_task": 2}
        await member.written(
            member.create(instance(1, "o1", has_work=True), reminders_set=[("r", 10)]),
            member.create(instance(2, "kid", **parent), outbox=[message("o1", "m")]),
        )
        await runner.write(lambda c: lowered(c, path))
    return path


async def test_everything_is_there_and_the_node_joins(old: Path) -> None:
    async with open_store(old, "shop") as store:
        (former,) = (await store.read_cluster()).nodes
        assert (former.identity, former.state) == (identity(), NodeState.UP)
        joined = await store.join(identity(incarnation="second"), SLOTS, gone, 10)
        assert [dead.generation for dead in joined.unclean] == [1]
        assert joined.fence.generation == 2
        assert {owner.epoch for owner in joined.table.owners} == {2}
        member = Member(store, joined)
        row = (await member.loaded("o1")).row
        assert (row.status, row.has_work, row.attempts) == (Status.RUNNING, True, 1)
        kid = (await member.loaded("kid")).row
        assert kid.parent == Parent(1, "o1", 1, 2, None)
        assert await member.inbox("o1") == [("m", b"body")]
        assert await member.reminders() == [("o1", "r", 10)]
        await member.written(member.create(instance(3, "new")))
        beside = await store.join(identity("n2", "third", peer_address="p:1"), SLOTS, alive)
        assert beside.view.nodes[1].identity.peer_address == "p:1"
        assert beside.view.nodes[0].identity.peer_address == ""


async def test_it_is_the_same_as_a_new_one_then(old: Path, tmp_path: Path) -> None:
    schemas = []
    for path in (old, tmp_path / "fresh.db"):
        for _ in range(2):  # What has been migrated is opened as any other.
            async with open_runner(path) as runner:
                version = await runner.read(migrations.schema_version)
                assert version == len(migrations.MIGRATIONS) == 2
                names = await runner.read(lambda c: c.execute(_SCHEMA).fetchall())
        schemas.append([name for name, _ in names])
    assert schemas[0] == schemas[1]


async def test_a_migrated_schema_that_was_changed_by_hand_is_noticed(old: Path) -> None:
    async with open_runner(old):
        pass
    connection = sqlite3.connect(old)
    connection.execute("DROP INDEX reminders_by_due")
    connection.commit()
    connection.close()
    with pytest.raises(StoreDamaged, match="was changed by hand"):
        async with open_runner(old):
            pass
