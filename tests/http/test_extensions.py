"""Lists, histories, waits and the other things that Dapr's HTTP API has not."""

from __future__ import annotations

import asyncio
import uuid

import pytest

from perdure.runtime.api.operations import PREFIXES
from perdure.runtime.workflow.history import Trace
from tests.support.http_server import Server
from tests.support.http_service import FakeNode

BASE = "/v1.0/workflows/dapr"


async def ids(server: Server, query: str) -> list[str]:
    answer = await server.get(f"{BASE}?{query}")
    assert answer.status == 200, answer.body
    return [instance["instanceID"] for instance in answer.json["instances"]]


@pytest.fixture
async def five(server: Server) -> Server:
    """A node with five instances, created in this order."""
    await server.given.running("a-1")
    await server.given.completed("a-2")
    await server.given.failed("b-3")
    await server.given.stalled("b-4")
    await server.given.pending("c-5")
    return server


@pytest.mark.parametrize("prefix", PREFIXES)
async def test_a_node_without_instances_lists_none(server: Server, prefix: str) -> None:
    answer = await server.get(f"{prefix}/workflows/dapr")
    assert (answer.status, answer.json) == (200, {"instances": []})


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("", ["c-5", "b-4", "b-3", "a-2", "a-1"]),
        ("order=desc", ["c-5", "b-4", "b-3", "a-2", "a-1"]),
        ("order=asc", ["a-1", "a-2", "b-3", "b-4", "c-5"]),
        ("limit=2", ["c-5", "b-4"]),
        ("prefix=b-&order=asc", ["b-3", "b-4"]),
        ("status=RUNNING", ["a-1"]),
        ("status=STALLED,PENDING", ["c-5", "b-4"]),
        ("status=STALLED&status=PENDING&status=PENDING", ["c-5", "b-4"]),
        ("status=TERMINATED", []),
        ("name=order&status=FAILED", ["b-3"]),
        ("name=other", []),
        ("createdFrom=2000-01-01T00:00:00Z&status=FAILED", ["b-3"]),
        ("createdBefore=2000-01-01T00:00:00Z", []),
        ("appID=shop&status=FAILED", ["b-3"]),
    ],
)
async def test_a_list_is_filtered_and_ordered(five: Server, query: str, found: list[str]) -> None:
    assert await ids(five, query) == found


async def test_the_entries_of_a_list_use_all_statuses(five: Server) -> None:
    found = (await five.get(f"{BASE}?order=asc")).json["instances"]
    assert [entry["runtimeStatus"] for entry in found] == [
        "RUNNING",
        "COMPLETED",
        "FAILED",
        "STALLED",
        "PENDING",
    ]
    assert {entry["workflowName"] for entry in found} == {"order"}
    assert (found[2]["errorType"], found[2]["errorMessage"]) == ("ValueError", "no stock")
    assert "charge" in found[3]["stalledReason"]
    assert set(found[4]) == {
        "instanceID",
        "workflowName",
        "runtimeStatus",
        "createdAt",
        "lastUpdatedAt",
    }
    assert not found[4]["createdAt"].startswith("0001")


@pytest.mark.parametrize("order", ["asc", "desc"])
async def test_pages_follow_each_other_by_their_cursors(five: Server, order: str) -> None:
    query = f"limit=2&order={order}"
    seen: list[str] = []
    cursor = ""
    for _ in range(3):
        page = (await five.get(f"{BASE}?{query}{cursor}")).json
        seen += [instance["instanceID"] for instance in page["instances"]]
        cursor = f"&cursor={page.get('cursor')}"
    assert cursor == "&cursor=None"
    assert seen == await ids(five, f"order={order}")


async def test_a_cursor_of_another_query_is_refused(five: Server) -> None:
    cursor = (await five.get(f"{BASE}?limit=2")).json["cursor"]
    assert await ids(five, f"limit=1&cursor={cursor}") == ["b-3"]
    answer = await five.get(f"{BASE}?limit=2&status=FAILED&cursor={cursor}")
    status, code, message = answer.error
    assert (status, code) == (400, "ERR_BAD_REQUEST")
    assert "'cursor'" in message


async def test_counts_are_by_status_and_of_all_pages(five: Server) -> None:
    page = (await five.get(f"{BASE}?limit=1&counts=true")).json
    assert page["counts"] == {
        "RUNNING": 1,
        "COMPLETED": 1,
        "FAILED": 1,
        "PENDING": 1,
        "STALLED": 1,
    }
    assert len(page["instances"]) == 1
    page = (await five.get(f"{BASE}?counts=true&prefix=b")).json
    assert page["counts"] == {"FAILED": 1, "STALLED": 1}
    assert "counts" not in (await five.get(f"{BASE}?counts=false")).json


@pytest.mark.parametrize(
    ("query", "named"),
    [
        ("limit=0", "limit"),
        ("limit=1001", "limit"),
        ("limit=-1", "limit"),
        ("limit=1.5", "limit"),
        ("limit=", "limit"),
        ("limit=%D9%A3", "limit"),
        ("limit=" + "9" * 5000, "limit"),
        ("order=up", "order"),
        ("order=", "order"),
        ("status=running", "status"),
        ("status=", "status"),
        ("status=RUNNING,", "status"),
        ("counts=yes", "counts"),
        ("createdFrom=yesterday", "createdFrom"),
        ("createdBefore=2026-01-01T00:00:00+02:00", "createdBefore"),
        ("cursor=!", "cursor"),
        ("cursor=AAAA", "cursor"),
        ("cursor=%C3%A9", "cursor"),
        ("state=RUNNING", "state"),
        ("name=%FF", "query"),
        ("&".join(["status=RUNNING"] * 101), "query"),
    ],
)
async def test_a_bad_parameter_of_a_list_is_named(server: Server, query: str, named: str) -> None:
    status, code, message = (await server.get(f"{BASE}?{query}")).error
    assert (status, code) == (400, "ERR_BAD_REQUEST")
    assert named in message
    assert len(message) < 400


async def test_an_instance_named_like_an_operation_is_an_instance(server: Server) -> None:
    for name in ("history", "start", "purge", "workflows"):
        await server.given.completed(name)
        assert (await server.get(f"{BASE}/{name}")).json["instanceID"] == name
        assert (await server.get(f"{BASE}/{name}/history")).status == 200
        assert (await server.post(f"{BASE}/start/start?instanceID=start")).status in (202, 500)
        assert (await server.post(f"{BASE}/{name}/purge")).status in (202, 500)


async def test_an_unknown_instance_has_no_history(server: Server) -> None:
    message = "unable to find workflow with the provided instance ID: w0"
    answer = await server.get(f"{BASE}/w0/history")
    assert answer.error == (404, "ERR_INSTANCE_ID_NOT_FOUND", message)
    assert (await server.get(f"{BASE}/w0/history?full=1")).error[:2] == (400, "ERR_BAD_REQUEST")


async def test_a_wait_ends_when_the_instance_does(server: Server) -> None:
    await server.given.running("w1")
    async with asyncio.TaskGroup() as tasks:
        waiting = tasks.create_task(server.get(f"{BASE}/w1?wait=completed&timeout=60"))
        await server.given.complete("w1")
    assert waiting.result().json["runtimeStatus"] == "COMPLETED"


@pytest.mark.parametrize(
    ("state", "wait", "shown"),
    [
        ("completed", "completed", "COMPLETED"),
        ("failed", "COMPLETED", "FAILED"),
        ("terminated", "RUNNING", "TERMINATED"),
        ("running", "started", "RUNNING"),
        ("running", "SUSPENDED,RUNNING", "RUNNING"),
        ("running", "SUSPENDED&wait=RUNNING", "RUNNING"),
        ("stalled", "STALLED", "STALLED"),
        ("stalled", "started", "STALLED"),
    ],
)
async def test_a_wait_for_what_is_already_so_ends_at_once(
    server: Server, state: str, wait: str, shown: str
) -> None:
    await getattr(server.given, state)("w1")
    answer = await server.get(f"{BASE}/w1?wait={wait}&timeout=60")
    assert (answer.status, answer.json["runtimeStatus"]) == (200, shown)


async def test_a_wait_that_is_over_tells_what_is_so_then(server: Server) -> None:
    await server.given.pending("w1")
    answer = await server.get(f"{BASE}/w1?wait=started&timeout=0")
    found = answer.json
    assert (answer.status, found["runtimeStatus"], found["workflowName"]) == (
        200,
        "PENDING",
        "order",
    )
    assert not found["createdAt"].startswith("0001")


async def test_a_wait_for_an_unknown_instance_is_not_found(server: Server) -> None:
    answer = await server.get(f"{BASE}/w0?wait=completed&timeout=60")
    assert answer.error[:2] == (404, "ERR_INSTANCE_ID_NOT_FOUND")


@pytest.mark.parametrize(
    ("query", "named"),
    [
        ("wait=", "wait"),
        ("wait=done", "wait"),
        ("wait=completed,", "wait"),
        ("wait=completed&timeout=61", "timeout"),
        ("wait=completed&timeout=60.001", "timeout"),
        ("wait=completed&timeout=-1", "timeout"),
        ("wait=completed&timeout=nan", "timeout"),
        ("wait=completed&timeout=1e1", "timeout"),
        ("wait=completed&timeout=", "timeout"),
        ("timeout=5", "timeout"),
    ],
)
async def test_a_bad_parameter_of_a_wait_is_named(server: Server, query: str, named: str) -> None:
    await server.given.running("w1")
    status, code, message = (await server.get(f"{BASE}/w1?{query}")).error
    assert (status, code) == (400, "ERR_BAD_REQUEST")
    assert f"parameter '{named}' is invalid: " in message


@pytest.mark.parametrize("state", ["running", "pending", "stalled", "completed"])
async def test_force_purges_in_any_state(server: Server, state: str) -> None:
    await getattr(server.given, state)("w1")
    assert (await server.post(f"{BASE}/w1/purge?force=true")).status == 202
    assert (await server.get(f"{BASE}/w1")).status == 404
    assert (await server.post(f"{BASE}/w1/purge?force=true")).status == 404


@pytest.mark.parametrize(
    "target",
    ["purge?force=1", "purge?force=", "purge?recursive=TRUE", "terminate?recursive=no"],
)
async def test_a_bad_flag_is_refused(server: Server, target: str) -> None:
    await server.given.completed("w1")
    assert (await server.post(f"{BASE}/w1/{target}")).error[:2] == (400, "ERR_BAD_REQUEST")
    assert (await server.get(f"{BASE}/w1")).status == 200


async def test_a_start_is_repeated_by_its_idempotency_key(server: Server) -> None:
    headers = {"Idempotency-Key": "order 17"}
    first = await server.post(f"{BASE}/order/start", "1", headers)
    again = await server.post(f"{BASE}/order/start", "1", headers)
    assert (first.status, again.status) == (202, 202)
    assert first.json == again.json
    assert uuid.UUID(first.json["instanceID"]).version == 5
    for path, key in (("order", "order 18"), ("pay", "order 17")):
        other = await server.post(f"{BASE}/{path}/start", "1", {"Idempotency-Key": key})
        assert other.json != first.json


TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


async def test_the_callers_span_goes_with_a_start(with_fake: tuple[Server, FakeNode]) -> None:
    server, node = with_fake
    headers = {"traceparent": TRACEPARENT, "tracestate": "a=b"}
    assert (await server.post(f"{BASE}/order/start", "1", headers)).status == 202
    assert (await server.post(f"{BASE}/order/start", "1", {"tracestate": "a=b"})).status == 202
    assert node.service.traces == [Trace(TRACEPARENT, "a=b"), None]


@pytest.mark.parametrize(
    "unreadable",
    [
        "nonsense",
        TRACEPARENT.upper(),
        TRACEPARENT.replace("0af7651916cd43dd8448eb211c80319c", "0" * 32),
        TRACEPARENT.replace("b7ad6b7169203331", "0" * 16),
        TRACEPARENT.replace("00-", "ff-"),
        TRACEPARENT + "-more",
    ],
)
async def test_a_trace_that_nobody_can_read_does_not_count(
    with_fake: tuple[Server, FakeNode], unreadable: str
) -> None:
    server, node = with_fake
    headers = {"traceparent": unreadable, "tracestate": "a=b"}
    assert (await server.post(f"{BASE}/order/start", "1", headers)).status == 202
    assert node.service.traces == [None]


async def test_the_id_that_a_key_makes_never_changes(server: Server) -> None:
    answer = await server.post(f"{BASE}/order/start", None, {"Idempotency-Key": "key"})
    assert answer.json == {"instanceID": "20e464c8-e31e-5c2a-9aa5-31cf7b4716e8"}


@pytest.mark.parametrize("key", ["", "x" * 256, "tab\there", "größe"])
@pytest.mark.parametrize("path", ["order/start", "w1/raiseEvent/paid"])
async def test_a_bad_idempotency_key_is_refused(server: Server, path: str, key: str) -> None:
    answer = await server.post(f"{BASE}/{path}", "1", {"Idempotency-Key": key})
    assert answer.error[:2] == (400, "ERR_BAD_REQUEST")
    assert "Idempotency-Key" in answer.error[2]
