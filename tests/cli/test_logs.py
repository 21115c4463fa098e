"""Log lines for people."""

from __future__ import annotations

import logging

import pytest

import perdure
from perdure.runtime.cli.logs import LineFormatter, is_for_users, line_handler
from perdure.runtime.workflow.execution import Execution, Run
from perdure.runtime.workflow.history import ExecutionStarted


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


def test_a_list_is_shown_without_pythons_brackets() -> None:
    assert line("cancelled", activities=["pack for o1"]) == (
        'INFO    cancelled activities="pack for o1"'
    )


def test_a_warning_of_python_and_its_source_stand_on_one_line() -> None:
    said = "app.py:3: RuntimeWarning: coroutine 'sleep' was never awaited\n  asyncio.sleep(1)\n"
    assert line(said, name="py.warnings") == (
        "INFO    py.warnings: app.py:3: RuntimeWarning: coroutine 'sleep' was never awaited: "
        "asyncio.sleep(1)"
    )


@pytest.mark.parametrize("is_replaying", [False, True])
def test_what_a_workflow_logs_is_not_said_again_at_a_replay(is_replaying: bool) -> None:
    said: list[bool] = []

    @perdure.workflow
    def talks(ctx: perdure.WorkflowContext) -> None:
        said.append(bool(line_handler().filter(logging.makeLogRecord({"msg": "hello"}))))

    registry = perdure.Registry.of([talks])
    definition = registry.workflow("talks")
    assert definition is not None
    execution = Execution(Run(definition, "i", 1, registry, logging.getLogger()))
    execution.begin_turn(0, is_replaying=is_replaying)
    execution.apply(ExecutionStarted("talks"))
    assert said == [not is_replaying]
    assert line_handler().filter(logging.makeLogRecord({"msg": "outside"}))


@pytest.mark.parametrize(
    ("name", "level", "is_shown"),
    [
        ("perdure.node", logging.DEBUG, True),
        ("root", logging.DEBUG, True),
        ("shop.orders", logging.DEBUG, True),
        ("shopping", logging.DEBUG, False),
        ("some.library", logging.DEBUG, False),
        ("some.library", logging.INFO, True),
        ("asked.for.it", logging.DEBUG, True),
    ],
)
def test_debugging_is_shown_of_perdure_and_the_app_and_of_what_is_asked_for(
    name: str, level: int, is_shown: bool
) -> None:
    asked = logging.getLogger("asked.for")
    asked.setLevel(logging.DEBUG)
    try:
        record = logging.makeLogRecord({"name": name, "levelno": level})
        assert is_for_users(record, {"root", "perdure", "shop"}) is is_shown
    finally:
        asked.setLevel(logging.NOTSET)
