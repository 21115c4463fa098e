"""Which of several workers is given something, and what is known of each."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from perdure.runtime.environment import SystemEnv
from perdure.runtime.workflow.messages import RunActivity
from perdure.runtime.workflow.workers.capacity import Capacity
from perdure.runtime.workflow.workers.pool import WorkerPool
from perdure.runtime.workflow.workers.stream import Outcome, WorkerStream
from tests.unit.turns_given import turn


def ignore(outcome: Outcome | None) -> None:
    pass


def activity(instance_id: str) -> RunActivity:
    return RunActivity(instance_id, 1, 1, 1, "pay", None, "e")


def connected(pool: WorkerPool, *capacities: Capacity) -> list[WorkerStream]:
    return [pool.connect(capacity, f"w{at}") for at, capacity in enumerate(capacities)]


async def test_a_worker_is_given_no_more_of_both_kinds_than_it_takes_together() -> None:
    for begins_with_turns in (True, False):
        pool = WorkerPool(SystemEnv())
        connected(pool, Capacity(turns=3, activities=3, together=4))
        given = 0
        for number in range(6):
            is_turn = (number < 3) is begins_with_turns
            item = (
                pool.offer_turn(turn(f"o{number}"), ignore)
                if is_turn
                else pool.offer_activity(activity(f"o{number}"), ignore)
            )
            given += item is not None
        assert given == 4


@pytest.mark.parametrize(
    "other",
    [{"key": 2}, {"execution": 2}, {"instance_id": "p"}],
    ids=lambda other: next(iter(other)),
)
async def test_a_worker_remembers_one_run_of_an_instance_and_no_other(
    other: dict[str, object],
) -> None:
    pool = WorkerPool(SystemEnv())
    (stream,) = connected(pool, Capacity(keeps_history=True))
    stream.remember(turn(), 7)
    assert stream.known_events(turn()) == 7
    assert stream.known_events(replace(turn(), **other)) == 0


async def test_a_worker_without_a_memory_knows_nothing() -> None:
    pool = WorkerPool(SystemEnv())
    (stream,) = connected(pool, Capacity())
    stream.remember(turn(), 7)
    assert stream.known_events(turn()) == 0


async def test_what_a_worker_has_seen_of_later_turns_is_no_past_of_an_earlier_one() -> None:
    stream = WorkerPool(SystemEnv()).connect(Capacity(keeps_history=True), "w")
    stream.remember(replace(turn(), after=3), 9)
    assert stream.known_events(replace(turn(), after=4)) == 9
    assert stream.known_events(replace(turn(), after=3)) == 9
    assert stream.known_events(replace(turn(), after=2)) == 0


async def test_a_turn_goes_to_the_worker_that_remembers_its_instance_as_long_as_it_has_room() -> (
    None
):
    pool = WorkerPool(SystemEnv())
    knowing, other = connected(pool, Capacity(keeps_history=True, turns=2), Capacity())
    knowing.remember(turn(), 7)
    streams = []
    for instance_id in ("other", "o", "o"):
        item = pool.offer_turn(turn(instance_id), ignore)
        assert item is not None
        streams.append(item.stream)
    assert streams == [knowing, knowing, other]
