"""Where a database may lie, what it may be, and what opening it says otherwise."""

from __future__ import annotations

import os
import sqlite3
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from perdure.actors.errors import StoreDamaged
from perdure.runtime.config import Durability
from perdure.runtime.storage.errors import (
    DirectoryMissing,
    ForeignDatabase,
    NetworkFileSystem,
    NotARegularFile,
    NotWritable,
)
from perdure.runtime.storage.filesystem import file_system_of, prepare
from perdure.runtime.storage.migrations import migrate, schema_version
from perdure.runtime.storage.opening import StoreOptions, open_runner, open_store

_NOBODY = 65534


@contextmanager
def without_privileges() -> Iterator[None]:
    """As a user whom file permissions bind."""
    if os.geteuid() != 0:
        yield
        return
    os.setresuid(_NOBODY, _NOBODY, 0)
    try:
        yield
    finally:
        os.setresuid(0, 0, 0)


@pytest.fixture
def public_directory() -> Iterator[Path]:
    """A directory that every user can reach, unlike `tmp_path`."""
    with tempfile.TemporaryDirectory() as name:
        os.chmod(name, 0o755)
        yield Path(name)


def modes(directory: Path) -> dict[str, int]:
    return {file.name: stat.S_IMODE(file.stat().st_mode) for file in directory.iterdir()}


async def test_a_database_and_its_companions_are_for_their_owner_alone(tmp_path: Path) -> None:
    async with open_runner(tmp_path / "shop.db") as runner:
        await runner.write(lambda c: c.execute("PRAGMA user_version = 1"))
        names = ["shop.db", "shop.db-wal", "shop.db-shm", "shop.db.lock"]
        assert modes(tmp_path) == dict.fromkeys(names, 0o600)


async def test_an_open_database_is_made_private(tmp_path: Path) -> None:
    path = tmp_path / "shop.db"
    path.touch()
    path.chmod(0o644)
    async with open_runner(path):
        assert modes(tmp_path)["shop.db"] == 0o600


async def test_a_closed_database_is_one_file_and_its_lock(tmp_path: Path) -> None:
    async with open_runner(tmp_path / "shop.db"):
        pass
    assert modes(tmp_path).keys() == {"shop.db", "shop.db.lock"}


@pytest.mark.parametrize(("durability", "level"), [(Durability.FULL, 2), (Durability.NORMAL, 1)])
async def test_connections_are_set_up_for_durability(
    tmp_path: Path, durability: Durability, level: int
) -> None:
    names = ("journal_mode", "synchronous", "wal_autocheckpoint", "mmap_size", "query_only")

    def read(connection: sqlite3.Connection) -> list[object]:
        return [connection.execute(f"PRAGMA {name}").fetchone()[0] for name in names]

    options = StoreOptions(durability=durability)
    async with open_runner(tmp_path / "shop.db", options) as runner:
        assert await runner.write(read) == ["wal", level, 0, 0, 0]
        assert (await runner.read(read))[2:] == [0, 0, 1]


async def test_what_was_written_is_there_after_opening_again(tmp_path: Path) -> None:
    path = tmp_path / "shop.db"
    async with open_store(path, "shop") as store:
        first = await store.reserve_keys(5)
    async with open_store(path, "shop") as store:
        assert (await store.reserve_keys(1))[0] > first[-1]


def test_a_missing_directory_is_named(tmp_path: Path) -> None:
    with pytest.raises(DirectoryMissing, match=r"missing of the database shop\.db does not exist"):
        prepare(tmp_path / "missing" / "shop.db")
    (tmp_path / "file").touch()
    with pytest.raises(DirectoryMissing):
        prepare(tmp_path / "file" / "shop.db")


def test_a_symbolic_link_is_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "link.db").symlink_to(tmp_path / "real.db")
    with pytest.raises(NotARegularFile, match=r"symbolic link.*real\.db"):
        prepare(tmp_path / "link.db")
    assert not (tmp_path / "real.db").exists()


def test_a_link_to_the_directory_is_followed(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    assert prepare(tmp_path / "link" / "shop.db") == tmp_path.resolve() / "real" / "shop.db"


def test_a_file_with_two_names_is_refused(tmp_path: Path) -> None:
    (tmp_path / "shop.db").touch()
    os.link(tmp_path / "shop.db", tmp_path / "other.db")
    with pytest.raises(NotARegularFile, match="2 names"):
        prepare(tmp_path / "shop.db")


def test_a_directory_is_no_database(tmp_path: Path) -> None:
    with pytest.raises(NotARegularFile, match="not a regular file"):
        prepare(tmp_path)


@pytest.mark.parametrize("kind", ["nfs4", "cifs", "fuse.sshfs", "9p"])
def test_a_network_file_system_is_refused(tmp_path: Path, kind: str) -> None:
    mounts = tmp_path / "mounts"
    point = str(tmp_path.resolve()).replace(" ", "\\040")
    mounts.write_text(f"/dev/sda / ext4 rw 0 0\nserver:/x {point} {kind} rw 0 0\n")
    with pytest.raises(NetworkFileSystem, match=rf"network file system \({kind}\)"):
        prepare(tmp_path / "shop.db", mounts)


def test_the_innermost_and_latest_mount_counts(tmp_path: Path) -> None:
    mounts = tmp_path / "mounts"
    mounts.write_text(
        "a / ext4 rw 0 0\nb /data nfs rw 0 0\nc /data/my\\040disk xfs rw 0 0\nd /d nfs rw 0 0\n"
        "e /d ext4 rw 0 0\n"
    )
    places = ["/", "/data", "/data/x", "/data/my disk/x", "/data/my", "/database", "/d"]
    kinds = [file_system_of(Path(place), mounts) for place in places]
    assert kinds == ["ext4", "nfs", "nfs", "xfs", "nfs", "ext4", "ext4"]


def test_a_directory_that_cannot_be_written_is_named(public_directory: Path) -> None:
    public_directory.chmod(0o555)
    with without_privileges(), pytest.raises(NotWritable, match="is not writable for this user"):
        prepare(public_directory / "shop.db")


def test_a_file_that_cannot_be_written_is_named(public_directory: Path) -> None:
    (public_directory / "shop.db").touch()
    (public_directory / "shop.db").chmod(0o444)
    public_directory.chmod(0o777)
    with without_privileges(), pytest.raises(NotWritable, match=r"shop\.db is not writable"):
        prepare(public_directory / "shop.db")


def test_a_directory_out_of_reach_is_named(public_directory: Path) -> None:
    (public_directory / "inner").mkdir(mode=0o777)
    public_directory.chmod(0o000)
    with without_privileges(), pytest.raises(NotWritable):
        prepare(public_directory / "inner" / "shop.db")


async def test_a_lock_file_that_is_a_link_is_refused(tmp_path: Path) -> None:
    (tmp_path / "shop.db.lock").symlink_to(tmp_path / "victim")
    with pytest.raises(NotWritable, match="lock file"):
        async with open_runner(tmp_path / "shop.db"):
            pass
    assert not (tmp_path / "victim").exists()


async def test_a_newer_schema_is_refused_with_both_versions(tmp_path: Path) -> None:
    path = tmp_path / "shop.db"
    async with open_runner(path) as runner:
        await runner.write(
            lambda c: c.execute("UPDATE meta SET value = 99 WHERE key = 'schema_version'")
        )
    with pytest.raises(StoreDamaged, match=r"version 99.*reads up to 2; install the release"):
        async with open_runner(path):
            pass


async def test_another_programs_database_is_refused_and_not_changed(tmp_path: Path) -> None:
    path = tmp_path / "photos.db"
    foreign = sqlite3.connect(path)
    foreign.execute("CREATE TABLE photos (name)")
    foreign.close()
    before = path.read_bytes()
    with pytest.raises(ForeignDatabase, match="not one of perdure's"):
        async with open_runner(path):
            pass
    assert path.read_bytes() == before


async def test_a_file_that_is_no_database_is_refused_and_not_changed(tmp_path: Path) -> None:
    path = tmp_path / "shop.db"
    path.write_bytes(b"hello " * 1000)
    with pytest.raises(StoreDamaged, match=r"shop\.db is damaged"):
        async with open_runner(path):
            pass
    assert path.read_bytes() == b"hello " * 1000


def test_migrations_run_in_order_each_whole_or_not_at_all() -> None:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    first = "CREATE TABLE meta (key TEXT PRIMARY KEY, value);\nCREATE TABLE a (x);"
    assert migrate(connection, [first]) == 1
    assert migrate(connection, [first]) == 1
    second = "ALTER TABLE a ADD COLUMN y;\n-- A comment; with a semicolon.\nCREATE TABLE b (z);"
    broken = "CREATE TABLE c (x);\nCREATE TABLE a (x);"
    with pytest.raises(sqlite3.OperationalError):
        migrate(connection, [first, second, broken])
    assert schema_version(connection) == 2
    tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master")}
    assert {"a", "b"} <= tables
    assert "c" not in tables
    connection.close()
