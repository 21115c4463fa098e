"""Log lines for people."""

from __future__ import annotations

import logging

from perdure.runtime.cli.logs import LineFormatter


def line(message: str, name: str = "perdure.node", **extra: object) -> str:
    record = logging.makeLogRecord(
        {"name": name, "msg": message, "levelname": "INFO", "levelno": logging.INFO, **extra}
    )
    return LineFormatter().format(record).split(" ", 1)[1]


def test_fields_follow_the_message() -> None:
    assert line("workflow completed", instance_id="o1", turns=3, event="workflow_completed") == (
        "INFO    workflow completed instance_id=o1 turns=3"
    )


def test_a_field_with_spaces_is_quoted() -> None:
    assert line("failed", reason="no stock") == 'INFO    failed reason="no stock"'


def test_foreign_loggers_are_named() -> None:
    assert line("hello", name="shop.orders") == "INFO    shop.orders: hello"


def test_a_line_stays_one_line() -> None:
    assert line("a\nb", why="c\x1b[2J") == "INFO    a\\nb why=c\\x1b[2J"
