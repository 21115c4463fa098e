"""How instances are started over the task hub."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from perdure.runtime.rpc import taskhub_pb2 as pb
from perdure.runtime.workflow.history import Status, Trace
from tests.rpc.serving import Hub, ending, serving

ODD_IDS = ["a:0001", "a|b@c", "ä ö", "x" * 300, "a/b?c=%20"]


@pytest.fixture
async def hub() -> AsyncIterator[Hub]:
    async with serving() as found:
        yield found


async def start(hub: Hub, **fields: Any) -> str:
    request = pb.CreateInstanceRequest(**fields)
    return (await hub.client.call("StartInstance", request, pb.CreateInstanceResponse)).instanceId


async def refused_start(hub: Hub, **fields: Any) -> tuple[str, str]:
    data = pb.CreateInstanceRequest(**fields).SerializeToString()
    return await ending(hub.client.raw("StartInstance", data))


async def test_a_start_is_handed_over_as_it_is(hub: Hub) -> None:
    started = await start(
        hub,
        instanceId="order-1",
        name="order",
        version={"value": "2.0"},
        input={"value": '{"item":1}'},
        scheduledStartTimestamp={"seconds": 4_000_000_000, "nanos": 5_999},
        executionId={"value": "ignored"},
        tags={"b": "2", "a": "1"},
        parentTraceContext={"traceParent": "00-aa-bb-01", "traceState": {"value": "x=y"}},
        enforceUniqueInstanceId=True,
    )
    assert started == "order-1"
    how, what = hub.service.calls
    tags, trace = (("a", "1"), ("b", "2")), Trace("00-aa-bb-01", "x=y")
    assert how == ("start with", "2.0", True, tags, trace)
    assert what == ("start", "order", '{"item":1}', "order-1", 4_000_000_000_000_005, None)


async def test_what_a_start_leaves_out_is_left_out(hub: Hub) -> None:
    assert len(await start(hub, name="order")) == 36
    assert hub.service.calls == [
        ("start with", None, False, (), None),
        ("start", "order", None, None, None, None),
    ]


async def test_an_empty_input_is_an_input(hub: Hub) -> None:
    await start(hub, name="order", input={"value": ""})
    assert hub.service.calls[1][2] == ""


async def test_the_span_of_a_start_may_come_beside_it(hub: Hub) -> None:
    metadata = (("traceparent", "00-aa-bb-01"), ("tracestate", "x=y"))
    data = pb.CreateInstanceRequest(name="order").SerializeToString()
    await hub.client.raw("StartInstance", data, metadata=metadata)
    assert hub.service.calls[0][4] == Trace("00-aa-bb-01", "x=y")


@pytest.mark.parametrize("instance_id", ODD_IDS)
async def test_ids_that_http_refuses_can_be_started_and_managed(hub: Hub, instance_id: str) -> None:
    assert await start(hub, instanceId=instance_id, name="order") == instance_id
    data = pb.TerminateRequest(instanceId=instance_id).SerializeToString()
    await hub.client.raw("TerminateInstance", data)
    assert hub.service.views[instance_id].row.status is Status.TERMINATED


async def test_a_start_needs_a_name(hub: Hub) -> None:
    assert await refused_start(hub, instanceId="order-1") == (
        "INVALID_ARGUMENT",
        "workflow name is not configured",
    )


@pytest.mark.parametrize(
    "time", [{"seconds": 253_402_300_800}, {"nanos": -1}, {"nanos": 1_000_000_000}]
)
async def test_a_start_at_no_time_is_refused(hub: Hub, time: dict[str, int]) -> None:
    code, details = await refused_start(hub, name="order", scheduledStartTimestamp=time)
    assert code == "INVALID_ARGUMENT"
    assert details.startswith("scheduledStartTimestamp is no time: ")


@pytest.mark.parametrize("state", ["running", "pending", "suspended"])
async def test_an_id_in_use_is_refused(hub: Hub, state: str) -> None:
    await getattr(hub.scenarios, state)("order-1")
    assert await refused_start(hub, instanceId="order-1", name="order") == (
        "ALREADY_EXISTS",
        "an active workflow with ID 'order-1' already exists",
    )


async def test_the_id_of_a_stalled_instance_is_in_use(hub: Hub) -> None:
    await hub.scenarios.stalled("order-1")
    assert await refused_start(hub, instanceId="order-1", name="order") == (
        "ALREADY_EXISTS",
        "workflow is stalled: why",
    )


@pytest.mark.parametrize("state", ["completed", "failed", "terminated"])
async def test_the_id_of_a_finished_instance_is_free_unless_it_is_to_be_unique(
    hub: Hub, state: str
) -> None:
    await getattr(hub.scenarios, state)("order-1")
    assert await refused_start(
        hub, instanceId="order-1", name="order", enforceUniqueInstanceId=True
    ) == (
        "ALREADY_EXISTS",
        "a workflow with ID 'order-1' already exists and the create enforces instance ID "
        "uniqueness",
    )
    assert await start(hub, instanceId="order-1", name="order") == "order-1"


async def test_microsofts_request_time_is_no_wish_for_a_unique_id(hub: Hub) -> None:
    await hub.scenarios.completed("order-1")
    data = pb.CreateInstanceRequest(instanceId="order-1", name="order").SerializeToString()
    request_time = b"\x52\x02\x08\x01"  # Field 10, where Dapr has a number.
    answer = await hub.client.raw("StartInstance", data + request_time)
    assert pb.CreateInstanceResponse.FromString(answer).instanceId == "order-1"


# ---- start by Microsoft's policy


async def test_a_policy_permits_to_replace_by_status(hub: Hub) -> None:
    await hub.scenarios.completed("order-1")
    fields: dict[str, Any] = {"instanceId": "order-1", "name": "order"}
    only_failed = {"replaceableStatus": [3]}
    assert (await refused_start(hub, **fields, orchestrationIdReusePolicy=only_failed))[0] == (
        "ALREADY_EXISTS"
    )
    completed = {"replaceableStatus": [1, 3]}
    assert await start(hub, **fields, orchestrationIdReusePolicy=completed) == "order-1"
    assert (await refused_start(hub, **fields, orchestrationIdReusePolicy=completed)) == (
        "ALREADY_EXISTS",
        "an active workflow with ID 'order-1' already exists",
    )


async def test_a_policy_may_have_a_running_instance_ended(hub: Hub) -> None:
    await hub.scenarios.running("order-1")
    policy = {"replaceableStatus": [0]}
    await start(hub, instanceId="order-1", name="new", orchestrationIdReusePolicy=policy)
    assert ("terminate", "order-1", None, True) in hub.service.calls
    assert hub.service.views["order-1"].row.name == "new"


async def test_a_policy_that_permits_nothing_wants_an_unused_id(hub: Hub) -> None:
    fields: dict[str, Any] = {"instanceId": "order-1", "name": "order"}
    await start(hub, **fields, orchestrationIdReusePolicy={})
    assert ("start with", None, True, (), None) in hub.service.calls
    assert (await refused_start(hub, **fields, orchestrationIdReusePolicy={}))[0] == (
        "ALREADY_EXISTS"
    )


async def test_a_policy_of_no_status_is_refused(hub: Hub) -> None:
    policy = {"replaceableStatus": [99]}
    assert await refused_start(
        hub, instanceId="order-1", name="order", orchestrationIdReusePolicy=policy
    ) == ("INVALID_ARGUMENT", "there is no workflow status 99")
