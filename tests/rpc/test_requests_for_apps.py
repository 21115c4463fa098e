"""Requests to the task hub that name an app by their router: the own one, another one, none."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from perdure.runtime.rpc import taskhub_pb2 as pb
from perdure.runtime.workflow.history import Status
from tests.rpc.serving import Hub, Workflows, ending, serving

FOREIGN: dict[str, Any] = {"router": {"sourceAppID": "shop", "targetAppID": "bank"}}


@pytest.fixture
async def hub() -> AsyncIterator[Hub]:
    async with serving() as found:
        yield found


@pytest.mark.parametrize(
    ("name", "request_of"),
    [
        ("StartInstance", lambda router: pb.CreateInstanceRequest(name="order", **router)),
        ("GetInstance", lambda router: pb.GetInstanceRequest(instanceId="a", **router)),
        ("RaiseEvent", lambda router: pb.RaiseEventRequest(instanceId="a", name="b", **router)),
        ("TerminateInstance", lambda router: pb.TerminateRequest(instanceId="a", **router)),
        ("PurgeInstances", lambda router: pb.PurgeInstancesRequest(instanceId="a", **router)),
    ],
)
async def test_another_app_is_not_here(hub: Hub, name: str, request_of: Any) -> None:
    foreign = request_of(FOREIGN).SerializeToString()
    assert await ending(hub.client.raw(name, foreign)) == (
        "NOT_FOUND",
        "no node of this cluster is of app 'bank'",
    )
    odd = request_of({"router": {"targetAppID": "b/nk"}}).SerializeToString()
    assert (await ending(hub.client.raw(name, odd)))[0] == "INVALID_ARGUMENT"
    assert hub.service.calls == []


@pytest.mark.parametrize(
    ("name", "request_of", "done"),
    [
        ("StartInstance", lambda r: pb.CreateInstanceRequest(name="order", **r), "start"),
        ("GetInstance", lambda r: pb.GetInstanceRequest(instanceId="a", **r), "get"),
        ("WaitForInstanceStart", lambda r: pb.GetInstanceRequest(instanceId="a", **r), "wait"),
        ("WaitForInstanceCompletion", lambda r: pb.GetInstanceRequest(instanceId="b", **r), "wait"),
        (
            "RaiseEvent",
            lambda r: pb.RaiseEventRequest(instanceId="a", name="x", **r),
            "raise_event",
        ),
        ("SuspendInstance", lambda r: pb.SuspendRequest(instanceId="a", **r), "suspend"),
        ("ResumeInstance", lambda r: pb.ResumeRequest(instanceId="a", **r), "resume"),
        ("TerminateInstance", lambda r: pb.TerminateRequest(instanceId="a", **r), "terminate"),
        ("PurgeInstances", lambda r: pb.PurgeInstancesRequest(instanceId="b", **r), "purge"),
        (
            "RerunWorkflowFromEvent",
            lambda r: pb.RerunWorkflowFromEventRequest(sourceInstanceID="b", eventID=1, **r),
            "rerun",
        ),
    ],
)
async def test_what_is_for_another_app_is_done_there(
    hub: Hub, name: str, request_of: Any, done: str
) -> None:
    bank = hub.service.apps["bank"] = Workflows()
    bank.put(bank.new_row("a", Status.RUNNING))
    bank.put(bank.new_row("b", Status.COMPLETED))
    assert await hub.client.raw(name, request_of(FOREIGN).SerializeToString()) is not None
    assert done in [call[0] for call in bank.calls]
    assert hub.service.calls == []


async def test_the_own_app_may_be_named(hub: Hub) -> None:
    request = pb.CreateInstanceRequest(name="order", router={"targetAppID": "shop"})
    assert await hub.client.raw("StartInstance", request.SerializeToString())
