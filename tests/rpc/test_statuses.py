"""From errors to statuses, for each of the two services."""

from __future__ import annotations

import pytest
from grpc import StatusCode

from perdure.actors.errors import (
    ActorTypeUnknown,
    CommitUnknown,
    Fault,
    MailboxFull,
    NodeFenced,
    NodeStopping,
    NotOwner,
    Refused,
    StoreDamaged,
    StoreUnavailable,
    TurnConflict,
)
from perdure.placement.errors import NodeUnreachable
from perdure.runtime.api.operations import (
    PAUSE_WORKFLOW,
    PURGE_WORKFLOW,
    RAISE_EVENT_WORKFLOW,
    START_WORKFLOW,
    TERMINATE_WORKFLOW,
    Operation,
)
from perdure.runtime.rpc.statuses import (
    DETAILS_BYTES_MAX,
    RpcRefused,
    dapr,
    of_instance,
    of_start,
    shortened,
    task_hub,
)
from perdure.runtime.workflow.codec import CorruptHistory
from perdure.runtime.workflow.errors import (
    ChildNotFinished,
    InstanceCreatedBefore,
    InstanceExists,
    InstanceNotFound,
    InstanceNotUnique,
    InstanceStalled,
    InvalidRequest,
    NoSuchApp,
    NotCompleted,
    NothingToRerun,
    NotRerunnable,
)
from perdure.runtime.workflow.payload import PayloadError

RETRYABLE = [
    MailboxFull("full"),
    StoreUnavailable("disk full"),
    CommitUnknown("no answer"),
    TurnConflict("somebody else"),
    NodeFenced("fenced"),
    NodeStopping("bye"),
    NotOwner("moving"),
    NodeUnreachable("gone"),
]
PATH = {"workflowName": "order", "instanceID": "order-1", "eventName": "paid"}


@pytest.mark.parametrize(
    ("error", "code", "details"),
    [
        (
            InstanceExists("a"),
            StatusCode.ALREADY_EXISTS,
            "an active workflow with ID 'a' already exists",
        ),
        (
            InstanceNotUnique("a"),
            StatusCode.ALREADY_EXISTS,
            "a workflow with ID 'a' already exists and the create enforces instance ID uniqueness",
        ),
        (
            ChildNotFinished("a", "b"),
            StatusCode.ALREADY_EXISTS,
            "cannot recreate workflow with ID 'a': child workflow 'b': "
            "orchestration has not yet completed",
        ),
        (
            InstanceCreatedBefore("a"),
            StatusCode.ALREADY_EXISTS,
            "workflow 'a' has already been created",
        ),
        (NotRerunnable("not so"), StatusCode.INVALID_ARGUMENT, "not so"),
        (NothingToRerun("nothing"), StatusCode.NOT_FOUND, "nothing"),
        (InstanceNotFound("a"), StatusCode.UNKNOWN, "no such instance exists"),
        (NotCompleted("a"), StatusCode.UNKNOWN, "orchestration has not yet completed"),
        (InstanceStalled("a", "why"), StatusCode.UNKNOWN, "workflow is stalled: why"),
        (InvalidRequest("ERR_X", "not so"), StatusCode.INVALID_ARGUMENT, "not so"),
        (PayloadError("no text"), StatusCode.INVALID_ARGUMENT, "no text"),
        (
            NoSuchApp("bank"),
            StatusCode.NOT_FOUND,
            "no node of this cluster is of app 'bank'",
        ),
        (RpcRefused(StatusCode.UNIMPLEMENTED, "no"), StatusCode.UNIMPLEMENTED, "no"),
        (ActorTypeUnknown("no actor"), StatusCode.UNKNOWN, "no actor"),
        (Refused("no"), StatusCode.UNKNOWN, "no"),
        (CorruptHistory("bad page"), StatusCode.INTERNAL, "bad page"),
        (StoreDamaged("bad file"), StatusCode.INTERNAL, "bad file"),
        (
            KeyError("a secret"),
            StatusCode.INTERNAL,
            "unexpected error; the log of the node says more",
        ),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else "",
)
def test_a_client_of_the_task_hub_is_told(error: Exception, code: StatusCode, details: str) -> None:
    status = task_hub(error)
    assert (status.code, status.details) == (code, details)
    assert status.is_unexpected is isinstance(error, (Fault, KeyError))
    assert status.retry_after is None


@pytest.mark.parametrize("error", RETRYABLE, ids=lambda error: type(error).__name__)
def test_what_may_be_tried_again_is_unavailable_to_everybody(error: Exception) -> None:
    for status in (task_hub(error), dapr(error, START_WORKFLOW, PATH)):
        assert status.code is StatusCode.UNAVAILABLE
        assert str(error) in status.details
        assert status.retry_after == getattr(error, "retry_after", None)
        assert not status.is_unexpected


def test_some_methods_have_codes_of_their_own() -> None:
    stalled = of_start(InstanceStalled("a", "why"))
    assert (stalled.code, stalled.details) == (
        StatusCode.ALREADY_EXISTS,
        "workflow is stalled: why",
    )
    assert of_start(InstanceExists("a")).code is StatusCode.ALREADY_EXISTS
    unknown = of_instance(InstanceNotFound("a"), "a")
    assert (unknown.code, unknown.details) == (
        StatusCode.NOT_FOUND,
        "workflow instance 'a' not found",
    )
    assert of_instance(NotCompleted("a"), "a").code is StatusCode.FAILED_PRECONDITION
    assert of_instance(StoreUnavailable("full"), "a").code is StatusCode.UNAVAILABLE


@pytest.mark.parametrize(
    ("error", "operation", "code", "details"),
    [
        (
            InstanceExists("order-1"),
            START_WORKFLOW,
            StatusCode.INTERNAL,
            "error starting workflow 'order': unable to start workflow: failed to start workflow: "
            "an active workflow with ID 'order-1' already exists",
        ),
        (
            InstanceNotFound("order-1"),
            PAUSE_WORKFLOW,
            StatusCode.INTERNAL,
            "error pausing workflow order-1: failed to pause workflow order-1: "
            "failed to suspend workflow: no such instance exists",
        ),
        (
            InstanceNotFound("order-1"),
            RAISE_EVENT_WORKFLOW,
            StatusCode.INTERNAL,
            "error raising event on workflow 'order-1': failed to raise event paid on workflow "
            "order-1: failed to raise event: no such instance exists",
        ),
        (
            InstanceNotFound("order-1"),
            TERMINATE_WORKFLOW,
            StatusCode.NOT_FOUND,
            "unable to find workflow with the provided instance ID: order-1",
        ),
        (
            NotCompleted("order-1"),
            PURGE_WORKFLOW,
            StatusCode.INTERNAL,
            "error purging workflow order-1: failed to Purge workflow order-1: "
            "failed to purge workflow state: orchestration has not yet completed",
        ),
        (InvalidRequest("ERR_X", "not so"), START_WORKFLOW, StatusCode.INVALID_ARGUMENT, "not so"),
        (RpcRefused(StatusCode.INTERNAL, "no"), START_WORKFLOW, StatusCode.INTERNAL, "no"),
        (
            KeyError("a secret"),
            START_WORKFLOW,
            StatusCode.INTERNAL,
            "unexpected error; the log of the node says more",
        ),
    ],
)
def test_a_client_of_daprs_service_is_told_what_http_says(
    error: Exception, operation: Operation, code: StatusCode, details: str
) -> None:
    status = dapr(error, operation, PATH)
    assert (status.code, status.details) == (code, details)
    assert status.is_unexpected is isinstance(error, KeyError)


@pytest.mark.parametrize("text", ["x" * 100_000, "ä" * 100_000, "\udc80" * 100_000])
def test_a_long_text_is_cut_to_what_an_answer_can_carry(text: str) -> None:
    cut = shortened(text)
    assert len(cut.encode()) <= DETAILS_BYTES_MAX + 3
    assert cut.endswith("…")


def test_a_short_text_stays_as_it_is() -> None:
    assert shortened("ä" * 100) == "ä" * 100
