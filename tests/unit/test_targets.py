"""Whose code a call is aimed at, and what its result is to become."""

from __future__ import annotations

from typing import Any

import pytest

from perdure.runtime.config import NodeConfig
from perdure.runtime.workflow.definition import define_activity, define_workflow
from perdure.runtime.workflow.targets import other_app, result_hint


def pay(ctx: Any, cents: int) -> list[int]:
    return [cents]


@pytest.mark.parametrize("app_id", [None, "shop"])
def test_the_own_app_is_no_other_app(app_id: str | None) -> None:
    assert other_app(app_id, "shop") is None


@pytest.mark.parametrize(
    "app_id", ["", "a b", "-bank", "bank\n", "b" * 65, "bänk", "bank", "B.a_n-k", "0", "b" * 64]
)
def test_an_app_id_is_taken_here_exactly_if_a_node_may_have_it(app_id: str) -> None:
    try:
        NodeConfig(app_id=app_id)
    except ValueError:
        with pytest.raises(ValueError, match="app_id must be 1 to 64 letters") as caught:
            other_app(app_id, "shop")
        assert repr(app_id) in str(caught.value)
    else:
        assert other_app(app_id, "shop") == app_id


def test_an_app_id_that_is_no_text_is_refused() -> None:
    with pytest.raises(ValueError, match="found 7"):
        other_app(7, "shop")  # type: ignore[arg-type]


def test_the_result_of_a_known_function_becomes_what_its_hint_says() -> None:
    known = define_activity(pay)
    assert result_hint("pay", known, None, None) == list[int]
    assert result_hint(pay, known, None, None) == list[int]
    assert result_hint(pay, known, "bank", None) == list[int]
    assert result_hint("pay", None, None, None) is Any


def test_a_name_says_nothing_about_the_code_of_another_app() -> None:
    assert result_hint("pay", define_activity(pay), "bank", None) is Any


def test_a_function_of_another_app_has_its_own_hint() -> None:
    def other(ctx: Any) -> str:
        return ""

    assert result_hint(pay, None, "bank", None) == list[int]
    assert result_hint(pay, define_workflow(other, name="pay"), "bank", None) == list[int]


def test_what_the_call_says_comes_first() -> None:
    known = define_activity(pay)
    for app_id in (None, "bank"):
        assert result_hint("pay", known, app_id, tuple[int, ...]) == tuple[int, ...]
