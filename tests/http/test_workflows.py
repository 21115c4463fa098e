"""Dapr's workflow operations, row by row: statuses, codes, texts and fields as clients see them."""

from __future__ import annotations

import re
from urllib.parse import quote

import pytest

from perdure.runtime.api.operations import PREFIXES
from tests.support.http_server import Answer, Server

BASE = "/v1.0/workflows/dapr"
ACTIONS = ("raiseEvent/paid", "pause", "resume", "terminate", "purge")
OPEN = ("running", "pending", "suspended")
CLOSED = ("completed", "failed", "terminated")
NOT_FOUND = "ERR_INSTANCE_ID_NOT_FOUND"


def accepted(answer: Answer) -> bool:
    return answer.status == 202 and answer.json == {}


async def given(server: Server, state: str, instance_id: str) -> None:
    await getattr(server.given, state)(instance_id)


async def status_of(server: Server, instance_id: str) -> str:
    status: str = (await server.get(f"{BASE}/{instance_id}")).json["runtimeStatus"]
    return status


@pytest.mark.parametrize("prefix", PREFIXES)
async def test_the_whole_life_of_an_instance_under_every_prefix(
    server: Server, prefix: str
) -> None:
    base = f"{prefix}/workflows/dapr"
    await server.given.running("w1")
    assert (await server.get(f"{base}/w1")).json["runtimeStatus"] == "RUNNING"
    assert accepted(await server.post(f"{base}/w1/pause"))
    assert (await server.get(f"{base}/w1")).json["runtimeStatus"] == "SUSPENDED"
    assert accepted(await server.post(f"{base}/w1/resume"))
    assert (await server.get(f"{base}/w1")).json["runtimeStatus"] == "RUNNING"
    assert accepted(await server.post(f"{base}/w1/raiseEvent/paid", '{"amount":3}'))
    assert accepted(await server.post(f"{base}/w1/terminate"))
    assert (await server.get(f"{base}/w1")).json["runtimeStatus"] == "TERMINATED"
    assert accepted(await server.post(f"{base}/w1/purge"))
    assert (await server.get(f"{base}/w1")).status == 404


@pytest.mark.parametrize("prefix", PREFIXES)
async def test_a_start_answers_with_the_id_it_was_given(server: Server, prefix: str) -> None:
    answer = await server.post(f"{prefix}/workflows/dapr/order/start?instanceID=12345678")
    assert (answer.status, answer.json) == (202, {"instanceID": "12345678"})


async def test_a_start_without_an_id_makes_a_uuid_of_version_4(server: Server) -> None:
    for target in (f"{BASE}/order/start", f"{BASE}/order/start?instanceID="):
        answer = await server.post(target)
        assert answer.status == 202
        form = r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"
        assert re.fullmatch(form, answer.json["instanceID"])


async def test_the_component_may_be_called_anything(server: Server) -> None:
    await server.given.running("w1")
    answer = await server.get("/v1.0/workflows/no%20such%20component/w1")
    assert answer.status == 200


@pytest.mark.parametrize(
    "instance_id",
    ["a", "A_b-9", "0" * 64, quote("größe"), quote("注文"), quote("٣"), "%C3%A9" * 32],
)
async def test_an_id_of_letters_digits_underscores_and_dashes_is_accepted(
    server: Server, instance_id: str
) -> None:
    answer = await server.post(f"{BASE}/order/start?instanceID={instance_id}")
    assert answer.status == 202


@pytest.mark.parametrize(
    ("given_id", "shown"),
    [
        ("a.b", "a.b"),
        ("a:b", "a:b"),
        ("a%20b", "a b"),
        ("a+b", "a b"),
        ("a%2Fb", "a/b"),
        ("..", ".."),
        ("a%00", "a\0"),
        ("a%0Ab", "a\nb"),
        ("%22", '"'),
        ("x%E2%82%AC", "x€"),
        ("%C2%BD", "½"),
        ("e%CC%81", "e\u0301"),
    ],
)
async def test_an_id_with_another_character_is_refused(
    server: Server, given_id: str, shown: str
) -> None:
    answer = await server.post(f"{BASE}/order/start?instanceID={given_id}")
    assert answer.error == (
        400,
        "ERR_INSTANCE_ID_INVALID",
        f"workflow instance ID '{shown}' is invalid: "
        "only alphanumeric and underscore characters are allowed",
    )


@pytest.mark.parametrize("given_id", ["x" * 65, "%C3%A9" * 33, "." * 65])
async def test_an_id_of_more_than_64_bytes_is_refused(server: Server, given_id: str) -> None:
    answer = await server.post(f"{BASE}/order/start?instanceID={given_id}")
    assert answer.error == (
        400,
        "ERR_INSTANCE_ID_TOO_LONG",
        "workflow instance ID exceeds the max length of 64 characters",
    )


@pytest.mark.parametrize("state", OPEN)
async def test_a_start_under_the_id_of_an_unfinished_instance_is_refused(
    server: Server, state: str
) -> None:
    await given(server, state, "w1")
    answer = await server.post(f"{BASE}/order/start?instanceID=w1")
    assert answer.error == (
        500,
        "ERR_START_WORKFLOW",
        "error starting workflow 'order': unable to start workflow: failed to start workflow: "
        "an active workflow with ID 'w1' already exists",
    )


@pytest.mark.parametrize("state", CLOSED)
async def test_a_start_under_the_id_of_a_finished_instance_begins_a_new_run(
    server: Server, state: str
) -> None:
    await given(server, state, "w1")
    answer = await server.post(f"{BASE}/order/start?instanceID=w1")
    assert (answer.status, answer.json) == (202, {"instanceID": "w1"})


@pytest.mark.parametrize(
    ("action", "code", "message"),
    [
        (
            "raiseEvent/paid",
            "ERR_RAISE_EVENT_WORKFLOW",
            "error raising event on workflow 'w0': failed to raise event paid on workflow w0: "
            "failed to raise event: no such instance exists",
        ),
        (
            "pause",
            "ERR_PAUSE_WORKFLOW",
            "error pausing workflow w0: failed to pause workflow w0: "
            "failed to suspend workflow: no such instance exists",
        ),
        (
            "resume",
            "ERR_RESUME_WORKFLOW",
            "error resuming workflow w0: failed to resume workflow w0: "
            "failed to resume workflow: no such instance exists",
        ),
    ],
)
async def test_what_an_unknown_instance_cannot_do_is_an_error_of_the_operation(
    server: Server, action: str, code: str, message: str
) -> None:
    assert (await server.post(f"{BASE}/w0/{action}")).error == (500, code, message)


@pytest.mark.parametrize(
    ("method", "action"), [("GET", ""), ("POST", "/terminate"), ("POST", "/purge")]
)
async def test_an_unknown_instance_is_not_found(server: Server, method: str, action: str) -> None:
    answer = await server.send(method, f"{BASE}/w0{action}")
    message = "unable to find workflow with the provided instance ID: w0"
    assert answer.error == (404, NOT_FOUND, message)


@pytest.mark.parametrize("action", ACTIONS[:-1])
@pytest.mark.parametrize("state", [*OPEN, *CLOSED])
async def test_every_action_but_purge_is_accepted_in_every_state(
    server: Server, state: str, action: str
) -> None:
    await given(server, state, "w1")
    assert accepted(await server.post(f"{BASE}/w1/{action}"))


@pytest.mark.parametrize("action", ACTIONS[:-1])
@pytest.mark.parametrize("state", CLOSED)
async def test_an_action_changes_nothing_of_a_finished_instance(
    server: Server, state: str, action: str
) -> None:
    await given(server, state, "w1")
    before = (await server.get(f"{BASE}/w1")).json
    await server.post(f"{BASE}/w1/{action}")
    assert (await server.get(f"{BASE}/w1")).json == before


@pytest.mark.parametrize("state", CLOSED)
async def test_a_finished_instance_can_be_purged_once(server: Server, state: str) -> None:
    await given(server, state, "w1")
    assert accepted(await server.post(f"{BASE}/w1/purge"))
    assert (await server.post(f"{BASE}/w1/purge")).error[:2] == (404, NOT_FOUND)


@pytest.mark.parametrize("state", ["running", "suspended"])
async def test_an_unfinished_instance_cannot_be_purged(server: Server, state: str) -> None:
    await given(server, state, "w1")
    assert (await server.post(f"{BASE}/w1/purge")).error == (
        500,
        "ERR_PURGE_WORKFLOW",
        "error purging workflow w1: failed to Purge workflow w1: "
        "failed to purge workflow state: orchestration has not yet completed",
    )
    assert (await server.get(f"{BASE}/w1")).status == 200


async def test_a_pending_instance_is_unknown_to_a_purge(server: Server) -> None:
    await server.given.pending("w1")
    message = "unable to find workflow with the provided instance ID: w1"
    assert (await server.post(f"{BASE}/w1/purge")).error == (404, NOT_FOUND, message)
    assert await status_of(server, "w1") == "PENDING"


STALLED_TEXTS = {
    "raiseEvent/paid": "error raising event on workflow 'w1': failed to raise event paid on "
    "workflow w1: failed to raise event: workflow is stalled: ",
    "pause": "error pausing workflow w1: failed to pause workflow w1: "
    "failed to suspend workflow: workflow is stalled: ",
    "resume": "error resuming workflow w1: failed to resume workflow w1: "
    "failed to resume workflow: workflow is stalled: ",
    "terminate": "error terminating workflow 'w1': failed to terminate workflow w1: "
    "failed to submit termination request:: workflow is stalled: ",
    "purge": "error purging workflow w1: failed to Purge workflow w1: "
    "failed to purge workflow state: workflow is stalled: ",
}


@pytest.mark.parametrize("action", ACTIONS)
async def test_a_stalled_instance_refuses_every_action(server: Server, action: str) -> None:
    reason = await server.given.stalled("w1")
    verb = {"raiseEvent/paid": "RAISE_EVENT"}.get(action, action.upper())
    answer = await server.post(f"{BASE}/w1/{action}")
    assert answer.error == (500, f"ERR_{verb}_WORKFLOW", STALLED_TEXTS[action] + reason)


async def test_a_stalled_instance_refuses_a_start_under_its_id(server: Server) -> None:
    await server.given.stalled("w1")
    status, code, message = (await server.post(f"{BASE}/order/start?instanceID=w1")).error
    assert (status, code) == (500, "ERR_START_WORKFLOW")
    assert message.startswith(
        "error starting workflow 'order': unable to start workflow: "
        "failed to start workflow: workflow is stalled"
    )


async def test_a_running_instance_in_full(server: Server) -> None:
    await server.given.running("w1")
    answer = await server.get(f"{BASE}/w1")
    assert answer.status == 200
    found = answer.json
    moment = r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{3}|\.\d{6})?Z"
    assert re.fullmatch(moment, found.pop("createdAt"))
    assert re.fullmatch(moment, found.pop("lastUpdatedAt"))
    assert found == {
        "instanceID": "w1",
        "workflowName": "order",
        "runtimeStatus": "RUNNING",
        "properties": {"dapr.workflow.custom_status": "", "dapr.workflow.input": '{"item":1}'},
    }


async def test_a_completed_instance_has_its_output(server: Server) -> None:
    await server.given.completed("w1")
    found = (await server.get(f"{BASE}/w1")).json
    assert found["runtimeStatus"] == "COMPLETED"
    assert found["properties"] == {
        "dapr.workflow.custom_status": "",
        "dapr.workflow.input": '{"item":1}',
        "dapr.workflow.output": '"done"',
    }


async def test_a_failed_instance_has_its_failure_and_no_output(server: Server) -> None:
    await server.given.failed("w1")
    found = (await server.get(f"{BASE}/w1")).json
    assert found["runtimeStatus"] == "FAILED"
    properties = found["properties"]
    assert "line " in properties.pop("dapr.workflow.failure.stack_trace")
    assert properties == {
        "dapr.workflow.custom_status": "",
        "dapr.workflow.input": '{"item":1}',
        "dapr.workflow.failure.error_type": "ValueError",
        "dapr.workflow.failure.error_message": "no stock",
    }


async def test_of_a_pending_instance_nothing_but_that_is_told(server: Server) -> None:
    await server.given.pending("w1")
    assert (await server.get(f"{BASE}/w1")).json == {
        "instanceID": "w1",
        "createdAt": "0001-01-01T00:00:00Z",
        "lastUpdatedAt": "0001-01-01T00:00:00Z",
        "runtimeStatus": "PENDING",
    }


async def test_a_stalled_instance_is_unknown_to_dapr_and_has_a_reason(server: Server) -> None:
    reason = await server.given.stalled("w1")
    found = (await server.get(f"{BASE}/w1")).json
    assert found["runtimeStatus"] == "UNKNOWN"
    assert found["properties"]["perdure.stalled.reason"] == reason


async def test_the_id_of_a_child_may_be_used_everywhere_but_in_a_start(server: Server) -> None:
    await server.given.completed("w1:0001")
    for instance_id in ("w1:0001", "w1%3A0001"):
        answer = await server.get(f"{BASE}/{instance_id}")
        assert answer.json["instanceID"] == "w1:0001"
        assert accepted(await server.post(f"{BASE}/{instance_id}/pause"))
