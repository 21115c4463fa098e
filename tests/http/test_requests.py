"""What a request to a workflow may carry: its body, and the app that it is for."""

from __future__ import annotations

import pytest

from perdure.runtime.workflow.history import Status
from tests.support.http_server import Answer, Server
from tests.support.http_service import FakeNode, FakeWorkflows

BASE = "/v1.0/workflows/dapr"
ACTIONS = ("raiseEvent/paid", "pause", "resume", "terminate", "purge")


def accepted(answer: Answer) -> bool:
    return answer.status == 202 and answer.json == {}


async def status_of(server: Server, instance_id: str) -> str:
    status: str = (await server.get(f"{BASE}/{instance_id}")).json["runtimeStatus"]
    return status


@pytest.mark.parametrize("body", ["", "paperclips", '{"a": [1, 2]}', "null", " ", "größe\n"])
async def test_an_input_is_kept_as_it_was_sent(server: Server, body: str) -> None:
    for content_type in ("application/json", "text/plain", "application/octet-stream"):
        await server.post(
            f"{BASE}/order/start?instanceID=w1&startTime=9999-01-01T00:00:00Z",
            body,
            {"Content-Type": content_type},
        )
        found = (await server.get(f"{BASE}/w1?wait=PENDING")).json
        assert found["properties"]["dapr.workflow.input"] == body
        await server.post(f"{BASE}/w1/purge?force=true")


@pytest.mark.parametrize("action", ["pause", "resume", "terminate", "purge"])
@pytest.mark.parametrize(
    "body",
    [
        "{}",
        '{"unknown":[1]}',
        '{"instanceId":"other","workflow_component":"x"}',
        '{"instance_id":null}',
    ],
)
async def test_the_message_of_an_action_is_parsed_and_the_url_counts(
    server: Server, action: str, body: str
) -> None:
    await server.given.completed("w1")
    assert accepted(await server.post(f"{BASE}/w1/{action}", body))


@pytest.mark.parametrize("action", ["pause", "resume", "terminate", "purge"])
@pytest.mark.parametrize(
    "body",
    [b"{", b"[]", b"null", b" ", b"1", b'{"instanceId":5}', b'{"instanceId":"\xff"}', b"\xff"],
)
async def test_the_message_of_an_action_that_is_malformed_is_refused(
    server: Server, action: str, body: bytes
) -> None:
    await server.given.running("w1")
    status, code, message = (await server.post(f"{BASE}/w1/{action}", body)).error
    assert (status, code) == (400, "ERR_MALFORMED_REQUEST")
    assert message.startswith("failed deserializing HTTP body: ")
    assert await status_of(server, "w1") == "RUNNING"


@pytest.mark.parametrize("query", ["appID=shop", "appID=", "appID", "AppID=other", "appid=other"])
@pytest.mark.parametrize("action", ["", *ACTIONS])
async def test_the_own_app_is_meant_by_its_id_or_by_none(
    server: Server, action: str, query: str
) -> None:
    await server.given.completed("w1")
    method = "POST" if action else "GET"
    answer = await server.send(method, f"{BASE}/w1/{action}?{query}")
    assert answer.status in (200, 202)


@pytest.mark.parametrize("action", ["", *ACTIONS])
async def test_an_app_id_that_cannot_be_one_is_refused(server: Server, action: str) -> None:
    await server.given.completed("w1")
    method = "POST" if action else "GET"
    answer = await server.send(method, f"{BASE}/w1/{action}?appID=a.b")
    assert answer.error == (
        400,
        "ERR_WORKFLOW_APP_ID_INVALID",
        "workflow app ID 'a.b' is invalid: "
        "only alphanumeric, dash and underscore characters are allowed",
    )


@pytest.mark.parametrize("action", ["", *ACTIONS])
async def test_an_app_that_is_not_here_is_named(server: Server, action: str) -> None:
    await server.given.completed("w1")
    method = "POST" if action else "GET"
    status, code, message = (await server.send(method, f"{BASE}/w1/{action}?appID=other")).error
    assert status == 500
    assert (
        code
        == f"ERR_{(action or 'get').replace('raiseEvent/paid', 'raise_event').upper()}_WORKFLOW"
    )
    assert message.endswith(": no node of this cluster is of app 'other'")
    assert (await server.get(f"{BASE}/w1")).status == 200


@pytest.mark.parametrize("action", ["", "history", *ACTIONS])
async def test_what_is_for_another_app_is_done_there(
    fake_server: Server, fake: FakeNode, action: str
) -> None:
    bank = fake.service.apps["other"] = FakeWorkflows()
    bank.put(bank.new_row("w1", Status.COMPLETED if action == "purge" else Status.RUNNING))
    method = "GET" if action in ("", "history") else "POST"
    answer = await fake_server.send(method, f"{BASE}/w1/{action}".rstrip("/") + "?appID=other")
    assert answer.status == (200 if method == "GET" else 202)
    assert bank.calls
    assert fake.service.calls == []


async def test_another_apps_instances_are_started_and_listed(
    fake_server: Server, fake: FakeNode
) -> None:
    bank = fake.service.apps["other"] = FakeWorkflows()
    await fake_server.post(f"{BASE}/order/start?instanceID=w1&appID=other")
    assert list(bank.views) == ["w1"]
    listed = (await fake_server.get(f"{BASE}?appID=other")).json
    assert [each["instanceID"] for each in listed["instances"]] == ["w1"]
    assert (await fake_server.get(BASE)).json["instances"] == []


async def test_the_app_may_stand_in_the_message(fake_server: Server, fake: FakeNode) -> None:
    bank = fake.service.apps["other"] = FakeWorkflows()
    bank.put(bank.new_row("w1", Status.RUNNING))
    assert accepted(await fake_server.post(f"{BASE}/w1/terminate", '{"appId":"other"}'))
    assert bank.views["w1"].row.status is Status.TERMINATED


async def test_an_app_that_is_not_here_may_stand_in_the_message(server: Server) -> None:
    await server.given.running("w1")
    answer = await server.post(f"{BASE}/w1/terminate", '{"appId":"other"}')
    assert answer.error[:2] == (500, "ERR_TERMINATE_WORKFLOW")
    assert await status_of(server, "w1") == "RUNNING"


async def test_an_app_that_is_not_here_cannot_start_anything(server: Server) -> None:
    answer = await server.post(f"{BASE}/order/start?instanceID=w1&appID=other")
    assert answer.error == (
        500,
        "ERR_START_WORKFLOW",
        "error starting workflow 'order': unable to start workflow: "
        "failed to start workflow: no node of this cluster is of app 'other'",
    )
    assert (await server.get(f"{BASE}/w1")).status == 404
