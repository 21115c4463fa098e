"""Who is dead, as one observer sees it: counted on its own clock, and never on its own account."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import pytest

from perdure.placement.detector import Detector
from perdure.placement.membership import NodeState
from tests.unit.placement.given import identity, record

LEASE = 6.0
"""So a look or a write that is more than 2 s old is too old."""


class Look(NamedTuple):
    at: float
    heartbeat: int = 1
    wrote_at: float | None = None
    """When the observer last wrote; None for just now."""


SILENT = [Look(float(at)) for at in range(7)]


def deaths(looks: list[Look]) -> list[float]:
    """At which looks the node is found dead."""
    detector = Detector(LEASE)
    found = []
    for look in looks:
        wrote_at = look.at if look.wrote_at is None else look.wrote_at
        if detector.look(look.at, wrote_at, [record("n2", heartbeat=look.heartbeat)]):
            found.append(look.at)
    return found


@pytest.mark.parametrize(
    ("looks", "expected"),
    [
        pytest.param(SILENT, [6.0], id="a heartbeat that stands still for a lease"),
        pytest.param(SILENT[:-1], [], id="and not a moment earlier"),
        pytest.param(
            [Look(0), Look(2), Look(4), *(Look(at, heartbeat=2) for at in (6, 8, 10, 11.9, 12))],
            [12.0],
            id="a heartbeat that moves begins anew",
        ),
        pytest.param(
            [Look(0, 5), Look(2, 5), Look(4, 4), Look(6, 4), Look(8, 4)],
            [],
            id="any other number is a sign of life",
        ),
        pytest.param([Look(0), Look(60)], [], id="one that slept has seen nothing"),
        pytest.param(
            [Look(0), Look(2), Look(4.1), *map(Look, (6, 8, 10, 10.1))],
            [10.1],
            id="nor has one that slept for a moment only",
        ),
        pytest.param(
            [Look(at, wrote_at=0) for at in (0, 1, 2, 3, 4, 5, 6, 7, 8)],
            [],
            id="one that cannot write sees no death",
        ),
        pytest.param(
            [Look(0), Look(2, wrote_at=-0.1), *map(Look, (4, 6, 7.9, 8))],
            [8.0],
            id="and counts from when it last could not",
        ),
        pytest.param(
            [*SILENT, Look(7), Look(8)], [6.0, 7.0, 8.0], id="the dead stay so until buried"
        ),
    ],
)
def test_a_node_is_dead(looks: list[Look], expected: list[float]) -> None:
    assert deaths(looks) == expected


def test_a_new_stay_and_a_new_process_of_a_node_begin_anew() -> None:
    before = record("n2", 1)
    for later in (record("n2", 2), replace(before, identity=identity("n2", "another"))):
        detector = Detector(LEASE)
        for at in (0, 2, 4):
            assert detector.look(at, at, [before]) == []
        for at in (6, 8, 10):
            assert detector.look(at, at, [later]) == []
        assert detector.silence_of(later, 10) == 4
        assert detector.look(12, 12, [later]) == [later]


def test_who_has_left_or_is_buried_is_not_looked_at() -> None:
    detector = Detector(LEASE)
    for at in (0, 2, 4, 6, 8):
        gone = [record("n2", state=NodeState.LEFT), record("n3", state=NodeState.DEAD)]
        draining = record("n4", state=NodeState.DRAINING)
        found = detector.look(at, at, [*gone, draining])
        assert found == ([draining] if at >= 6 else [])
    assert detector.silence_of(gone[0], 8) == 0


def test_one_that_was_out_of_sight_begins_anew() -> None:
    detector = Detector(LEASE)
    for at in (0, 2, 4):
        detector.look(at, at, [record("n2")])
    assert detector.look(6, 6, []) == []
    assert detector.look(8, 8, [record("n2")]) == []
