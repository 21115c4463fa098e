"""When a client repeats a request, and when it gives up: the flows alone, without a network."""

from __future__ import annotations

import json
import socket
from collections.abc import Sequence
from typing import TypeVar

import pytest

from perdure.runtime.remote.calls import Answer, Call, Calls
from perdure.runtime.remote.errors import (
    AnswerLost,
    ApiError,
    CannotConnect,
    NodeBusy,
    NodeUnavailable,
    WorkflowNotFound,
    reason_of,
)
from perdure.runtime.remote.flow import Broken, Conversation, Flow, Outcome, Send

T = TypeVar("T")

REFUSED = Broken("connection refused", sent=False)
LOST = Broken("connection reset", sent=True)


class Clock:
    """Stands still but for pauses, which take exactly as long as they say."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def ok(fields: object, **headers: str) -> Answer:
    return Answer(200, headers, json.dumps(fields).encode())


def error(status: int, code: str = "ERROR", message: str = "no", **headers: str) -> Answer:
    body = json.dumps({"errorCode": code, "message": message}).encode()
    return Answer(status, headers, body)


def test_a_host_that_is_not_found_is_told_without_numbers() -> None:
    unknown = socket.gaierror(socket.EAI_NONAME, "Name or service not known")
    assert reason_of(unknown) == "name or service not known"


def state(status: str) -> Answer:
    return ok({"instanceID": "o1", "runtimeStatus": status})


class Driver:
    """Plays the outcomes of a script, and notes what the flow asked for."""

    def __init__(self, outcomes: Sequence[Outcome], seconds_per_answer: float = 0.0) -> None:
        self.clock = Clock()
        self.talk = Conversation("http://node", 30.0, self.clock)
        self.outcomes = list(outcomes)
        self.seconds_per_answer = seconds_per_answer
        self.sent: list[str] = []
        self.pauses: list[float] = []

    def play(self, flow: Flow[T]) -> T:
        outcome: Outcome = None
        try:
            while True:
                step = flow.send(outcome)
                if isinstance(step, Send):
                    self.sent.append(f"{step.request.method} {step.request.target}")
                    self.clock.now += self.seconds_per_answer
                    outcome = self.outcomes.pop(0)
                else:
                    self.pauses.append(step.seconds)
                    self.clock.now += step.seconds
                    outcome = None
        except StopIteration as done:
            result: T = done.value
            return result


CALLS = Calls()


def start() -> Call[str]:
    return CALLS.start("greet", None, instance_id="o1", start_at=None, key="k")


def test_a_start_whose_answer_was_lost_is_repeated_with_the_same_key() -> None:
    driver = Driver([LOST, ok({"instanceID": "o1"})])
    call = start()
    assert driver.play(driver.talk.perform(call)) == "o1"
    assert len(driver.sent) == 2
    assert call.request.headers["idempotency-key"] == "k"


@pytest.mark.parametrize(
    "call",
    [CALLS.pause("o1"), CALLS.resume("o1"), CALLS.terminate("o1"), CALLS.purge("o1")],
    ids=lambda call: call.what,
)
def test_a_call_without_a_key_is_not_repeated_after_a_lost_answer(call: Call[None]) -> None:
    driver = Driver([LOST, ok({})])
    with pytest.raises(AnswerLost, match="not known whether it was carried out"):
        driver.play(driver.talk.perform(call))
    assert len(driver.sent) == 1


def test_every_call_is_repeated_when_the_node_says_it_is_busy() -> None:
    busy = error(429, **{"retry-after": "2"})
    driver = Driver([busy, busy, ok({})])
    driver.play(driver.talk.perform(CALLS.pause("o1")))
    assert driver.pauses == [2.0, 2.0]


def test_without_a_wish_of_the_node_the_pauses_grow_and_stay_bounded() -> None:
    driver = Driver([error(503)] * 12 + [ok({})])
    driver.play(driver.talk.perform(CALLS.pause("o1")))
    assert 0.05 <= driver.pauses[0] <= 0.1
    assert all(later <= 3.0 for later in driver.pauses)
    assert driver.pauses[-1] >= 1.5


@pytest.mark.parametrize(("status", "kind"), [(429, NodeBusy), (503, NodeUnavailable)])
def test_the_last_answer_is_raised_when_the_patience_is_over(
    status: int, kind: type[ApiError]
) -> None:
    driver = Driver([error(status, message="disk full")] * 1000)
    with pytest.raises(kind, match="disk full"):
        driver.play(driver.talk.perform(start()))
    assert sum(driver.pauses) <= 30.0


def test_a_node_that_asks_for_more_time_than_there_is_is_not_waited_for() -> None:
    driver = Driver([error(503, **{"retry-after": "31"})])
    with pytest.raises(NodeUnavailable):
        driver.play(driver.talk.perform(start()))
    assert driver.pauses == []


def test_a_retry_after_that_is_no_number_is_ignored() -> None:
    driver = Driver([error(503, **{"retry-after": "Wed, 21 Oct"}), ok({"instanceID": "o1"})])
    assert driver.play(driver.talk.perform(start())) == "o1"


def test_a_url_where_nobody_ever_answered_is_reported_at_once() -> None:
    driver = Driver([REFUSED])
    with pytest.raises(CannotConnect, match=r"http://node: connection refused.*perdure serve APP"):
        driver.play(driver.talk.perform(CALLS.get("o1")))
    assert driver.pauses == []


def test_a_node_that_has_answered_before_is_waited_for_while_it_restarts() -> None:
    driver = Driver([ok({}), REFUSED, REFUSED, ok({})])
    driver.play(driver.talk.perform(CALLS.pause("o1")))
    driver.play(driver.talk.perform(CALLS.pause("o1")))
    assert len(driver.pauses) == 2


def test_other_errors_are_raised_without_a_repeat() -> None:
    driver = Driver([error(404, "ERR_INSTANCE_ID_NOT_FOUND")])
    with pytest.raises(WorkflowNotFound):
        driver.play(driver.talk.perform(CALLS.get("o1")))


def test_waiting_polls_until_the_status_is_there() -> None:
    driver = Driver([state("RUNNING"), state("RUNNING"), state("COMPLETED")], 30.0)
    found = driver.play(driver.talk.wait(CALLS, "o1", "completed", None))
    assert found.runtime_status == "COMPLETED"
    assert driver.sent[0] == "GET /v1.0/workflows/dapr/o1?wait=completed&timeout=30.000"
    assert driver.pauses == []


def test_a_wait_asks_for_no_longer_than_its_own_time_is() -> None:
    driver = Driver([state("RUNNING"), state("COMPLETED")], 30.0)
    driver.play(driver.talk.wait(CALLS, "o1", "completed", 40))
    assert [target.rpartition("=")[2] for target in driver.sent] == ["30.000", "10.000"]


def test_a_wait_that_is_over_names_the_instance_and_its_status() -> None:
    driver = Driver([state("SUSPENDED")], 5.0)
    with pytest.raises(TimeoutError, match="'o1' is still SUSPENDED after 5 seconds"):
        driver.play(driver.talk.wait(CALLS, "o1", "completed", 5))


def test_a_node_that_does_not_wait_is_polled_with_pauses() -> None:
    driver = Driver([state("RUNNING")] * 3 + [state("COMPLETED")])
    driver.play(driver.talk.wait(CALLS, "o1", "completed", 60))
    assert driver.pauses == [1.0, 1.0, 1.0]


@pytest.mark.parametrize(
    ("until", "status"),
    [
        ("started", "RUNNING"),
        ("started", "COMPLETED"),
        ("completed", "TERMINATED"),
        ("SUSPENDED,FAILED", "SUSPENDED"),
        ("SUSPENDED", "COMPLETED"),
        ("STALLED", "UNKNOWN"),
    ],
)
def test_a_wait_ends_with_a_wanted_status_and_with_the_end(until: str, status: str) -> None:
    driver = Driver([state("PENDING"), state(status)], 30.0)
    driver.play(driver.talk.wait(CALLS, "o1", until, None))
    assert len(driver.sent) == 2
