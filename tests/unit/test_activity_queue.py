"""What waits for its turn on a node: in which order it begins, and what goes to other nodes."""

from __future__ import annotations

import pytest

from perdure.runtime.workflow.activities.queue import ActivityQueue, Kind
from perdure.runtime.workflow.activities.rooms import Room
from perdure.runtime.workflow.messages import RunActivity

PLAIN, THREADED, LIMITED = Kind("", False), Kind("", True), Kind("rare", True)


def queue_of(*kinds: Kind) -> ActivityQueue:
    """One activity of each kind, numbered from 0."""
    queue = ActivityQueue()
    for number, kind in enumerate(kinds):
        queue.put(RunActivity("i", 1, 1, number, "name", None, "x"), kind, float(number))
    return queue


def numbers(messages: list[RunActivity]) -> list[int]:
    return [message.task_id for message in messages]


def test_the_oldest_that_is_admitted_begins_first() -> None:
    queue = queue_of(THREADED, PLAIN, THREADED)
    found = queue.take(lambda kind: not kind.in_thread)
    assert found is not None
    assert (found[0].task_id, found[1], queue.size) == (1, PLAIN, 2)
    assert queue.take(lambda kind: not kind.in_thread) is None
    assert numbers([m for m, _ in filter(None, [queue.take(lambda kind: True)])]) == [0]
    assert queue.oldest_since() == 2.0


@pytest.mark.parametrize(
    ("room", "given"),
    [
        (Room(5, 5), [0, 1, 2, 3, 4]),
        (Room(2, 2), [0, 1]),
        (Room(5, 1), [0, 1, 4]),  # Plain functions beyond the threads leave their room to others.
        (Room(2, 0), [1, 4]),
        (Room(0, 0), []),
        (Room(-3, -1), []),
    ],
)
def test_what_another_node_has_room_for_goes_there_the_oldest_first(
    room: Room, given: list[int]
) -> None:
    queue = queue_of(THREADED, PLAIN, LIMITED, THREADED, PLAIN)
    assert numbers(queue.take_some(room, lambda message: True)) == given
    assert queue.size == 5 - len(given)


def test_of_a_limited_name_no_more_goes_than_may_run_there() -> None:
    queue = queue_of(LIMITED, LIMITED, THREADED, LIMITED)
    assert numbers(queue.take_some(Room(9, 9), lambda message: True, {"rare": 1})) == [0, 2]
    assert numbers(queue.take_some(Room(9, 9), lambda message: message.task_id != 1)) == [3]
