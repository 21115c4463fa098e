"""Flipped bits: whatever they hit, wrong data never comes out."""

from __future__ import annotations

import random
import sqlite3
from pathlib import Path
from typing import Any

import msgspec
import pytest

from perdure.actors.errors import Fault
from perdure.runtime.storage.errors import StoreRefused
from perdure.runtime.storage.opening import open_runner, open_store
from perdure.runtime.storage.sqlite import SqliteStore
from perdure.runtime.workflow.codec import CorruptHistory, decode_turn, encode_turn
from perdure.runtime.workflow.history import (
    ExecutionStarted,
    Failure,
    Status,
    TaskScheduled,
    Turn,
)
from perdure.runtime.workflow.records import Instance, ListQuery
from tests.contract.conftest import Engine
from tests.contract.given import SLOTS, Member, gone, identity, instance, message, ref

INSTANCES = 30
IDS = [f"order-{n}-{'x' * (n % 7)}" for n in range(INSTANCES)]


def turn(n: int) -> bytes:
    started = ExecutionStarted("order", f'{{"item": {n}}}')
    return encode_turn(Turn(n, (started,), (TaskScheduled(0, "pay", str(n), f"e{n}"),)))


async def observed(path: Path) -> dict[str, Any]:
    """Everything that can be read, a damaged part as its `Fault` or as a stalled row.

    `attempts` is left out: it has no checksum, as a join counts it up, and decides about nothing.
    """
    seen: dict[str, Any] = {}
    async with open_runner(path) as runner:
        store = SqliteStore(runner, "shop")
        for snapshot in await store.load([ref(name) for name in IDS]):
            name, state = snapshot.ref.id, snapshot.state
            seen[f"inbox {name}"] = [(row.message_id, row.body) for row in snapshot.inbox]
            if state is None:
                seen[f"row {name}"] = None
                continue
            seen[f"row {name}"] = msgspec.structs.replace(state.row, attempts=0)
            for seq, blob in state.history:
                try:
                    seen[f"turn {name} {seq}"] = decode_turn(blob)
                except CorruptHistory as fault:
                    seen[f"turn {name} {seq}"] = fault
        for row in (await store.page(ListQuery())).rows:
            seen[f"listed {row.key}"] = msgspec.structs.replace(row, attempts=0)
        # Not by a scan: whose slots are damaged is no member, and they get another owner.
        seen["reminders"] = await runner.read(
            lambda c: c.execute("SELECT * FROM reminders ORDER BY key, name").fetchall()
        )
    return seen


async def fill(path: Path) -> None:
    async with open_store(path, "shop") as store:
        member = Member(store, await store.join(identity(), SLOTS, gone))
        units = [
            member.create(
                instance(
                    n + 1,
                    name,
                    custom_status=f'"half {n}"',
                    output=f'"result {n}"' if n % 3 == 0 else None,
                    failure=Failure("ValueError", f"no stock {n}") if n % 5 == 0 else None,
                    has_work=n % 2 == 0,
                    start_requests=f"r{n}",
                ),
                turn(n),
                outbox=[message(name, f"m{n}", b"body %d" % n)],
                reminders_set=[(f"t{n}", 1000 + n)],
            )
            for n, name in enumerate(IDS)
        ]
        await member.written(*units)


def is_damaged(value: object) -> bool:
    return isinstance(value, Fault) or (
        isinstance(value, Instance)
        and value.status is Status.STALLED
        and "damaged" in (value.stalled or "")
    )


@pytest.mark.parametrize("seed", range(4))
async def test_a_flipped_bit_is_noticed_or_harmless(tmp_path: Path, seed: int) -> None:
    whole = tmp_path / "whole.db"
    await fill(whole)
    truth, content = await observed(whole), whole.read_bytes()
    chance = random.Random(seed)
    for _ in range(15):
        place = chance.randrange(len(content))
        damaged = bytearray(content)
        damaged[place] ^= 1 << chance.randrange(8)
        path = tmp_path / f"{place}.db"
        path.write_bytes(damaged)
        try:
            seen = await observed(path)
        except (Fault, StoreRefused):
            continue
        for what, value in seen.items():
            if what.startswith("inbox") and value != truth[what]:
                assert value == [(truth[what][0][0], b"")], f"byte {place}: {what}"
            else:
                assert is_damaged(value) or value == truth[what], f"byte {place}: {what}"
        assert seen.keys() >= {what for what in truth if not what.startswith("turn")}


@pytest.mark.parametrize(
    "change",
    [
        "name = 'other'",
        "status = 1",
        "status = 77",
        "output = 'wrong'",
        "output = NULL",
        "custom_status = CAST(x'ff' AS TEXT)",
        "failure = x'00'",
        "next_seq = 7",
        "has_work = 0",
        "created_us = 1",
        "parent_id = 'p'",
        "start_requests = 'r9'",
        "execution = 4",
        "next_seq = 'text'",
        "slot = 99",
    ],
)
async def test_a_changed_value_stalls_its_instance_and_no_other(
    engine: Engine, member: Member, change: str
) -> None:
    rows = [instance(n, f"o{n}", output="1", has_work=True) for n in (1, 2)]
    await member.written(*[member.create(row) for row in rows])

    def damage(connection: sqlite3.Connection) -> None:
        connection.execute(f"UPDATE workflows SET {change} WHERE key = 1")

    await engine.runner.write(damage)
    snapshots = await member.store.load([ref("o1"), ref("o2")])
    bad, good = snapshots[0].state, snapshots[1].state
    assert bad is not None
    assert good is not None
    assert is_damaged(bad.row)
    assert (bad.damage, good.damage) == (bad.row.stalled, None)
    assert (bad.row.output, bad.row.failure) == (None, None)
    assert good.row == rows[1]
    listed = (await member.store.page(ListQuery(newest_first=False))).rows
    assert is_damaged(listed[0])
    assert listed[1] == rows[1]
    found = await member.store.get("o1")
    assert found is not None
    assert is_damaged(found[0])


async def test_a_changed_message_comes_out_as_undecodable(engine: Engine, member: Member) -> None:
    await member.written(member.create(instance(1, "o1"), outbox=[message("x", "m", b"good")]))
    await engine.runner.write(lambda c: c.execute("UPDATE inbox SET body = x'00'"))
    assert await member.inbox("x") == [("m", b"")]


@pytest.mark.parametrize(
    ("column", "damaged"),
    [(b"next_seq", b"next_sex"), (b"due_us", b"due_"), (b"meta", b"mete"), (b"key ", b"kez ")],
)
async def test_a_damaged_schema_is_refused(tmp_path: Path, column: bytes, damaged: bytes) -> None:
    path = tmp_path / "shop.db"
    await fill(path)
    with path.open("r+b") as file:
        content = file.read()
        file.seek(content.index(column))
        file.write(damaged.ljust(len(column), b"\xa0"))
    with pytest.raises((Fault, StoreRefused), match=r"damaged|not one of perdure's"):
        async with open_runner(path):
            pass


async def test_a_truncated_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "shop.db"
    await fill(path)
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size // 2)
    with pytest.raises(Fault, match="damaged"):
        async with open_runner(path):
            pass
