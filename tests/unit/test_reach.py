"""What is learned of how large an item workers receive, from what became of what they were sent."""

from __future__ import annotations

from perdure.runtime.workflow.workers.reach import (
    AGAIN_SECONDS,
    LOSSES_MAX,
    RECEIVED_BY_ALL,
    SUDDEN_SECONDS,
    Reach,
    Sent,
)

LARGE = RECEIVED_BY_ALL + 1


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class Kind:
    """Workers of one kind, whose streams end at what they are sent."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.reach = Reach(self.clock)

    def stream(self) -> Sent:
        return Sent(self.reach)

    def lose(self, *sizes: int, after: float = 0.0, times: int = 1) -> None:
        for _ in range(times):
            stream = self.stream()
            for number, size in enumerate(sizes):
                stream.sent(f"i{number}", size)
            self.clock.now += after
            stream.broke_off()


def judged(*sizes: int) -> Kind:
    kind = Kind()
    kind.lose(*sizes or (LARGE,), times=LOSSES_MAX)
    return kind


def test_a_few_streams_that_end_at_a_large_item_show_that_it_is_too_large() -> None:
    kind = Kind()
    kind.lose(LARGE, times=LOSSES_MAX - 1)
    assert kind.reach.receives(LARGE)
    kind.lose(LARGE)
    assert not kind.reach.receives(LARGE)
    assert kind.reach.receives(RECEIVED_BY_ALL)


def test_an_item_that_every_client_receives_is_never_the_reason() -> None:
    kind = Kind()
    kind.lose(RECEIVED_BY_ALL, RECEIVED_BY_ALL, times=10)
    assert kind.reach.receives(LARGE)


def test_a_stream_that_ends_long_after_an_item_has_ended_for_something_else() -> None:
    kind = Kind()
    kind.lose(LARGE, times=10, after=SUDDEN_SECONDS + 1)
    assert kind.reach.receives(LARGE)


def test_a_worker_that_dies_with_what_it_is_seen_to_have_had_shows_nothing() -> None:
    kind = Kind()
    for _ in range(10):
        stream = kind.stream()
        stream.sent("large", LARGE)
        stream.sent("small", 1)
        stream.answered("small")  # Streams keep their order.
        stream.sent("another", 1)
        stream.broke_off()
    assert kind.reach.receives(LARGE)


def test_an_answer_to_what_was_sent_before_shows_nothing() -> None:
    kind = Kind()
    for _ in range(LOSSES_MAX):
        stream = kind.stream()
        stream.sent("small", 1)
        stream.sent("large", LARGE)
        stream.answered("small")
        stream.broke_off()
    assert not kind.reach.receives(LARGE)


def test_of_several_large_items_the_largest_is_too_large() -> None:
    reach = judged(LARGE, 2 * LARGE).reach
    assert reach.receives(LARGE)
    assert not reach.receives(2 * LARGE)


def test_the_same_item_is_too_large_though_it_is_some_bytes_shorter_now() -> None:
    assert not judged(2 * LARGE).reach.receives(2 * LARGE - 10)


def test_a_large_item_that_comes_through_starts_the_count_anew() -> None:
    kind = Kind()
    kind.lose(LARGE, times=LOSSES_MAX - 1)
    stream = kind.stream()
    stream.sent("large", LARGE)
    stream.answered("large")
    kind.lose(LARGE, times=LOSSES_MAX - 1)
    assert kind.reach.receives(LARGE)


def test_what_is_too_large_is_tried_again_later_once_at_a_time() -> None:
    kind = judged()
    kind.clock.now += AGAIN_SECONDS
    assert kind.reach.receives(LARGE)
    first = kind.stream()
    first.sent("trial", LARGE)
    assert not kind.reach.receives(LARGE)
    first.broke_off()
    kind.clock.now += AGAIN_SECONDS - 1
    assert not kind.reach.receives(LARGE)
    kind.clock.now += 1
    second = kind.stream()
    second.sent("trial", LARGE)
    second.answered("trial")
    assert kind.reach.receives(100 * LARGE)
