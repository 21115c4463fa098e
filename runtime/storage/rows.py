"""One row of `workflows`: its columns, its checksums, the instance that it is. A value module.

SQLite does not notice a flipped bit in a value. Two checksums do, one over what is fixed for a run
and one over what each turn writes, so that a damaged row stalls its instance and never shows wrong
data.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import Any, TypeAlias

import msgspec

from perdure.actors.errors import Fault
from perdure.runtime.workflow.codec import decode_failure, encode_failure
from perdure.runtime.workflow.history import Failure, Status
from perdure.runtime.workflow.records import Instance

Row: TypeAlias = tuple[Any, ...]

_RUN = ("key", "instance_id", "slot", "name", "created_us", "execution")
RUN_OPTIONAL = (
    "version",
    "start_requests",
    "parent_key",
    "parent_id",
    "parent_execution",
    "parent_task",
    "parent_app",
)
_TURN = ("status", "updated_us", "next_seq", "has_work")
TURN_OPTIONAL = ("custom_status", "output", "failure", "stalled")

COLUMNS = ", ".join(
    f"w.{column}"
    for column in (
        *_RUN,
        *RUN_OPTIONAL,
        *_TURN,
        *TURN_OPTIONAL,
        "run_checksum",
        "turn_checksum",
        "attempts",
    )
)
"""What to select from `workflows AS w` for `instance_of`."""

_RUN_END = len(_RUN) + len(RUN_OPTIONAL)
_TURN_END = _RUN_END + len(_TURN) + len(TURN_OPTIONAL)
_NO_RUN = (None,) * len(RUN_OPTIONAL)
_SUMMED = RUN_OPTIONAL.index("parent_app")
"""The columns before this one are in every checksum; it and those after it, which later schemas
have added, only where one of them has a value: so that a row of before keeps its checksum."""
_NO_TURN = (None,) * len(TURN_OPTIONAL)

# Unlike a `msgpack.Packer` this has no buffer of its own, so that any thread may use it.
_pack = msgspec.msgpack.Encoder().encode
_crc = zlib.crc32

Shape: TypeAlias = tuple[bool, ...]
"""For each optional column whether it is NULL. Binding a NULL costs as much as ten integers, so
that each shape has a statement of its own; there are few of them in practice."""

_NO_RUN_SHAPE: Shape = (True,) * len(RUN_OPTIONAL)
_NO_TURN_SHAPE: Shape = (True,) * len(TURN_OPTIONAL)


def run_columns(row: Instance) -> tuple[Row, Shape, Sequence[Any]]:
    """What is fixed for a run: required values and a checksum; the shape; optional values."""
    required = (row.key, row.instance_id, row.slot, row.name, row.created_us, row.execution)
    optional = (
        row.version,
        row.start_requests,
        row.parent_key,
        row.parent_id,
        row.parent_execution,
        row.parent_task,
        row.parent_app,
    )
    checksum = _run_checksum(required, optional)
    if optional == _NO_RUN:
        return (*required, checksum), _NO_RUN_SHAPE, ()
    return (*required, checksum), *_present(optional)


def turn_columns(row: Instance) -> tuple[Row, Shape, Sequence[Any]]:
    """What a turn writes, in the same form; `attempts`, which others count up, is not summed."""
    # Exact integers: sqlite3 takes a slow path for a bool or an enum.
    required = (int(row.status), row.updated_us, row.next_seq, 1 if row.has_work else 0)
    failure = None if row.failure is None else encode_failure(row.failure)
    optional = (row.custom_status, row.output, failure, row.stalled)
    checksum = _crc(_pack((row.key, row.execution, required, optional)))
    if optional == _NO_TURN:
        return (*required, row.attempts, checksum), _NO_TURN_SHAPE, ()
    return (*required, row.attempts, checksum), *_present(optional)


RUN_REQUIRED = (*_RUN, "run_checksum")
TURN_REQUIRED = (*_TURN, "attempts", "turn_checksum")


def instance_of(row: Row) -> Instance:
    """The instance of a row of `COLUMNS`. A damaged one comes out as stalled, with the reason."""
    return read_row(row)[0]


def read_row(row: Row) -> tuple[Instance, str | None]:
    """The same, and what is damaged."""
    run, turn = row[:_RUN_END], row[_RUN_END:_TURN_END]
    required, optional = run[: len(_RUN)], run[len(_RUN) :]
    key, instance_id, slot, name, created_us, execution = required
    version, start_requests, parent_key, parent_id, parent_execution, parent_task, app = optional
    run_checksum, turn_checksum, attempts = row[_TURN_END:]
    if _run_checksum(required, optional) != run_checksum:
        return _damaged(row, "what it was started with")
    state = (key, execution, turn[: len(_TURN)], turn[len(_TURN) :])
    if _crc(_pack(state)) != turn_checksum:
        return _damaged(row, "its state")
    status, updated_us, next_seq, has_work, custom_status, output, failure, stalled = turn
    instance = Instance(
        key=key,
        instance_id=instance_id,
        slot=slot,
        name=name,
        version=version,
        status=Status(status),
        created_us=created_us,
        updated_us=updated_us,
        custom_status=custom_status,
        output=output,
        failure=None if failure is None else _failure(failure),
        parent_key=parent_key,
        parent_id=parent_id,
        parent_execution=parent_execution,
        parent_task=parent_task,
        parent_app=app,
        execution=execution,
        next_seq=next_seq,
        has_work=has_work == 1,
        start_requests=start_requests,
        attempts=attempts if isinstance(attempts, int) else 0,
        stalled=stalled,
    )
    return instance, None


def _run_checksum(required: Row, optional: Row) -> int:
    if optional[_SUMMED] is None:
        optional = optional[:_SUMMED]
    return _crc(_pack((required, optional)))


def body_checksum(body: bytes) -> int:
    """The checksum of an inbox row."""
    return _crc(body)


def _present(optional: Row) -> tuple[Shape, Sequence[Any]]:
    return tuple([value is None for value in optional]), [v for v in optional if v is not None]


def _failure(blob: bytes) -> Failure:
    try:
        return decode_failure(blob)
    except Fault as fault:  # Its checksum is right, so that a later release wrote it.
        return Failure(type(fault).__name__, str(fault))


def _damaged(row: Row, what: str) -> tuple[Instance, str]:
    """As much as identifies the instance, and nothing that could be taken for its result."""
    damage = (
        f"the row of this instance is damaged ({what} does not match its checksum); restore a "
        "backup of the database, or purge the instance"
    )
    values = dict(zip((*_RUN, *RUN_OPTIONAL, *_TURN), row, strict=False))

    def integer(column: str) -> int:
        value = values[column]
        return value if isinstance(value, int) else 0

    instance = Instance(
        key=integer("key"),
        instance_id=str(values["instance_id"]),
        slot=integer("slot"),
        name=str(values["name"]),
        status=Status.STALLED,
        created_us=integer("created_us"),
        updated_us=integer("updated_us"),
        execution=integer("execution"),
        next_seq=integer("next_seq"),
        stalled=damage,
    )
    return instance, damage
