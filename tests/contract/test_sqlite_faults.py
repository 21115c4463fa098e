"""A database that cannot write at present, and transactions that end by themselves."""

from __future__ import annotations

import asyncio
import sqlite3
import sys
from pathlib import Path

import pytest

from perdure.actors.errors import CommitUnknown, StoreDamaged, StoreUnavailable, TurnConflict
from perdure.runtime.storage.opening import open_store
from tests.contract.conftest import Engine
from tests.contract.given import Member, instance, message

_SMALL_FILE = """
import asyncio, resource, sys
from perdure.actors.errors import StoreUnavailable
from perdure.runtime.storage.opening import open_store

async def main():
    async with open_store(sys.argv[1], "shop") as store:
        first = (await store.reserve_keys(1))[0]
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))
        try:
            await store.reserve_keys(1)
        except StoreUnavailable as error:
            print(type(error).__name__, "resumes by itself" in str(error))
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        print((await store.reserve_keys(1))[0] - first)

asyncio.run(main())
"""


def execute(engine: Engine, *statements: str) -> asyncio.Future[None]:
    """On the writing connection, outside any transaction."""

    def run(connection: sqlite3.Connection) -> None:
        for statement in statements:
            connection.execute(statement).fetchall()

    return asyncio.ensure_future(engine.runner.write(run))


async def test_a_full_database_refuses_whole_batches_and_recovers(
    engine: Engine, member: Member
) -> None:
    await member.written(member.create(instance(1, "before")))
    pages = await engine.runner.read(lambda c: c.execute("PRAGMA page_count").fetchone()[0])
    await execute(engine, f"PRAGMA max_page_count = {pages}")
    rows = [instance(10 + n, f"o{n}") for n in range(4)]
    large = [member.create(row, b"x" * 100_000) for row in rows]
    for _ in range(2):
        with pytest.raises(StoreUnavailable, match=r"full; free some space"):
            await member.commit(member.create(instance(2, "small")), *large)
    assert await member.loaded("small") is None
    assert (await member.loaded("before")).row.key == 1
    await execute(engine, "PRAGMA max_page_count = 1073741823")
    await member.written(member.create(instance(2, "small")), *large)
    assert (await member.loaded("o3")).history == [(0, b"x" * 100_000)]


async def test_a_database_that_fills_up_while_units_are_tried_alone_loses_the_whole_batch(
    engine: Engine, member: Member
) -> None:
    """SQLite rolls back by itself then; what came after would be committed outside the fence."""
    await member.written(member.create(instance(1, "taken")))
    pages = await engine.runner.read(lambda c: c.execute("PRAGMA page_count").fetchone()[0])
    await execute(engine, f"PRAGMA max_page_count = {pages + 2}")
    before = await engine.rows()
    with pytest.raises(StoreUnavailable, match="full"):
        await member.commit(
            member.create(instance(2, "good")),
            member.create(instance(3, "taken")),
            member.create(instance(4, "large"), b"x" * 100_000),
            member.create(instance(5, "after")),
        )
    assert await engine.rows() == before
    await member.written(member.create(instance(2, "good")))


async def test_a_transaction_that_ends_within_a_unit_loses_the_whole_batch(
    engine: Engine, member: Member
) -> None:
    await execute(
        engine,
        "CREATE TRIGGER ends BEFORE INSERT ON history WHEN NEW.key = 3 "
        "BEGIN SELECT RAISE(ROLLBACK, 'ended by itself'); END",
    )
    with pytest.raises(StoreUnavailable, match="rolled back at workflow/bad"):
        await member.commit(
            member.create(instance(2, "good")),
            member.create(instance(3, "bad")),
            member.create(instance(4, "after"), outbox=[message("x", "m")]),
        )
    assert set((await engine.rows()).values()) == {0}
    await member.written(member.create(instance(2, "good")))


async def test_a_database_that_has_become_read_only_is_unavailable(
    engine: Engine, member: Member
) -> None:
    await execute(engine, "PRAGMA query_only = 1")
    with pytest.raises(StoreUnavailable, match="read-only; make the file"):
        await member.commit(member.create(instance(1, "o1")))
    with pytest.raises(StoreUnavailable):
        await member.store.reserve_keys(1)
    await execute(engine, "PRAGMA query_only = 0")
    await member.written(member.create(instance(1, "o1")))


async def test_a_commit_that_fails_with_an_unknown_error_is_unknown(
    engine: Engine, member: Member
) -> None:
    await execute(
        engine,
        "PRAGMA foreign_keys = 1",
        "CREATE TABLE orphans (parent REFERENCES workflows (key) DEFERRABLE INITIALLY DEFERRED)",
        "CREATE TRIGGER orphan AFTER INSERT ON history WHEN NEW.key = 3 "
        "BEGIN INSERT INTO orphans VALUES (999); END",
    )
    with pytest.raises(CommitUnknown, match="not known"):
        await member.commit(member.create(instance(3, "bad")))
    assert set((await engine.rows()).values()) == {0}
    await member.written(member.create(instance(4, "good")))


async def test_a_unit_with_an_error_of_its_own_gets_that_error(
    engine: Engine, member: Member
) -> None:
    await execute(
        engine,
        "CREATE TRIGGER refuses BEFORE INSERT ON history WHEN NEW.key = 3 "
        "BEGIN SELECT RAISE(ABORT, 'refused'); END",
    )
    outcomes = await member.commit(
        member.create(instance(3, "bad")), member.create(instance(4, "good"))
    )
    assert isinstance(outcomes[0], TurnConflict)
    assert "workflow/bad: refused" in str(outcomes[0])
    assert outcomes[1] is None


async def test_a_file_that_may_not_grow_is_unavailable_until_it_may(tmp_path: Path) -> None:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", _SMALL_FILE, str(tmp_path / "shop.db")),
        stdout=asyncio.subprocess.PIPE,
    )
    output, _ = await process.communicate()
    assert output.decode().splitlines() == ["StoreUnavailable True", "1"]


@pytest.mark.parametrize("end", ["", "-wal"])
async def test_a_file_that_disappears_under_an_open_database_is_noticed(
    tmp_path: Path, end: str
) -> None:
    """SQLite would go on, and everything from then on would be lost."""
    path = tmp_path / "shop.db"
    async with open_store(path, "shop") as store:
        await store.reserve_keys(1)
        path.with_name(path.name + end).rename(tmp_path / "moved")
        with pytest.raises(StoreDamaged, match="deleted or replaced"):
            await store.reserve_keys(1)


async def test_a_foreign_lock_on_the_database_is_unavailable_until_it_ends(tmp_path: Path) -> None:
    path = tmp_path / "shop.db"
    async with open_store(path, "shop") as store:
        shell = sqlite3.connect(path, isolation_level=None)
        try:
            shell.execute("BEGIN IMMEDIATE")
            with pytest.raises(StoreUnavailable, match="another process has it locked"):
                await store.reserve_keys(1)
            shell.execute("ROLLBACK")
        finally:
            shell.close()
        assert len(await store.reserve_keys(1)) == 1
