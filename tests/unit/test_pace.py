"""How long a commit may wait for the next answer of a worker."""

from __future__ import annotations

import pytest

from perdure.runtime.workflow.workers.pace import Pace


def pace(seconds: float) -> Pace:
    """Workers that have long answered at that pace."""
    made = Pace()
    for _ in range(500):
        made.answered(seconds)
    return made


def test_without_an_answer_nothing_is_known() -> None:
    assert Pace().patience(1000) == 0


def test_a_small_part_of_the_time_of_an_answer_is_worth_waiting() -> None:
    assert pace(0.03).patience(20) == pytest.approx(0.003, rel=0.01)


@pytest.mark.parametrize("out", [0, 1, 5])
def test_few_that_are_out_are_not_waited_for(out: int) -> None:
    assert pace(0.03).patience(out) == 0


def test_slow_workers_are_waited_for_only_if_very_many_are_out() -> None:
    assert pace(10).patience(100) == 0
    assert 0 < pace(10).patience(5000) <= 0.005


def test_what_takes_less_than_a_timer_is_not_waited_for() -> None:
    assert pace(0.005).patience(1000) == 0


def test_the_pace_follows_the_workers() -> None:
    changed = pace(10)
    for _ in range(500):
        changed.answered(0.03)
    assert changed.patience(20) > 0
