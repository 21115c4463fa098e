"""Which second runs of an activity the judge of a chaos round takes for right."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import pytest

from tests.chaos.journal import Call, Run, check_repeats
from tests.chaos.nodes import FROZEN, KILLED, Fault, Process

FIRST, SECOND = 1, 2
CALL = Call("o", "charge", "e", 1)


class Handle:
    def __init__(self, pid: int) -> None:
        self.pid = pid


@pytest.fixture
def nodes(tmp_path: Path) -> dict[int, Process]:
    """Two processes that log nothing."""
    found = {}
    for pid in (FIRST, SECOND):
        log = tmp_path / f"n{pid}.log"
        log.touch()
        found[pid] = Process(f"n{pid}", log, cast(Any, Handle(pid)))
    return found


def judged(nodes: dict[int, Process], second: float) -> int:
    """How many problems there are with a run at 10.0 and one at `second` on the other node."""
    runs = {CALL: [Run(10.0, FIRST), Run(second, SECOND)]}
    repeats, problems = check_repeats(runs, list(nodes.values()))
    assert repeats == 1
    return len(problems)


def test_a_repeat_without_a_fault_is_a_problem(nodes: dict[int, Process]) -> None:
    assert judged(nodes, 11.0) == 1


def test_it_is_none_if_the_first_process_was_killed_in_between(nodes: dict[int, Process]) -> None:
    nodes[FIRST].faults.append(Fault(KILLED, 10.5, 10.5))
    assert judged(nodes, 11.0) == 0
    assert judged(nodes, 10.2) == 1


def test_nor_if_the_second_was_frozen_and_has_not_heard_yet_that_it_was_taken_for_dead(
    nodes: dict[int, Process],
) -> None:
    nodes[SECOND].faults.append(Fault(FROZEN, 8.0, 10.9))
    assert judged(nodes, 11.0) == 0
    assert judged(nodes, 15.0) == 1
