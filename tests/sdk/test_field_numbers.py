"""Every message of our .proto files against those of the real SDKs: the same numbers on the wire.

A field that means two things is of the one kind that both can be read from, and stands here.
"""

from __future__ import annotations

import json
import os
import subprocess

import pytest

from perdure.runtime.rpc.stubs import message_classes
from tests.sdk.environments import DAPR_1_17, DAPR_1_18, DAPR_1_19, DURABLETASK, Sdk, python_of
from tests.sdk.programs.fields import Fields, fields_of
from tests.sdk.test_stub_sets import THEIRS
from tests.support.source import ROOT

OURS = fields_of(kind.DESCRIPTOR for kind in message_classes("taskhub.proto").values())
RUNTIME = fields_of(kind.DESCRIPTOR for kind in message_classes("runtime.proto").values())

OLD_NAMES = {
    "SubOrchestrationInstance": "ChildWorkflowInstance",
    "CreateSubOrchestration": "CreateChildWorkflow",
    "CompleteOrchestrationAction": "CompleteWorkflowAction",
    "TerminateOrchestrationAction": "TerminateWorkflowAction",
    "OrchestrationVersion": "WorkflowVersion",
    "OrchestrationInstance": "WorkflowInstance",
    "OrchestrationState": "WorkflowState",
    "Orchestrator": "Workflow",
}
"""How messages were called before Dapr renamed them."""

MICROSOFT_ONLY = {
    *("StreamInstanceHistoryRequest", "HistoryChunk", "InstanceBatch", "InstanceQuery"),
    *("ListInstanceIdsRequest", "ListInstanceIdsResponse", "QueryInstancesRequest"),
    *("QueryInstancesResponse", "RestartInstanceRequest", "RestartInstanceResponse"),
    *("RewindInstanceRequest", "AbandonOrchestrationTaskRequest", "WorkItemFilters"),
    *("OrchestrationFilter", "ActivityFilter", "EntityFilter", "OrchestrationTraceContext"),
    "OrchestrationIdReusePolicy",
}
OTHERWISE = {
    ("CreateChildWorkflowAction", "6"): "tags",
    ("CreateInstanceRequest", "10"): "requestTime",
    ("PurgeInstancesRequest", "4"): "instanceBatch",
    ("PurgeInstancesRequest", "5"): "isOrchestration",
}
"""Fields that Microsoft writes in another way: to us they are unknown fields."""
OF_TWO_KINDS = {
    *(("WorkflowRequest", "7"), ("WorkflowRequest", "8"), ("ActivityRequest", "7")),
    *(("WorkflowResponse", "6"), ("WorkflowAction", "9"), ("ScheduleTaskAction", "4")),
    *(("ScheduleTaskAction", "5"), ("CreateChildWorkflowAction", "5"), ("HistoryEvent", "30")),
    *(("TaskScheduledEvent", "5"), ("ChildWorkflowInstanceCreatedEvent", "6")),
}
"""Fields that mean two things of one form: to us they are bytes until the dialect is known."""
UNREAD = {
    *(("ActivityRequest", "8"), ("WorkflowAction", "8"), ("GetWorkItemsRequest", "12")),
    *(("TaskCompletedEvent", "4"), ("TaskFailedEvent", "4")),
    *(("ChildWorkflowInstanceCompletedEvent", "3"), ("ChildWorkflowInstanceFailedEvent", "3")),
}
"""Fields that we write as they are, or do not look into."""


def our_name(name: str) -> str:
    for old, new in OLD_NAMES.items():
        if name.startswith(old):
            return new + name.removeprefix(old)
    return name


def theirs(sdk: Sdk, *modules: str) -> Fields:
    done = subprocess.run(
        [str(python_of(sdk)), "-m", "tests.sdk.programs.fields", *modules],
        env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    found: Fields = json.loads(done.stdout)
    return {our_name(message): fields for message, fields in found.items()}


def differing(ours: Fields, other: Fields) -> dict[tuple[str, str], str]:
    """The fields that both know and that are not written alike, or are not of one message."""
    return {
        (message, number): other[message][number][2]
        for message in ours.keys() & other.keys()
        for number in ours[message].keys() & other[message].keys()
        if not _is_alike(ours[message][number], other[message][number], (message, number))
    }


def _is_alike(ours: list[str], other: list[str], field: tuple[str, str]) -> bool:
    if ours[0] != other[0]:
        return False
    return ours[1] == our_name(other[1]) or field in OF_TWO_KINDS | UNREAD


@pytest.mark.parametrize(
    "sdk",
    [pytest.param(sdk, id=sdk.name, marks=pytest.mark.xdist_group(sdk.name)) for sdk in THEIRS],
)
def test_the_fields_of_every_message_have_the_numbers_of_the_sdks(sdk: Sdk) -> None:
    other = theirs(sdk, f"{THEIRS[sdk]}.orchestrator_service_pb2")
    if sdk is DURABLETASK:
        assert differing(OURS, other) == OTHERWISE
    else:
        assert differing(OURS, other) == {}
    # Those of today have all that we have; older ones lack what is new.
    if sdk is DAPR_1_19:
        assert OURS.keys() - other.keys() == MICROSOFT_ONLY
    elif sdk is DURABLETASK:
        assert not MICROSOFT_ONLY - other.keys()


@pytest.mark.xdist_group(DAPR_1_19.name)
def test_no_field_of_daprs_messages_is_unknown_here() -> None:
    other = theirs(DAPR_1_19, f"{THEIRS[DAPR_1_19]}.orchestrator_service_pb2")
    unknown = {
        (message, number)
        for message in OURS.keys() & other.keys()
        for number in other[message].keys() - OURS[message].keys()
    }
    assert unknown == set()


@pytest.mark.parametrize(
    "sdk",
    [
        pytest.param(sdk, id=sdk.name, marks=pytest.mark.xdist_group(sdk.name))
        for sdk in (DAPR_1_17, DAPR_1_18)
    ],
)
def test_daprs_own_service_has_its_numbers(sdk: Sdk) -> None:
    modules = (f"dapr.proto.runtime.v1.{name}_pb2" for name in ("dapr", "workflow", "metadata"))
    other = theirs(sdk, *modules)
    assert not RUNTIME.keys() - other.keys()
    assert differing(RUNTIME, other) == {}
