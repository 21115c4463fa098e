"""From what goes wrong to what the client is told."""

from __future__ import annotations

import logging

import pytest

from perdure.actors.errors import (
    CommitUnknown,
    MailboxFull,
    NodeFenced,
    NodeStopping,
    PerdureError,
    StoreDamaged,
    StoreUnavailable,
    TurnConflict,
)
from perdure.runtime.workflow.codec import CorruptHistory
from perdure.runtime.workflow.errors import (
    ChildNotFinished,
    InstanceNotFound,
    InstanceNotUnique,
    InvalidRequest,
    NonDeterminismError,
)
from tests.support.http_server import Server
from tests.support.http_service import FakeNode

BASE = "/v1.0/workflows/dapr"
START = "error starting workflow 'order': unable to start workflow: failed to start workflow: "
OPERATIONS = [
    ("POST", "/order/start", "ERR_START_WORKFLOW", START),
    (
        "GET",
        "/w1",
        "ERR_GET_WORKFLOW",
        "error while getting workflow info on instance 'w1': "
        "failed to get workflow metadata for 'w1': ",
    ),
    (
        "GET",
        "/w1?wait=completed",
        "ERR_GET_WORKFLOW",
        "error while getting workflow info on instance 'w1': "
        "failed to get workflow metadata for 'w1': ",
    ),
    (
        "POST",
        "/w1/raiseEvent/paid",
        "ERR_RAISE_EVENT_WORKFLOW",
        "error raising event on workflow 'w1': failed to raise event paid on workflow w1: "
        "failed to raise event: ",
    ),
    (
        "POST",
        "/w1/pause",
        "ERR_PAUSE_WORKFLOW",
        "error pausing workflow w1: failed to pause workflow w1: failed to suspend workflow: ",
    ),
    (
        "POST",
        "/w1/resume",
        "ERR_RESUME_WORKFLOW",
        "error resuming workflow w1: failed to resume workflow w1: failed to resume workflow: ",
    ),
    (
        "POST",
        "/w1/terminate",
        "ERR_TERMINATE_WORKFLOW",
        "error terminating workflow 'w1': failed to terminate workflow w1: "
        "failed to submit termination request:: ",
    ),
    (
        "POST",
        "/w1/purge",
        "ERR_PURGE_WORKFLOW",
        "error purging workflow w1: failed to Purge workflow w1: failed to purge workflow state: ",
    ),
    ("GET", "", "ERR_LIST_WORKFLOWS", "error listing workflows: "),
    (
        "GET",
        "/w1/history",
        "ERR_GET_WORKFLOW",
        "error while getting workflow info on instance 'w1': "
        "failed to get workflow history for 'w1': ",
    ),
]


class Slow(MailboxFull):
    retry_after = 2.5


@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize(
    ("error", "told"),
    [
        (MailboxFull("1000 calls are waiting"), (429, "1")),
        (Slow("1000 calls are waiting"), (429, "3")),
        (StoreUnavailable("the disk is full"), (503, "1")),
        (NodeStopping("this node stops"), (503, "1")),
        (CommitUnknown("look"), (503, "1")),
        (NodeFenced("rejoining"), (503, "1")),
        (TurnConflict("again"), (503, "1")),
        (CorruptHistory("checksum"), (500, None)),
        (StoreDamaged("no database"), (500, None)),
        (NonDeterminismError("other"), (500, None)),
    ],
)
async def test_what_goes_wrong_is_told_with_the_code_of_the_operation(
    fake_server: Server,
    fake: FakeNode,
    operation: tuple[str, str, str, str],
    error: PerdureError,
    told: tuple[int, str | None],
) -> None:
    method, path, code, text = operation
    fake.service.failing = error
    answer = await fake_server.send(method, BASE + path)
    assert answer.error == (told[0], code, f"{text}{error}")
    assert answer.headers.get("Retry-After") == told[1]


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (
            ChildNotFinished("w1", "w1:0001"),
            "cannot recreate workflow with ID 'w1': child workflow 'w1:0001': "
            "orchestration has not yet completed",
        ),
        (
            InstanceNotUnique("w1"),
            "a workflow with ID 'w1' already exists and the create enforces instance ID uniqueness",
        ),
        (InstanceNotFound("w1"), "no such instance exists"),
    ],
)
async def test_a_start_that_is_refused_says_why(
    fake_server: Server, fake: FakeNode, error: PerdureError, message: str
) -> None:
    fake.service.failing = error
    answer = await fake_server.post(f"{BASE}/order/start?instanceID=w1")
    assert answer.error == (500, "ERR_START_WORKFLOW", START + message)


async def test_an_invalid_argument_has_its_own_code(fake_server: Server, fake: FakeNode) -> None:
    fake.service.failing = InvalidRequest("ERR_BAD_REQUEST", "the input is too large")
    answer = await fake_server.post(f"{BASE}/order/start")
    assert answer.error == (400, "ERR_BAD_REQUEST", "the input is too large")


async def test_braces_in_an_id_are_only_text(server: Server) -> None:
    answer = await server.post(f"{BASE}/%7Berror%7D/raiseEvent/%7B0%7D")
    assert answer.error[2] == (
        "error raising event on workflow '{error}': failed to raise event {0} on workflow "
        "{error}: failed to raise event: no such instance exists"
    )


async def test_an_unexpected_error_is_logged_and_not_shown(
    fake_server: Server, fake: FakeNode, caplog: pytest.LogCaptureFixture
) -> None:
    fake.service.failing = ZeroDivisionError("a secret")
    with caplog.at_level(logging.ERROR):
        answer = await fake_server.get(f"{BASE}/w1")
    message = "unexpected error; the log of the node says more"
    assert answer.error == (500, "ERROR", message)
    assert "a secret" in caplog.text
    (record,) = caplog.records
    assert record.__dict__["operation"] == "GetWorkflow"
    assert (await fake_server.get("/v1.0/healthz")).status == 204
