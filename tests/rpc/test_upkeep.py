"""Lists, histories, purges and restarts over gRPC."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest

from perdure.runtime.rpc import taskhub_pb2 as pb
from perdure.runtime.rpc import upkeep
from perdure.runtime.rpc.upkeep import UNSUPPORTED
from perdure.runtime.workflow import history as h
from perdure.runtime.workflow.history import Status
from tests.rpc.serving import Hub, ending, serving
from tests.rpc.wire_worker import kinds
from tests.support.http_service import BORN_US

SECOND = BORN_US // 1_000_000


@pytest.fixture
async def hub() -> AsyncIterator[Hub]:
    async with serving() as found:
        yield found


async def ids(hub: Hub, **fields: Any) -> pb.ListInstanceIDsResponse:
    request = pb.ListInstanceIDsRequest(**fields)
    return await hub.client.call("ListInstanceIDs", request, pb.ListInstanceIDsResponse)


async def query(hub: Hub, **fields: Any) -> pb.QueryInstancesResponse:
    request = pb.QueryInstancesRequest(query=pb.InstanceQuery(**fields))
    return await hub.client.call("QueryInstances", request, pb.QueryInstancesResponse)


async def purge(hub: Hub, **fields: Any) -> pb.PurgeInstancesResponse:
    request = pb.PurgeInstancesRequest(**fields)
    return await hub.client.call("PurgeInstances", request, pb.PurgeInstancesResponse)


def put_at(hub: Hub, instance_id: str, second: int, status: Status = Status.COMPLETED) -> None:
    row = hub.service.new_row(instance_id, status)
    at = (SECOND + second) * 1_000_000
    hub.service.put(msgspec.structs.replace(row, created_us=at, updated_us=at), "1")


# ---- lists


async def test_the_ids_of_all_instances_are_listed_in_the_order_of_their_creation(
    hub: Hub,
) -> None:
    for number, state in enumerate(["running", "completed", "pending", "stalled", "failed"]):
        await getattr(hub.scenarios, state)(f"order-{number}")
    answer = await ids(hub)
    assert list(answer.instanceIds) == [f"order-{number}" for number in range(5)]
    assert not answer.HasField("continuationToken")


async def test_a_list_goes_on_where_its_page_ended(hub: Hub) -> None:
    for number in range(5):
        await hub.scenarios.running(f"order-{number}")
    pages: list[list[str]] = []
    token = ""
    while not pages or token:
        answer = await ids(hub, pageSize=2, continuationToken=token)
        pages.append(list(answer.instanceIds))
        token = answer.continuationToken
    assert pages == [["order-0", "order-1"], ["order-2", "order-3"], ["order-4"]]


async def test_a_full_last_page_is_the_last_page(hub: Hub) -> None:
    for number in range(2):
        await hub.scenarios.running(f"order-{number}")
    assert not (await ids(hub, pageSize=2)).HasField("continuationToken")


@pytest.mark.parametrize("wanted", [{}, {"pageSize": 0}, {"pageSize": 4_000_000_000}])
async def test_a_page_has_1024_ids_and_is_read_in_parts(hub: Hub, wanted: dict[str, int]) -> None:
    for number in range(1030):
        await hub.scenarios.running(f"order-{number}")
    first = await ids(hub, **wanted)
    assert len(first.instanceIds) == 1024
    rest = await ids(hub, continuationToken=first.continuationToken, **wanted)
    assert list(rest.instanceIds) == [f"order-{number}" for number in range(1024, 1030)]
    asked = [call[1] for call in hub.service.calls if call[0] == "page"]
    assert all(part.limit <= 128 for part in asked)  # type: ignore[attr-defined]


@pytest.mark.parametrize("token", ["nonsense", "AQ", "\x00"])
async def test_a_token_that_no_list_gave_is_refused(hub: Hub, token: str) -> None:
    request = pb.ListInstanceIDsRequest(continuationToken=token)
    code, details = await ending(hub.client.raw("ListInstanceIDs", request.SerializeToString()))
    assert code == "INVALID_ARGUMENT"
    assert details == f"continuation token {token!r} is none that this query gave"


async def test_the_token_of_another_query_is_refused(hub: Hub) -> None:
    for number in range(2):
        await hub.scenarios.running(f"order-{number}")
    token = (await ids(hub, pageSize=1)).continuationToken
    wanted = pb.InstanceQuery(runtimeStatus=[0], continuationToken={"value": token})
    data = pb.QueryInstancesRequest(query=wanted).SerializeToString()
    assert (await ending(hub.client.raw("QueryInstances", data)))[0] == "INVALID_ARGUMENT"


async def test_a_query_selects_by_status_time_and_prefix(hub: Hub) -> None:
    put_at(hub, "a-1", 0)
    put_at(hub, "a-2", 10, Status.RUNNING)
    put_at(hub, "b-3", 20)

    async def found(**fields: Any) -> list[str]:
        return [one.instanceId for one in (await query(hub, **fields)).orchestrationState]

    assert await found() == ["a-1", "a-2", "b-3"]
    assert await found(runtimeStatus=[1, 1]) == ["a-1", "b-3"]
    assert await found(instanceIdPrefix={"value": "a-"}) == ["a-1", "a-2"]
    assert await found(createdTimeFrom={"seconds": SECOND + 10}) == ["a-2", "b-3"]
    assert await found(createdTimeTo={"seconds": SECOND + 10}) == ["a-1", "a-2"]
    first = await query(hub, maxInstanceCount=1)
    assert first.continuationToken.value
    assert await found(continuationToken=first.continuationToken) == ["a-2", "b-3"]


async def test_a_query_tells_payloads_only_if_they_are_wanted(hub: Hub) -> None:
    await hub.scenarios.completed("order-1")
    (short,) = (await query(hub)).orchestrationState
    (whole,) = (await query(hub, fetchInputsAndOutputs=True)).orchestrationState
    assert not short.HasField("input")
    assert (whole.input.value, whole.output.value) == ('{"item":1}', '"done"')


async def test_a_query_of_large_payloads_gives_less_than_a_client_may_take(hub: Hub) -> None:
    for number in range(8):
        row = hub.service.new_row(f"order-{number}", Status.COMPLETED)
        hub.service.put(msgspec.structs.replace(row, output="x" * 1_000_000))
    seen: list[str] = []
    token: Any = None
    while token is None or token.value:
        answer = await query(hub, fetchInputsAndOutputs=True, continuationToken=token)
        assert answer.ByteSize() < 4 << 20
        seen += [one.instanceId for one in answer.orchestrationState]
        token = answer.continuationToken
    assert seen == [f"order-{number}" for number in range(8)]


async def test_microsofts_list_of_ids_selects_by_the_time_of_the_end(hub: Hub) -> None:
    put_at(hub, "a", 0)
    put_at(hub, "b", 10, Status.RUNNING)
    put_at(hub, "c", 20)

    async def found(**fields: Any) -> tuple[list[str], str]:
        request = pb.ListInstanceIdsRequest(**fields)
        answer = await hub.client.call("ListInstanceIds", request, pb.ListInstanceIdsResponse)
        return list(answer.instanceIds), answer.lastInstanceKey.value

    assert await found() == (["a", "b", "c"], "")
    assert await found(completedTimeFrom={"seconds": SECOND + 1}) == (["c"], "")
    assert await found(completedTimeTo={"seconds": SECOND + 10}) == (["a"], "")
    assert await found(runtimeStatus=[0]) == (["b"], "")
    first, token = await found(pageSize=2)
    assert first == ["a", "b"]
    assert await found(pageSize=2, lastInstanceKey={"value": token}) == (["c"], "")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("Patch mismatch. History patches: [a], current patches: []. ", 0),
        ("Version not available: v1", 1),
        ("Workflow payload size 5 bytes exceeds 95% of max gRPC body size 4 bytes; …", 2),
        ("activity 'pack::3' payload size 5 bytes exceeds 95% of …", 2),
        ("its history has 50000 events, the limit is 50000", 0),
    ],
)
@pytest.mark.parametrize("method", ["GetInstanceHistory", "StreamInstanceHistory"])
async def test_the_history_of_a_stalled_instance_ends_with_why(
    hub: Hub, method: str, text: str, reason: int
) -> None:
    row = hub.service.new_row("order-1", Status.STALLED)
    hub.service.put(msgspec.structs.replace(row, stalled=text))
    hub.service.turns["order-1"] = [h.Turn(BORN_US, (h.ExecutionStarted("order"),))]
    for_worker = b"\x0a\x07order-1\x18\x01"
    if method == "GetInstanceHistory":
        answer = await hub.client.raw(method, b"\x0a\x07order-1")
        events = pb.GetInstanceHistoryResponse.FromString(answer).events
    else:
        events = pb.HistoryChunk.FromString(
            await hub.client.stream(method, b"\x0a\x07order-1").read()
        ).events
        chunk = pb.HistoryChunk.FromString(await hub.client.stream(method, for_worker).read())
        assert kinds(chunk.events) == ["workflowStarted", "executionStarted"]
    assert kinds(events) == ["workflowStarted", "executionStarted", "executionStalled"]
    assert (events[-1].eventId, events[-1].executionStalled.reason) == (-1, reason)
    assert events[-1].executionStalled.description == text


# ---- purge


async def test_a_finished_instance_is_purged_and_counted(hub: Hub) -> None:
    await hub.scenarios.completed("order-1")
    answer = await purge(hub, instanceId="order-1", recursive=True)
    assert (answer.deletedInstanceCount, answer.isComplete.value) == (1, True)
    assert hub.service.calls == [("purge", "order-1", True, False)]


async def test_a_purge_does_what_it_is_told_about_children_and_force(hub: Hub) -> None:
    await hub.scenarios.running("order-1")
    assert (await purge(hub, instanceId="order-1", force=True)).deletedInstanceCount == 1
    assert hub.service.calls == [("purge", "order-1", False, True)]


async def test_a_purge_of_an_unknown_instance_is_refused(hub: Hub) -> None:
    data = pb.PurgeInstancesRequest(instanceId="nobody").SerializeToString()
    assert await ending(hub.client.raw("PurgeInstances", data)) == (
        "UNKNOWN",
        "no such instance exists",
    )


@pytest.mark.parametrize("state", ["running", "suspended"])
async def test_a_purge_of_an_instance_that_goes_on_is_refused(hub: Hub, state: str) -> None:
    await getattr(hub.scenarios, state)("order-1")
    data = pb.PurgeInstancesRequest(instanceId="order-1").SerializeToString()
    assert await ending(hub.client.raw("PurgeInstances", data)) == (
        "UNKNOWN",
        "orchestration has not yet completed",
    )


async def test_a_purge_by_filter_takes_what_has_finished_and_matches(hub: Hub) -> None:
    put_at(hub, "old", 0)
    put_at(hub, "old-failed", 0, Status.FAILED)
    put_at(hub, "old-running", 0, Status.RUNNING)
    put_at(hub, "new", 10)
    before = {"createdTimeTo": {"seconds": SECOND + 5}}
    failed = await purge(hub, purgeInstanceFilter={**before, "runtimeStatus": [3, 0]})
    assert (failed.deletedInstanceCount, failed.isComplete.value) == (1, True)
    assert (await purge(hub, purgeInstanceFilter={"runtimeStatus": [0]})).deletedInstanceCount == 0
    assert (await purge(hub, purgeInstanceFilter=before)).deletedInstanceCount == 1
    assert sorted(hub.service.views) == ["new", "old-running"]
    assert (await purge(hub, purgeInstanceFilter={})).deletedInstanceCount == 1
    assert sorted(hub.service.views) == ["old-running"]


async def test_a_purge_by_filter_that_has_no_time_left_says_so(
    hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_at(hub, "old", 0)
    monkeypatch.setattr(upkeep, "PURGE_SECONDS_LEFT", 3600.0)
    request = pb.PurgeInstancesRequest(purgeInstanceFilter={})
    answer = await hub.client.call(
        "PurgeInstances", request, pb.PurgeInstancesResponse, timeout=600
    )
    assert (answer.deletedInstanceCount, answer.isComplete.value) == (0, False)
    assert sorted(hub.service.views) == ["old"]


async def test_microsofts_batch_is_purged_one_by_one(hub: Hub) -> None:
    put_at(hub, "a", 0)
    put_at(hub, "b", 0)
    put_at(hub, "busy", 0, Status.RUNNING)
    batch = pb.InstanceBatch(instanceIds=["a", "busy", "nobody", "b"]).SerializeToString()
    data = b"\x22" + bytes([len(batch)]) + batch  # Field 4, where Dapr has `force`.
    is_orchestration = b"\x28\x01"  # Field 5, where Dapr has the router.
    answer = await hub.client.raw("PurgeInstances", data + is_orchestration)
    assert pb.PurgeInstancesResponse.FromString(answer).deletedInstanceCount == 2
    assert sorted(hub.service.views) == ["busy"]
    assert (await ending(hub.client.raw("PurgeInstances", b"\x22\x02\xff\xff")))[0] == (
        "INVALID_ARGUMENT"
    )


# ---- history and restart


async def give_history(hub: Hub, tasks: int) -> None:
    await hub.scenarios.completed("order-1")
    first = h.Turn(
        BORN_US, (h.ExecutionStarted("order", "1"),), (h.TaskScheduled(1, "a", "1", "x"),)
    )
    more = [
        h.Turn(BORN_US, (h.TaskCompleted(n, "2"),), (h.TaskScheduled(n + 1, "a", "1", "x"),))
        for n in range(1, tasks)
    ]
    hub.service.turns["order-1"] = [first, *more]


async def test_a_history_is_told_event_by_event(hub: Hub) -> None:
    await give_history(hub, 2)
    request = pb.GetInstanceHistoryRequest(instanceId="order-1")
    answer = await hub.client.call("GetInstanceHistory", request, pb.GetInstanceHistoryResponse)
    assert [event.WhichOneof("eventType") for event in answer.events] == [
        "workflowStarted",
        "executionStarted",
        "taskScheduled",
        "workflowStarted",
        "taskCompleted",
        "taskScheduled",
    ]
    execution = answer.events[1].executionStarted.workflowInstance
    state = await hub.client.call(
        "GetInstance", pb.GetInstanceRequest(instanceId="order-1"), pb.GetInstanceResponse
    )
    assert execution.instanceId == "order-1"
    assert execution.executionId == state.workflowState.executionId


async def test_the_history_of_a_worker_is_told_as_it_has_seen_it(hub: Hub) -> None:
    await hub.scenarios.running("order-1")
    hub.service.turns["order-1"] = [
        h.Turn(BORN_US, (h.ExecutionStarted("order"),)),
        h.Turn(BORN_US + 1, (h.EventRaised("late", "1", "r"),)),
        h.Turn(
            BORN_US + 2, (), (h.TaskScheduled(1, "a", None, "x"),), decided=h.Decided(1, BORN_US)
        ),
    ]
    request = pb.GetInstanceHistoryRequest(instanceId="order-1")
    answer = await hub.client.call("GetInstanceHistory", request, pb.GetInstanceHistoryResponse)
    assert [event.WhichOneof("eventType") for event in answer.events] == [
        "workflowStarted",
        "executionStarted",
        "taskScheduled",
    ]


async def test_a_history_is_streamed_in_chunks(hub: Hub) -> None:
    await give_history(hub, 400)
    request = pb.StreamInstanceHistoryRequest(instanceId="order-1")
    stream = hub.client.stream("StreamInstanceHistory", request.SerializeToString())
    chunks = [len(pb.HistoryChunk.FromString(chunk).events) async for chunk in stream]
    assert chunks == [500, 500, 200]


async def test_the_history_of_an_unknown_instance_is_not_found(hub: Hub) -> None:
    expected = ("NOT_FOUND", "workflow instance 'nobody' not found")
    assert await ending(hub.client.raw("GetInstanceHistory", b"\x0a\x06nobody")) == expected
    stream = hub.client.stream("StreamInstanceHistory", b"\x0a\x06nobody")
    assert await ending(stream.read()) == expected


async def test_an_instance_is_restarted_under_its_own_id_or_a_new_one(hub: Hub) -> None:
    await hub.scenarios.completed("order-1")
    for is_new, expected in ((False, "order-1"), (True, "made")):
        request = pb.RestartInstanceRequest(instanceId="order-1", restartWithNewInstanceId=is_new)
        answer = await hub.client.call("RestartInstance", request, pb.RestartInstanceResponse)
        assert answer.instanceId == expected


async def test_an_unknown_instance_cannot_be_restarted(hub: Hub) -> None:
    assert await ending(hub.client.raw("RestartInstance", b"\x0a\x06nobody")) == (
        "NOT_FOUND",
        "workflow instance 'nobody' not found",
    )


async def test_an_instance_that_goes_on_cannot_be_restarted(hub: Hub) -> None:
    await hub.scenarios.running("order-1")
    assert await ending(hub.client.raw("RestartInstance", b"\x0a\x07order-1")) == (
        "FAILED_PRECONDITION",
        "orchestration has not yet completed",
    )


# ---- what there is not


@pytest.mark.parametrize("name", UNSUPPORTED)
async def test_what_is_not_served_says_why(hub: Hub, name: str) -> None:
    request = pb.RewindInstanceRequest(instanceId="order-1").SerializeToString()
    code, details = await ending(hub.client.raw(name, request))
    assert code == "UNIMPLEMENTED"
    assert details == f"{name}: {UNSUPPORTED[name]}"
