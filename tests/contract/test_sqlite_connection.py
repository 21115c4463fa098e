"""Threads, cancellation, the write lock and checkpoints: how transactions of a file are run."""

from __future__ import annotations

import asyncio
import fcntl
import os
import sqlite3
import sys
import threading
from pathlib import Path

import aiosqlite
import pytest

from perdure.actors.errors import StoreUnavailable
from perdure.runtime.storage.connection import on_thread
from perdure.runtime.storage.errors import WriterStuck
from perdure.runtime.storage.lock import process_started, read_holder
from perdure.runtime.storage.opening import StoreOptions, open_runner, open_store
from perdure.runtime.storage.sqlite import SqliteStore
from tests.contract.conftest import Engine
from tests.contract.given import Member, instance

_WRITER = """
import asyncio, sys
from perdure.runtime.storage.opening import open_store

async def main():
    async with open_store(sys.argv[1], "shop") as store:
        for _ in range(int(sys.argv[2])):
            print(*(await store.reserve_keys(3)))

asyncio.run(main())
"""


async def test_aiosqlite_runs_a_function_whole_on_one_thread_in_order() -> None:
    """Pins the private method that `on_thread` rests on."""
    async with aiosqlite.connect(":memory:") as connection:
        order: list[tuple[int, int]] = []
        await asyncio.gather(
            *[
                on_thread(connection, lambda n=n: order.append((n, threading.get_ident())))
                for n in range(50)
            ]
        )
        assert [n for n, _ in order] == list(range(50))
        assert len({thread for _, thread in order}) == 1
        assert order[0][1] != threading.get_ident()
        assert await on_thread(connection, lambda a, b: a + b, 1, 2) == 3
        with pytest.raises(ZeroDivisionError):
            await on_thread(connection, lambda: 1 // 0)


async def test_aiosqlite_runs_a_function_whose_awaiter_was_cancelled() -> None:
    async with aiosqlite.connect(":memory:") as connection:
        gate = threading.Event()
        done: list[str] = []

        async def waits() -> None:
            await on_thread(connection, gate.wait)

        async def follows() -> None:
            await on_thread(connection, done.append, "ran")

        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(waits()), group.create_task(follows())]
            await asyncio.sleep(0)
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
            gate.set()
        await on_thread(connection, done.append, "next")
        assert done == ["ran", "next"]


async def test_a_cancelled_commit_still_commits(engine: Engine, member: Member) -> None:
    gate = threading.Event()
    async with asyncio.TaskGroup() as group:
        blocked = group.create_task(engine.runner.write(lambda _: gate.wait()))
        commit = group.create_task(member.commit(member.create(instance(1, "o1"))))
        await asyncio.sleep(0)
        commit.cancel()
        with pytest.raises(asyncio.CancelledError):
            await commit
        gate.set()
        await blocked
    await member.commit()  # Writes run in order: the cancelled one is over after this.
    assert (await member.loaded("o1")).row == instance(1, "o1")


async def test_closing_waits_for_writes_that_nobody_awaits(tmp_path: Path) -> None:
    path = tmp_path / "shop.db"
    gate = threading.Event()
    async with asyncio.TaskGroup() as group, open_runner(path) as runner:
        store = SqliteStore(runner, "shop")
        blocked = group.create_task(runner.write(lambda _: gate.wait()))
        left = group.create_task(store.reserve_keys(7))
        await asyncio.sleep(0)
        for task in (blocked, left):
            task.cancel()
        gate.set()
    async with open_store(path, "shop") as again:
        assert (await again.reserve_keys(1))[0] == 8
    with pytest.raises(StoreUnavailable, match="is closed"):
        await store.reserve_keys(1)
    with pytest.raises(StoreUnavailable, match="is closed"):
        await store.read_cluster()


async def test_an_error_in_a_transaction_leaves_none_open(engine: Engine) -> None:
    store = engine.store()

    def fails(connection: sqlite3.Connection) -> None:
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("INSERT INTO meta VALUES ('half', 1)")
        raise LookupError

    with pytest.raises(LookupError):
        await engine.runner.write(fails)
    keys = await store.reserve_keys(2)
    assert len(keys) == 2
    found = await engine.runner.read(
        lambda c: c.execute("SELECT count(*) FROM meta WHERE key = 'half'").fetchone()
    )
    assert found == (0,)


async def test_the_reading_connection_cannot_write(tmp_path: Path) -> None:
    async with open_runner(tmp_path / "shop.db") as runner:
        with pytest.raises(sqlite3.OperationalError, match="readonly"):
            await runner.read(lambda c: c.execute("DELETE FROM meta"))


async def test_writers_in_two_processes_take_turns(tmp_path: Path) -> None:
    path = tmp_path / "shop.db"
    processes = [
        await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", _WRITER, str(path), "40"), stdout=asyncio.subprocess.PIPE
        )
        for _ in range(2)
    ]
    outputs = [(await process.communicate())[0] for process in processes]
    assert [process.returncode for process in processes] == [0, 0]
    keys = [int(word) for output in outputs for word in output.split()]
    assert sorted(keys) == list(range(1, 2 * 40 * 3 + 1))


async def test_a_write_waits_for_the_lock_and_says_who_holds_it(tmp_path: Path) -> None:
    path, lock = tmp_path / "shop.db", tmp_path / "shop.db.lock"
    async with open_store(path, "other", StoreOptions(node_id="n7")) as other:
        await other.reserve_keys(1)
        options = StoreOptions(lock_wait_seconds=0.05)
        async with open_store(path, "shop", options) as store:
            held = os.open(lock, os.O_RDWR)
            try:
                await other.reserve_keys(1)
                fcntl.flock(held, fcntl.LOCK_EX)
                for _ in range(2):
                    with pytest.raises(WriterStuck, match=r"'n7'.*has held the write lock") as info:
                        await store.reserve_keys(1)
                assert info.value.holder == read_holder(lock)
                assert (await store.read_cluster()).tables == {}
                fcntl.flock(held, fcntl.LOCK_UN)
                assert len(await store.reserve_keys(1)) == 1
            finally:
                os.close(held)
            await other.reserve_keys(1)
            await store.reserve_keys(1)


async def test_a_lock_that_comes_after_giving_up_is_given_back(tmp_path: Path) -> None:
    """Else a node that has given up would keep all others waiting until its next write."""
    path, lock = tmp_path / "shop.db", tmp_path / "shop.db.lock"
    async with open_store(path, "shop", StoreOptions(lock_wait_seconds=0.05)) as store:
        held, third = os.open(lock, os.O_RDWR), os.open(lock, os.O_RDWR)
        try:
            fcntl.flock(held, fcntl.LOCK_EX)
            with pytest.raises(WriterStuck):
                await store.reserve_keys(1)
            fcntl.flock(held, fcntl.LOCK_UN)
            await asyncio.to_thread(fcntl.flock, third, fcntl.LOCK_EX)
            fcntl.flock(third, fcntl.LOCK_UN)
            assert len(await store.reserve_keys(1)) == 1
        finally:
            os.close(held)
            os.close(third)


async def test_the_lock_file_names_its_last_holder(tmp_path: Path) -> None:
    async with open_runner(tmp_path / "shop.db", StoreOptions(node_id='n"1\n')):
        holder = read_holder(tmp_path / "shop.db.lock")
    assert holder is not None
    assert (holder.pid, holder.node_id) == (os.getpid(), 'n"1\n')
    assert holder.started == process_started(os.getpid())
    assert read_holder(tmp_path / "missing") is None


async def test_the_log_is_copied_back_and_does_not_grow_without_end(tmp_path: Path) -> None:
    path, log = tmp_path / "shop.db", tmp_path / "shop.db-wal"

    def churn(connection: sqlite3.Connection) -> None:
        """About 500 pages."""
        connection.execute(
            "INSERT INTO meta VALUES ('x', randomblob(2000000)) "
            "ON CONFLICT (key) DO UPDATE SET value = excluded.value"
        )

    sizes = []
    async with open_runner(path) as runner:
        for _ in range(20):
            await runner.write(churn)
            sizes.append(log.stat().st_size)
        assert max(sizes) < 10 << 20
        assert path.stat().st_size > 1 << 20
    assert not log.exists()


async def test_a_reader_on_an_old_snapshot_only_delays_the_log(tmp_path: Path) -> None:
    path, log = tmp_path / "shop.db", tmp_path / "shop.db-wal"

    def churn(connection: sqlite3.Connection) -> None:
        connection.execute("INSERT INTO meta VALUES (hex(randomblob(9)), randomblob(2000000))")

    async with open_runner(path) as runner:
        await runner.read(lambda c: c.execute("BEGIN").execute("SELECT * FROM meta").fetchall())
        for _ in range(10):
            await runner.write(churn)
        assert log.stat().st_size > 15 << 20
        await runner.read(lambda c: c.execute("COMMIT"))
        for _ in range(5):
            await runner.write(churn)
        assert log.stat().st_size < 10 << 20


async def test_a_closed_store_says_so(engine: Engine, member: Member) -> None:
    await engine.runner.close()  # type: ignore[attr-defined]
    with pytest.raises(StoreUnavailable, match="is closed"):
        await member.commit()
    with pytest.raises(StoreUnavailable, match="is closed"):
        await member.loaded("o1")
