"""What clients of the task hub may ask for, and how each of it ends."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import msgspec
import pytest

from perdure.actors.errors import CommitUnknown, MailboxFull, NodeStopping, StoreUnavailable
from perdure.runtime.rpc import taskhub_pb2 as pb
from perdure.runtime.rpc.management import FOR_EVER, SETTLE_SECONDS
from perdure.runtime.rpc.values import microseconds
from perdure.runtime.workflow.history import ExecutionStarted, Status
from tests.rpc.serving import Hub, ending, serving
from tests.support.http_service import BORN_US, FakeView

UNKNOWN = ("UNKNOWN", "no such instance exists")
NO_ID = ("INVALID_ARGUMENT", "no instance ID was provided")
STALLED_TEXT = "history has TaskScheduled 0 charge, the code asks for pack (app.py:7)"


@pytest.fixture
async def hub() -> AsyncIterator[Hub]:
    async with serving() as found:
        yield found


def state_of(hub: Hub, instance_id: str) -> Status:
    return hub.service.views[instance_id].row.status


def begin_work(hub: Hub, instance_id: str, waiting: str | None = None) -> None:
    """Something is to be done for the instance."""
    view = hub.service.views[instance_id]
    row = msgspec.structs.replace(view.row, has_work=True)
    hub.service.views[instance_id] = FakeView(row, view.input, waiting=waiting)


async def get(hub: Hub, instance_id: str, *, payloads: bool = True) -> pb.GetInstanceResponse:
    request = pb.GetInstanceRequest(instanceId=instance_id, getInputsAndOutputs=payloads)
    return await hub.client.call("GetInstance", request, pb.GetInstanceResponse)


# ---- get


async def test_an_unknown_instance_is_no_error_to_a_get(hub: Hub) -> None:
    answer = await get(hub, "nobody")
    assert not answer.exists
    assert not answer.HasField("workflowState")


async def test_a_get_tells_everything_that_is_known(hub: Hub) -> None:
    row = hub.service.new_row("order-1:0001", Status.FAILED)
    await hub.scenarios.failed("order-1")
    failure = hub.service.views["order-1"].row.failure
    row = msgspec.structs.replace(
        row,
        failure=failure,
        version="2.0",
        custom_status="packing",
        parent_id="order-1",
        parent_app="bank",
        output="[]",
    )
    hub.service.put(row, '{"item":1}')
    found = (await get(hub, "order-1:0001")).workflowState
    assert (found.instanceId, found.name, found.version.value) == ("order-1:0001", "order", "2.0")
    assert found.workflowStatus == 3
    created_us = found.createdTimestamp.seconds * 1_000_000 + found.createdTimestamp.nanos // 1000
    assert created_us == BORN_US + 1
    assert found.lastUpdatedTimestamp == found.completedTimestamp
    assert found.completedTimestamp.nanos == 500_000_000
    assert (found.input.value, found.output.value) == ('{"item":1}', "[]")
    assert found.customStatus.value == "packing"
    assert (found.failureDetails.errorType, found.failureDetails.errorMessage) == (
        "ValueError",
        "no stock",
    )
    assert found.failureDetails.stackTrace.value == "Traceback: line 1"
    assert (found.parentInstanceId.value, found.parentAppId.value) == ("order-1", "bank")
    assert len(found.executionId.value) == 36


@pytest.mark.parametrize("payloads", [True, False])
@pytest.mark.parametrize("name", ["GetInstance", "WaitForInstanceStart"])
async def test_how_an_instance_began_is_told(hub: Hub, name: str, payloads: bool) -> None:
    start = ExecutionStarted("order", scheduled_us=BORN_US + 7_000_001, tags=(("team", "red"),))
    hub.service.views["order-1"] = FakeView(
        hub.service.new_row("order-1", Status.RUNNING), None, start
    )
    request = pb.GetInstanceRequest(instanceId="order-1", getInputsAndOutputs=payloads)
    found = (await hub.client.call(name, request, pb.GetInstanceResponse)).workflowState
    assert dict(found.tags) == {"team": "red"}
    assert microseconds(found.scheduledStartTimestamp)[0] == BORN_US + 7_000_001
    assert not found.HasField("startedAt")


async def test_a_run_that_goes_on_at_once_was_not_scheduled(hub: Hub) -> None:
    # Its time only says that the runs of one turn were too many.
    start = ExecutionStarted("order", scheduled_us=BORN_US, continued=True)
    hub.service.views["order-1"] = FakeView(
        hub.service.new_row("order-1", Status.RUNNING), None, start
    )
    assert not (await get(hub, "order-1")).workflowState.HasField("scheduledStartTimestamp")


async def test_a_get_without_payloads_leaves_them_out(hub: Hub) -> None:
    row = hub.service.new_row("order-1", Status.COMPLETED)
    hub.service.put(msgspec.structs.replace(row, output="1", custom_status="x"), "{}")
    found = (await get(hub, "order-1", payloads=False)).workflowState
    told = [field.name for field, _ in found.ListFields()]
    assert "createdTimestamp" in told
    assert "lastUpdatedTimestamp" in told
    assert not {"input", "output", "customStatus", "failureDetails"} & set(told)


async def test_an_instance_that_goes_on_has_no_time_of_its_end(hub: Hub) -> None:
    await hub.scenarios.running("order-1")
    assert not (await get(hub, "order-1")).workflowState.HasField("completedTimestamp")


async def test_a_stalled_instance_has_daprs_number(hub: Hub) -> None:
    await hub.scenarios.stalled("order-1")
    assert (await get(hub, "order-1")).workflowState.workflowStatus == 8


# ---- wait

WAITS = ["WaitForInstanceStart", "WaitForInstanceCompletion"]


@pytest.mark.parametrize("name", WAITS)
async def test_a_wait_for_an_unknown_instance_is_refused_at_once(hub: Hub, name: str) -> None:
    assert await ending(hub.client.raw(name, b"\x0a\x06nobody")) == UNKNOWN


@pytest.mark.parametrize(
    ("name", "before", "after"),
    [
        ("WaitForInstanceStart", "pending", Status.RUNNING),
        ("WaitForInstanceStart", "pending", Status.FAILED),
        ("WaitForInstanceCompletion", "running", Status.COMPLETED),
        ("WaitForInstanceCompletion", "running", Status.FAILED),
        ("WaitForInstanceCompletion", "suspended", Status.TERMINATED),
    ],
)
async def test_a_wait_ends_when_the_instance_has_come_so_far(
    hub: Hub, name: str, before: str, after: Status
) -> None:
    await getattr(hub.scenarios, before)("order-1")
    request = pb.GetInstanceRequest(instanceId="order-1", getInputsAndOutputs=True)
    call = asyncio.ensure_future(hub.client.call(name, request, pb.GetInstanceResponse))
    await hub.service.waiting.wait()
    hub.service.set_status("order-1", after)
    answer = await call
    assert answer.exists
    assert answer.workflowState.workflowStatus == after
    assert answer.workflowState.input.value == '{"item":1}'
    assert hub.service.seconds == [FOR_EVER]


@pytest.mark.parametrize("name", WAITS)
async def test_a_wait_ends_with_its_clients_deadline_and_leaves_nothing(
    hub: Hub, name: str
) -> None:
    await hub.scenarios.pending("order-1")
    ended = await ending(hub.client.raw(name, b"\x0a\x07order-1", timeout=0.1))
    assert ended == ("DEADLINE_EXCEEDED", "Deadline Exceeded")
    async with asyncio.timeout(10):
        await hub.service.given_up.wait()


@pytest.mark.parametrize("name", WAITS)
async def test_a_wait_ends_when_its_client_walks_away(hub: Hub, name: str) -> None:
    await hub.scenarios.pending("order-1")
    call = asyncio.ensure_future(hub.client.raw(name, b"\x0a\x07order-1"))
    await hub.service.waiting.wait()
    call.cancel()
    async with asyncio.timeout(10):
        await hub.service.given_up.wait()


async def test_a_wait_goes_on_elsewhere_when_the_node_stops(hub: Hub) -> None:
    await hub.scenarios.running("order-1")
    hub.service.has_closed = True
    assert await ending(hub.client.raw("WaitForInstanceCompletion", b"\x0a\x07order-1")) == (
        "UNAVAILABLE",
        "this node is shutting down and takes no more requests",
    )


async def test_a_wait_for_an_instance_that_is_purged_is_refused_then(hub: Hub) -> None:
    await hub.scenarios.running("order-1")
    call = asyncio.ensure_future(
        ending(hub.client.raw("WaitForInstanceCompletion", b"\x0a\x07order-1"))
    )
    await hub.service.waiting.wait()
    await hub.service.purge("order-1", force=True)
    hub.service.changed.set()
    assert await call == UNKNOWN


# ---- change


async def test_an_event_is_handed_over_as_it_is(hub: Hub) -> None:
    await hub.scenarios.running("order-1")
    request = pb.RaiseEventRequest(instanceId="order-1", name="Paid", input={"value": "7"})
    await hub.client.call("RaiseEvent", request, pb.Empty)
    request = pb.RaiseEventRequest(instanceId="order-1", name="paid")
    await hub.client.call("RaiseEvent", request, pb.Empty)
    assert hub.service.calls == [
        ("raise_event", "order-1", "Paid", "7", None),
        ("raise_event", "order-1", "paid", None, None),
    ]


async def test_an_event_needs_a_name(hub: Hub) -> None:
    assert await ending(hub.client.raw("RaiseEvent", b"\x0a\x07order-1")) == (
        "INVALID_ARGUMENT",
        "missing workflow event name",
    )


CHANGES = {
    "RaiseEvent": pb.RaiseEventRequest(instanceId="order-1", name="paid"),
    "SuspendInstance": pb.SuspendRequest(instanceId="order-1", reason={"value": "why"}),
    "ResumeInstance": pb.ResumeRequest(instanceId="order-1", reason={"value": "why"}),
    "TerminateInstance": pb.TerminateRequest(instanceId="order-1", recursive=True),
}


@pytest.mark.parametrize("name", CHANGES)
async def test_a_change_of_an_unknown_instance_is_refused(hub: Hub, name: str) -> None:
    assert await ending(hub.client.raw(name, CHANGES[name].SerializeToString())) == UNKNOWN


@pytest.mark.parametrize("name", CHANGES)
async def test_a_change_of_a_finished_instance_is_no_change_and_no_error(
    hub: Hub, name: str
) -> None:
    await hub.scenarios.completed("order-1")
    assert await hub.client.raw(name, CHANGES[name].SerializeToString()) == b""
    assert state_of(hub, "order-1") is Status.COMPLETED


@pytest.mark.parametrize("name", CHANGES)
async def test_a_change_of_a_stalled_instance_is_refused_with_the_reason(
    hub: Hub, name: str
) -> None:
    await hub.scenarios.stalled("order-1")
    assert await ending(hub.client.raw(name, CHANGES[name].SerializeToString())) == (
        "UNKNOWN",
        f"workflow is stalled: {STALLED_TEXT}",
    )


@pytest.mark.parametrize(
    ("name", "before", "after"),
    [
        ("SuspendInstance", "running", Status.SUSPENDED),
        ("SuspendInstance", "suspended", Status.SUSPENDED),
        ("ResumeInstance", "suspended", Status.RUNNING),
        ("ResumeInstance", "running", Status.RUNNING),
        ("TerminateInstance", "running", Status.TERMINATED),
        ("TerminateInstance", "suspended", Status.TERMINATED),
        ("TerminateInstance", "pending", Status.TERMINATED),
    ],
)
async def test_a_change_is_there_when_it_is_answered(
    hub: Hub, name: str, before: str, after: Status
) -> None:
    await getattr(hub.scenarios, before)("order-1")
    await hub.client.raw(name, CHANGES[name].SerializeToString())
    assert state_of(hub, "order-1") is after


async def test_reasons_and_outputs_are_handed_over(hub: Hub) -> None:
    await hub.scenarios.running("order-1")
    for name in ("SuspendInstance", "ResumeInstance"):
        await hub.client.raw(name, CHANGES[name].SerializeToString())
    assert hub.service.calls.count(("reason", "why")) == 2
    request = pb.TerminateRequest(instanceId="order-1", output={"value": '"enough"'})
    await hub.client.call("TerminateInstance", request, pb.Empty)
    assert ("terminate", "order-1", '"enough"', False) in hub.service.calls


@pytest.mark.parametrize(
    ("name", "before"),
    [
        ("SuspendInstance", "running"),
        ("ResumeInstance", "suspended"),
        ("TerminateInstance", "running"),
    ],
)
async def test_a_change_is_not_waited_for_for_ever(hub: Hub, name: str, before: str) -> None:
    await getattr(hub.scenarios, before)("order-1")
    begin_work(hub, "order-1")
    hub.service.is_slow = True
    assert await hub.client.raw(name, CHANGES[name].SerializeToString()) == b""
    assert sum(hub.service.seconds) == SETTLE_SECONDS
    hub.service.seconds.clear()
    await hub.client.raw(name, CHANGES[name].SerializeToString(), timeout=4)
    assert sum(hub.service.seconds) < 2.1  # The client's deadline must not pass over what is done.


async def test_a_pause_of_what_is_to_begin_later_is_answered_at_once(hub: Hub) -> None:
    await hub.scenarios.pending("order-1")
    hub.service.is_slow = True
    assert (
        await hub.client.raw("SuspendInstance", CHANGES["SuspendInstance"].SerializeToString())
        == b""
    )
    assert hub.service.seconds == []


async def test_a_pause_waits_for_no_worker_that_is_not_there(hub: Hub) -> None:
    await hub.scenarios.pending("order-1")
    begin_work(hub, "order-1", waiting="no connected worker runs workflow 'order'")
    hub.service.is_slow = True
    assert (
        await hub.client.raw("SuspendInstance", CHANGES["SuspendInstance"].SerializeToString())
        == b""
    )
    assert hub.service.seconds == []


async def test_a_pause_waits_for_the_begin_that_a_worker_is_at(hub: Hub) -> None:
    await hub.scenarios.pending("order-1")
    begin_work(hub, "order-1")
    hub.service.is_slow = True
    request = CHANGES["SuspendInstance"].SerializeToString()
    call = asyncio.ensure_future(hub.client.raw("SuspendInstance", request))
    await hub.service.waiting.wait()
    hub.service.set_status("order-1", Status.SUSPENDED)
    await call
    assert sum(hub.service.seconds) < SETTLE_SECONDS


# ---- all of them

OF_INSTANCES = [*CHANGES, *WAITS, "GetInstance", "PurgeInstances", "GetInstanceHistory"]


@pytest.mark.parametrize("name", OF_INSTANCES)
async def test_an_instance_has_to_be_named(hub: Hub, name: str) -> None:
    assert await ending(hub.client.raw(name)) == NO_ID


@pytest.mark.parametrize("name", [*CHANGES, *WAITS, "GetInstance"])
@pytest.mark.parametrize(
    "error",
    [
        MailboxFull("the mailbox is full"),
        StoreUnavailable("disk full"),
        CommitUnknown("no answer"),
        NodeStopping("bye"),
    ],
    ids=lambda error: type(error).__name__,
)
async def test_what_may_be_tried_again_is_unavailable(
    hub: Hub, name: str, error: Exception
) -> None:
    hub.service.failing = error
    data = CHANGES.get(name, pb.GetInstanceRequest(instanceId="order-1")).SerializeToString()
    assert await ending(hub.client.raw(name, data)) == ("UNAVAILABLE", str(error))
