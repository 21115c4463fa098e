"""What the service is asked for, and what is made of its answers."""

from __future__ import annotations

import pytest

from perdure.runtime.workflow.history import TERMINAL, ExecutionStarted, Status, Turn
from perdure.runtime.workflow.records import ListQuery
from tests.support.http_server import Server
from tests.support.http_service import BORN_US, FakeNode

BASE = "/v1.0/workflows/dapr"


async def test_a_list_asks_for_what_the_query_says(fake_server: Server, fake: FakeNode) -> None:
    await fake_server.get(
        f"{BASE}?status=FAILED&name=order&prefix=a&order=asc&limit=7"
        "&createdFrom=1970-01-01T00:00:01Z&createdBefore=1970-01-01T00:00:02Z"
    )
    (_, query), *_ = fake.service.calls
    assert query == ListQuery(
        statuses=(Status.FAILED,),
        name="order",
        created_from_us=1_000_000,
        created_before_us=2_000_000,
        id_prefix="a",
        newest_first=False,
        limit=7,
    )


async def test_a_history_begins_each_turn_with_its_start(
    fake_server: Server, fake: FakeNode
) -> None:
    await fake_server.given.running("w1")
    fake.service.turns["w1"] = [Turn(BORN_US, (ExecutionStarted("order", '{"item":1}'),))]
    answer = await fake_server.get(f"{BASE}/w1/history")
    at = "2026-08-01T10:00:00Z"
    assert (answer.status, answer.json) == (
        200,
        {
            "instanceID": "w1",
            "workflowName": "order",
            "runtimeStatus": "RUNNING",
            "events": [
                {"eventId": -1, "timestamp": at, "type": "WorkflowStarted"},
                {
                    "eventId": -1,
                    "timestamp": at,
                    "type": "ExecutionStarted",
                    "name": "order",
                    "input": '{"item":1}',
                },
            ],
        },
    )


async def test_a_long_history_comes_whole(fake_server: Server, fake: FakeNode) -> None:
    await fake_server.given.running("w1")
    fake.service.turns["w1"] = [Turn(BORN_US + number, ()) for number in range(2_500)]
    events = (await fake_server.get(f"{BASE}/w1/history")).json["events"]
    assert len(events) == 2_500
    assert events[-1]["timestamp"] == "2026-08-01T10:00:00.002499Z"


@pytest.mark.parametrize(
    ("query", "until", "seconds"),
    [
        ("wait=completed", TERMINAL, 30.0),
        ("wait=started&timeout=0.25", frozenset(Status) - {Status.PENDING}, 0.25),
        ("wait=SUSPENDED&timeout=60", TERMINAL | {Status.SUSPENDED}, 60.0),
    ],
)
async def test_a_wait_asks_for_what_the_query_says(
    fake_server: Server, fake: FakeNode, query: str, until: frozenset[Status], seconds: float
) -> None:
    await fake_server.given.completed("w1")
    await fake_server.get(f"{BASE}/w1?{query}")
    assert fake.service.calls == [("wait", "w1", until, seconds)]


async def test_what_purge_and_terminate_reach_can_be_chosen(
    fake_server: Server, fake: FakeNode
) -> None:
    await fake_server.given.completed("w1")
    await fake_server.post(f"{BASE}/w1/terminate")
    await fake_server.post(f"{BASE}/w1/terminate?recursive=false", '{"output":"\\"why\\""}')
    await fake_server.post(f"{BASE}/w1/purge?recursive=false&force=true")
    await fake_server.given.completed("w1")
    await fake_server.post(f"{BASE}/w1/purge")
    assert fake.service.calls == [
        ("terminate", "w1", None, True),
        ("terminate", "w1", '"why"', False),
        ("purge", "w1", False, True),
        ("purge", "w1", True, False),
    ]


async def test_a_start_can_be_delayed(fake_server: Server, fake: FakeNode) -> None:
    answer = await fake_server.post(
        f"{BASE}/order/start?instanceID=w1&startTime=9999-01-01T00:00:00Z"
    )
    assert answer.status == 202
    assert fake.service.calls == [("start", "order", "", "w1", 253_370_764_800_000_000, None)]
    answer = await fake_server.post(f"{BASE}/order/start?startTime=later")
    assert answer.error[:2] == (400, "ERR_BAD_REQUEST")
    assert "'startTime'" in answer.error[2]


async def test_the_idempotency_key_reaches_the_service(fake_server: Server, fake: FakeNode) -> None:
    key = "x" * 255
    await fake_server.post(f"{BASE}/order/start?instanceID=w1", "1", {"idempotency-key": key})
    await fake_server.post(f"{BASE}/w1/raiseEvent/paid", "2", {"Idempotency-Key": key})
    await fake_server.post(f"{BASE}/w1/raiseEvent/paid", "3")
    assert fake.service.calls == [
        ("start", "order", "1", "w1", None, key),
        ("raise_event", "w1", "paid", "2", key),
        ("raise_event", "w1", "paid", "3", None),
    ]


@pytest.mark.parametrize(
    ("sent", "received"), [("a%2Fb", "a/b"), ("%2541", "%41"), ("a%20b", "a b"), ("a+b", "a+b")]
)
async def test_names_in_a_path_are_decoded_once(
    fake_server: Server, fake: FakeNode, sent: str, received: str
) -> None:
    await fake_server.given.running("w1")
    await fake_server.post(f"{BASE}/{sent}/start?instanceID=w2")
    await fake_server.post(f"{BASE}/w1/raiseEvent/{sent}", "5")
    assert fake.service.calls == [
        ("start", received, "", "w2", None, None),
        ("raise_event", "w1", received, "5", None),
    ]
