"""The checksums of a row of `workflows`, over the releases that wrote it."""

import zlib
from typing import Any

import msgspec
import pytest

from perdure.runtime.storage import rows
from perdure.runtime.workflow.history import Status
from perdure.runtime.workflow.records import Instance

CHILD: dict[str, Any] = {
    "parent_key": 3,
    "parent_id": "p",
    "parent_execution": 2,
    "parent_task": 9,
}


def instance(**changes: Any) -> Instance:
    return Instance(
        key=7,
        instance_id="o1",
        slot=4,
        name="order",
        status=Status.RUNNING,
        created_us=100,
        updated_us=200,
        execution=1,
        next_seq=1,
        **changes,
    )


def stored(row: Instance) -> tuple[Any, ...]:
    """The row as a `SELECT` of `COLUMNS` finds it."""
    (*run, run_checksum), _, _ = rows.run_columns(row)
    (*turn, attempts, turn_checksum), _, _ = rows.turn_columns(row)
    parents = [getattr(row, column) for column in rows.RUN_OPTIONAL]
    state = [getattr(row, column) for column in rows.TURN_OPTIONAL]
    return (*run, *parents, *turn, *state, run_checksum, turn_checksum, attempts)


@pytest.mark.parametrize("changes", [{}, {"version": "v1", "start_requests": "r"}, CHILD], ids=str)
def test_a_row_without_a_parent_elsewhere_has_the_checksum_of_before(changes: Any) -> None:
    """Releases without apps summed up six optional columns."""
    row = instance(**changes)
    six = (row.version, row.start_requests, row.parent_key, row.parent_id)
    content = (
        (7, "o1", 4, "order", 100, 1),
        (*six, row.parent_execution, row.parent_task),
    )
    then = zlib.crc32(msgspec.msgpack.encode(content))
    assert rows.run_columns(row)[0][-1] == then
    assert rows.read_row(stored(row)) == (row, None)


def test_the_app_of_a_parent_is_part_of_the_checksum() -> None:
    row = instance(**CHILD, parent_app="bank")
    assert rows.read_row(stored(row)) == (row, None)
    place = rows.COLUMNS.split(", ").index("w.parent_app")
    for other in (None, "bang", b"bank"):
        damaged = list(stored(row))
        damaged[place] = other
        found, damage = rows.read_row(tuple(damaged))
        assert damage is not None
        assert found.status is Status.STALLED
    added = list(stored(instance(**CHILD)))
    added[place] = "bank"
    assert rows.read_row(tuple(added))[1] is not None
