"""How SQLite finds what is asked for: a read must cost what it finds, not what the table holds."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

import pytest

from perdure.runtime.storage import load, reads, scan
from perdure.runtime.workflow.history import Status
from perdure.runtime.workflow.records import ListQuery
from tests.contract.conftest import Engine

MINE = ("shop", "n1", 1)
"""App, node and generation: whose slots are scanned."""


@pytest.mark.parametrize(
    ("sql", "arguments", "way"),
    [
        (scan._WORK, ("shop", 0, *MINE, 10), "SEARCH workflows USING INDEX workflows_with_work"),
        (scan._STALLED, ("shop", 0, *MINE, 10), "SEARCH workflows USING INDEX workflows_stalled"),
        (scan._INBOX, ("shop", 0, *MINE, 10), "SEARCH inbox USING INTEGER PRIMARY KEY"),
        (scan._REMINDERS, (5, *MINE, "shop", 10), "SEARCH r USING COVERING INDEX reminders_by_due"),
        (reads._CHILDREN, (5,), "SEARCH w USING INDEX workflows_by_parent"),
        (load._ROW, ("shop", "o1"), "SEARCH w USING INDEX workflows_by_id"),
        (load._HISTORY, (1, 1), "SEARCH history USING PRIMARY KEY"),
        (*reads.page_statement("shop", ListQuery(), 10), "SCAN w"),
        (*reads.page_statement("shop", ListQuery(after_key=5), 10), "USING INTEGER PRIMARY KEY"),
        (*reads.page_statement("shop", ListQuery(statuses=(Status.FAILED,)), 10), "SCAN w"),
    ],
)
async def test_rows_are_found_in_order(
    engine: Engine, sql: str, arguments: Sequence[object], way: str
) -> None:
    def plan(connection: sqlite3.Connection) -> str:
        rows = connection.execute(f"EXPLAIN QUERY PLAN {sql}", arguments)
        return " / ".join(row[3] for row in rows)

    found = await engine.runner.read(plan)
    assert way in found
    assert "TEMP B-TREE" not in found


async def test_a_prefix_of_ids_is_found_by_its_index(engine: Engine) -> None:
    sql, arguments = reads.page_statement("shop", ListQuery(id_prefix="o"), 10)
    rows = await engine.runner.read(
        lambda c: c.execute(f"EXPLAIN QUERY PLAN {sql}", arguments).fetchall()
    )
    assert "workflows_by_id (app_id=? AND instance_id>? AND instance_id<?)" in rows[0][3]


@pytest.mark.parametrize("sql", [scan._WORK, scan._STALLED, scan._INBOX, scan._REMINDERS])
async def test_whose_slots_they_are_is_found_by_keys_too(engine: Engine, sql: str) -> None:
    arguments = [0] * sql.count("?")
    rows = await engine.runner.read(
        lambda c: c.execute(f"EXPLAIN QUERY PLAN {sql}", arguments).fetchall()
    )
    steps = [row[3] for row in rows]
    assert any("SEARCH slots USING PRIMARY KEY (app_id=?" in step for step in steps)
    assert not [step for step in steps if step.startswith("SCAN")]
