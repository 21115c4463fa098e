"""Dapr's own gRPC API: the same operations as over HTTP, with gRPC's codes."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import pytest
from google.protobuf.message import Message

from perdure.actors.errors import MailboxFull
from perdure.runtime.rpc import runtime_pb2 as pb
from perdure.runtime.rpc.dapr_service import DAPR
from perdure.runtime.workflow.history import Status
from tests.rpc.serving import Hub, Workflows, ending, serving
from tests.support.http_service import BORN_US

NO_TIME = -62_135_596_800
REQUESTS: dict[str, Message] = {
    "StartWorkflow": pb.StartWorkflowRequest(instance_id="order-1", workflow_name="order"),
    "GetWorkflow": pb.GetWorkflowRequest(instance_id="order-1"),
    "RaiseEventWorkflow": pb.RaiseEventWorkflowRequest(instance_id="order-1", event_name="paid"),
    "PauseWorkflow": pb.PauseWorkflowRequest(instance_id="order-1"),
    "ResumeWorkflow": pb.ResumeWorkflowRequest(instance_id="order-1"),
    "TerminateWorkflow": pb.TerminateWorkflowRequest(instance_id="order-1"),
    "PurgeWorkflow": pb.PurgeWorkflowRequest(instance_id="order-1"),
}
STALLED = (
    "workflow is stalled: history has TaskScheduled 0 charge, the code asks for pack (app.py:7)"
)


@pytest.fixture
async def hub() -> AsyncIterator[Hub]:
    async with serving() as found:
        yield found


async def refused(hub: Hub, name: str, request: Message | None = None) -> tuple[str, str]:
    data = (request or REQUESTS[name]).SerializeToString()
    return await ending(hub.client.raw(f"{name}Beta1", data, service=DAPR))


async def start(hub: Hub, **fields: Any) -> str:
    request = pb.StartWorkflowRequest(**fields)
    answer = await hub.client.dapr("StartWorkflowBeta1", request, pb.StartWorkflowResponse)
    return answer.instance_id


async def refused_start(hub: Hub, **fields: Any) -> tuple[str, str]:
    fields.setdefault("workflow_name", "order")
    return await refused(hub, "StartWorkflow", pb.StartWorkflowRequest(**fields))


# ---- what there is


@pytest.mark.parametrize("stage", ["Alpha1", "Beta1"])
@pytest.mark.parametrize("name", REQUESTS)
async def test_every_operation_is_there_under_both_names(hub: Hub, name: str, stage: str) -> None:
    await hub.scenarios.completed("order-1")
    answer = await hub.client.raw(
        f"{name}{stage}", REQUESTS[name].SerializeToString(), service=DAPR
    )
    is_empty = name not in ("StartWorkflow", "GetWorkflow")
    assert (answer == b"") is is_empty


async def test_a_workflow_lives_through_its_operations(hub: Hub) -> None:
    assert await start(hub, instance_id="order-1", workflow_name="order", input=b'{"item":1}')
    for name, status in (
        ("PauseWorkflow", Status.SUSPENDED),
        ("ResumeWorkflow", Status.RUNNING),
        ("TerminateWorkflow", Status.TERMINATED),
    ):
        await hub.client.dapr(f"{name}Beta1", REQUESTS[name], pb.Empty)
        assert hub.service.views["order-1"].row.status is status
    await hub.client.dapr("PurgeWorkflowBeta1", REQUESTS["PurgeWorkflow"], pb.Empty)
    assert hub.service.calls[-1] == ("purge", "order-1", True, False)
    assert hub.service.views == {}


# ---- start


async def test_a_start_is_handed_over_as_it_is(hub: Hub) -> None:
    options = {"dapr.workflow.start_time": "2126-01-02T03:04:05Z", "other": "ignored"}
    await start(
        hub,
        instance_id="order-1",
        workflow_component="anything",
        workflow_name="order",
        options=options,
        input=b'"\xc3\xa4"',
        app_id="shop",
    )
    at_us = int(datetime(2126, 1, 2, 3, 4, 5, tzinfo=UTC).timestamp()) * 1_000_000
    assert hub.service.calls[1] == ("start", "order", '"ä"', "order-1", at_us, None)


async def test_without_an_input_there_is_none_and_without_an_id_one_is_made(hub: Hub) -> None:
    assert len(await start(hub, workflow_name="order")) == 36
    assert hub.service.calls[1] == ("start", "order", None, None, None, None)


@pytest.mark.parametrize("given", ["tomorrow", "", "2026-01-02 03:04:05"])
async def test_a_start_at_no_time_is_refused_in_daprs_way(hub: Hub, given: str) -> None:
    assert await refused_start(hub, options={"dapr.workflow.start_time": given}) == (
        "INTERNAL",
        "error starting workflow 'order': start times must be in RFC3339 format "
        '(e.g. "2009-11-10T23:00:00Z")',
    )


@pytest.mark.parametrize(
    ("fields", "details"),
    [
        (
            {"instance_id": "x" * 65},
            "workflow instance ID exceeds the max length of 64 characters",
        ),
        (
            {"instance_id": "a:b"},
            "workflow instance ID 'a:b' is invalid: "
            "only alphanumeric and underscore characters are allowed",
        ),
        ({"workflow_name": ""}, "workflow name is not configured"),
        (
            {"app_id": "b/nk"},
            "workflow app ID 'b/nk' is invalid: "
            "only alphanumeric, dash and underscore characters are allowed",
        ),
        ({"input": b"ab\xff"}, "the input is not UTF-8 text (byte 2 is 0xff)"),
    ],
)
async def test_a_start_that_http_refuses_is_refused(
    hub: Hub, fields: dict[str, Any], details: str
) -> None:
    assert await refused_start(hub, **fields) == ("INVALID_ARGUMENT", details)
    assert hub.service.calls == []


async def test_an_id_in_use_is_refused(hub: Hub) -> None:
    await hub.scenarios.running("order-1")
    assert await refused(hub, "StartWorkflow") == (
        "INTERNAL",
        "error starting workflow 'order': unable to start workflow: failed to start workflow: "
        "an active workflow with ID 'order-1' already exists",
    )


# ---- get


async def get(hub: Hub, instance_id: str) -> pb.GetWorkflowResponse:
    request = pb.GetWorkflowRequest(instance_id=instance_id, workflow_component="dapr")
    return await hub.client.dapr("GetWorkflowBeta1", request, pb.GetWorkflowResponse)


async def test_a_get_tells_what_http_tells(hub: Hub) -> None:
    await hub.scenarios.failed("order-1")
    answer = await get(hub, "order-1")
    assert (answer.instance_id, answer.workflow_name) == ("order-1", "order")
    assert answer.runtime_status == "FAILED"
    created_us = answer.created_at.seconds * 1_000_000 + answer.created_at.nanos // 1000
    assert created_us == BORN_US + 1
    assert answer.last_updated_at.nanos == 500_000_000
    assert dict(answer.properties) == {
        "dapr.workflow.custom_status": "",
        "dapr.workflow.input": '{"item":1}',
        "dapr.workflow.failure.error_type": "ValueError",
        "dapr.workflow.failure.error_message": "no stock",
        "dapr.workflow.failure.stack_trace": "Traceback: line 1",
    }


async def test_an_unknown_instance_is_no_error_and_has_no_status(hub: Hub) -> None:
    assert await get(hub, "nobody") == pb.GetWorkflowResponse(instance_id="nobody")


async def test_a_pending_instance_has_no_times_and_a_stalled_one_is_unknown(hub: Hub) -> None:
    await hub.scenarios.pending("order-1")
    pending = await get(hub, "order-1")
    assert pending.runtime_status == "PENDING"
    assert (pending.created_at.seconds, pending.last_updated_at.seconds) == (NO_TIME, NO_TIME)
    await hub.scenarios.stalled("order-1")
    assert (await get(hub, "order-1")).runtime_status == "UNKNOWN"


# ---- change


async def test_an_event_is_handed_over_as_it_is(hub: Hub) -> None:
    await hub.scenarios.running("order-1")
    for data in (b"7", b""):
        request = pb.RaiseEventWorkflowRequest(
            instance_id="order-1", event_name="Paid", event_data=data
        )
        await hub.client.dapr("RaiseEventWorkflowBeta1", request, pb.Empty)
    assert hub.service.calls == [
        ("raise_event", "order-1", "Paid", "7", None),
        ("raise_event", "order-1", "Paid", None, None),
    ]


async def test_an_event_needs_a_name_and_text(hub: Hub) -> None:
    nameless = pb.RaiseEventWorkflowRequest(instance_id="order-1")
    assert await refused(hub, "RaiseEventWorkflow", nameless) == (
        "INVALID_ARGUMENT",
        "missing workflow event name",
    )
    bytes_ = pb.RaiseEventWorkflowRequest(
        instance_id="order-1", event_name="paid", event_data=b"\xff"
    )
    assert await refused(hub, "RaiseEventWorkflow", bytes_) == (
        "INVALID_ARGUMENT",
        "the event data is not UTF-8 text (byte 0 is 0xff)",
    )


FAILURES = {
    "RaiseEventWorkflow": "error raising event on workflow 'order-1': failed to raise event paid "
    "on workflow order-1: failed to raise event: ",
    "PauseWorkflow": "error pausing workflow order-1: failed to pause workflow order-1: "
    "failed to suspend workflow: ",
    "ResumeWorkflow": "error resuming workflow order-1: failed to resume workflow order-1: "
    "failed to resume workflow: ",
    "TerminateWorkflow": "error terminating workflow 'order-1': failed to terminate workflow "
    "order-1: failed to submit termination request:: ",
    "PurgeWorkflow": "error purging workflow order-1: failed to Purge workflow order-1: "
    "failed to purge workflow state: ",
}


@pytest.mark.parametrize("name", ["RaiseEventWorkflow", "PauseWorkflow", "ResumeWorkflow"])
async def test_an_unknown_instance_is_an_internal_error(hub: Hub, name: str) -> None:
    assert await refused(hub, name) == ("INTERNAL", f"{FAILURES[name]}no such instance exists")


@pytest.mark.parametrize("name", ["TerminateWorkflow", "PurgeWorkflow"])
async def test_an_unknown_instance_is_not_found(hub: Hub, name: str) -> None:
    assert await refused(hub, name) == (
        "NOT_FOUND",
        "unable to find workflow with the provided instance ID: order-1",
    )


@pytest.mark.parametrize("name", FAILURES)
async def test_a_stalled_instance_is_left_alone(hub: Hub, name: str) -> None:
    await hub.scenarios.stalled("order-1")
    assert await refused(hub, name) == ("INTERNAL", f"{FAILURES[name]}{STALLED}")


async def test_an_instance_that_goes_on_is_not_purged(hub: Hub) -> None:
    await hub.scenarios.running("order-1")
    assert await refused(hub, "PurgeWorkflow") == (
        "INTERNAL",
        f"{FAILURES['PurgeWorkflow']}orchestration has not yet completed",
    )


# ---- all of them


@pytest.mark.parametrize("name", [name for name in REQUESTS if name != "StartWorkflow"])
async def test_an_instance_has_to_be_named(hub: Hub, name: str) -> None:
    empty = type(REQUESTS[name])()
    assert await refused(hub, name, empty) == ("INVALID_ARGUMENT", "no instance ID was provided")


@pytest.mark.parametrize("name", REQUESTS)
async def test_another_app_is_not_here(hub: Hub, name: str) -> None:
    foreign = type(REQUESTS[name])()
    foreign.CopyFrom(REQUESTS[name])
    foreign.MergeFrom(type(foreign)(app_id="bank"))
    code, details = await refused(hub, name, foreign)
    assert code == "INTERNAL"
    assert details.endswith("no node of this cluster is of app 'bank'")
    assert hub.service.calls == []


@pytest.mark.parametrize("name", REQUESTS)
async def test_what_is_for_another_app_is_done_there(hub: Hub, name: str) -> None:
    bank = hub.service.apps["bank"] = Workflows()
    ended = name == "PurgeWorkflow"
    if name != "StartWorkflow":
        bank.put(bank.new_row("order-1", Status.COMPLETED if ended else Status.RUNNING))
    foreign = type(REQUESTS[name])(app_id="bank")
    foreign.MergeFrom(REQUESTS[name])
    await hub.client.raw(f"{name}Beta1", foreign.SerializeToString(), service=DAPR)
    assert bank.calls
    assert hub.service.calls == []


@pytest.mark.parametrize("name", REQUESTS)
async def test_what_may_be_tried_again_is_unavailable(hub: Hub, name: str) -> None:
    hub.service.failing = MailboxFull("the mailbox is full")
    code, details = await refused(hub, name)
    assert code == "UNAVAILABLE"
    assert details.endswith("the mailbox is full")


async def test_a_message_that_cannot_be_read_names_its_method(hub: Hub) -> None:
    code, details = await ending(hub.client.raw("StartWorkflowBeta1", b"\xff", service=DAPR))
    assert code == "INVALID_ARGUMENT"
    assert details.startswith("the request of StartWorkflowBeta1 cannot be read: ")


# ---- metadata


async def test_the_metadata_is_that_of_http(hub: Hub) -> None:
    answer = await hub.client.dapr("GetMetadata", pb.GetMetadataRequest(), pb.GetMetadataResponse)
    cart = pb.ActiveActorsCount(type="cart", count=1)
    assert answer == pb.GetMetadataResponse(
        id="shop",
        active_actors_count=[cart],
        extended_metadata={"daprRuntimeVersion": "1.18.0-perdure-0.1.0"},
        runtime_version="1.18.0-perdure-0.1.0",
        actor_runtime=pb.ActorRuntime(
            runtime_status=2,
            active_actors=[cart],
            host_ready=True,
            placement="placement: connected",
        ),
        workflows=pb.MetadataWorkflows(connected_workers=2),
    )
