"""Workers by the wire, on a real engine: long decisions, pauses, in every dialect."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import perdure
from perdure.runtime.client import WorkflowClient
from perdure.runtime.rpc import taskhub_pb2 as pb
from perdure.runtime.rpc.stalls import PAYLOAD_SIZE_EXCEEDED
from perdure.runtime.workflow import history as h
from perdure.runtime.workflow.errors import InstanceStalled
from tests.cluster.nodes import in_time, recorded
from tests.rpc.serving import Client, ending
from tests.rpc.wire_worker import HELLO, WireWorker, at_work, kinds
from tests.support.actions import end, task

DIALECTS = pytest.mark.parametrize("dialect", list(HELLO))


def limited(message_bytes: int) -> dict[str, Any]:
    """Settings of a node that takes no longer requests."""
    return {
        "max_body_bytes": message_bytes,
        "payload_bytes_max": message_bytes,
        "custom_status_bytes_max": 100,
    }


async def test_a_decision_may_be_longer_than_any_other_request() -> None:
    async with at_work(**limited(4000)) as (node, worker):
        await node.service.start("ship", instance_id="o")
        item = await worker.item()
        asked = [task(number, "pack", "x" * 100) for number in range(1, 101)]
        await worker.decide(item, asked)
        _, turns = await node.service.history("o")
        assert sum(isinstance(e, h.TaskScheduled) for t in turns for e in t.outgoing) == 100


async def history(client: Client, instance_id: str) -> list[str]:
    request = pb.GetInstanceHistoryRequest(instanceId=instance_id)
    answer = await client.call("GetInstanceHistory", request, pb.GetInstanceHistoryResponse)
    return kinds(answer.events)


async def test_a_stall_is_in_the_history_once_for_clients_and_never_for_workers() -> None:
    no_version = pb.WorkflowAction(
        id=1, workflowVersionNotAvailable=pb.WorkflowVersionNotAvailableAction()
    )
    async with at_work() as (node, worker):
        await node.service.start("ship", instance_id="o")
        await worker.turn()
        await node.service.raise_event("o", "go")
        told = ["workflowStarted", "executionStarted"]
        await worker.turn(no_version)
        await in_time(node.service.wait("o", until=[h.Status.STALLED], timeout=15))
        for _ in range(2):
            assert await history(worker.client, "o") == [*told, "executionStalled"]
            with pytest.raises(InstanceStalled):  # But it is offered again.
                await node.service.resume("o")
            item = await worker.item()
            # It has the turn in hand: this is how it asks for what it has forgotten.
            assert await history(worker.client, "o") == told
            assert kinds(item.workflowRequest.pastEvents) == told
            assert kinds(item.workflowRequest.newEvents) == ["workflowStarted", "eventRaised"]
            await worker.decide(item, [no_version])


@DIALECTS
async def test_a_second_pause_and_a_resume_of_what_runs_reach_no_worker(dialect: str) -> None:
    async with at_work(dialect) as (node, worker):
        change = worker.client.raw
        name = b"\x0a\x01o"
        await node.service.start("ship", instance_id="o")
        item = await worker.item()
        await change("ResumeInstance", name)  # It has not begun.
        await worker.decide(item, [])
        await change("ResumeInstance", name)  # It runs.
        for _ in range(2):
            await change("SuspendInstance", name)
        # The worker has one of them in hand while more come: it is the state then that counts.
        first = await worker.item()
        for change_name in ("SuspendInstance", "ResumeInstance", "ResumeInstance"):
            await change(change_name, name)
        assert kinds(first.workflowRequest.newEvents) == ["workflowStarted", "executionSuspended"]
        await worker.decide(first, [])
        second = await worker.turn()
        assert kinds(second.newEvents) == ["workflowStarted", "executionResumed"]
        await node.service.raise_event("o", "go")
        last = await worker.turn(end(1))
        assert kinds(last.newEvents) == ["workflowStarted", "eventRaised"]
        view = await in_time(node.service.wait("o", timeout=15))
        assert view.row.status is h.Status.COMPLETED
        told = await history(worker.client, "o")
        assert told.count("executionSuspended") == told.count("executionResumed") == 1


async def test_http_tells_a_history_in_the_order_in_which_the_code_saw_it() -> None:
    async with at_work(http=True) as (node, worker):
        await node.service.start("ship", instance_id="o")
        item = await worker.item()
        await node.service.raise_event("o", "one")  # While the first decision is being made.
        await worker.decide(item, [task(1, "pack")])
        await worker.turn(task(2, "label"))
        await node.service.raise_event("o", "two")
        assert node.url is not None
        async with WorkflowClient(node.url) as client:
            events = await client.get_workflow_history("o")
    assert [event.type for event in events] == [
        *("WorkflowStarted", "ExecutionStarted", "TaskScheduled"),
        *("WorkflowStarted", "EventRaised", "TaskScheduled"),
        *("WorkflowStarted", "EventRaised"),
    ]
    assert [event.details["name"] for event in events if event.type == "EventRaised"] == [
        "one",
        "two",
    ]


@pytest.mark.parametrize("dialect", ["dapr", "microsoft"])
async def test_an_activity_too_large_for_a_worker_stalls_until_the_limit_is_larger(
    dialect: str, tmp_path: Path
) -> None:
    store = tmp_path / "app.db"
    asked = [task(1, "weigh"), task(2, "pack", "x" * 3900)]
    async with at_work(dialect, store=store, **limited(4000)) as (node, worker):
        await node.service.start("ship", instance_id="o")
        await worker.turn(*asked)
        view = await in_time(node.service.wait("o", until=[h.Status.STALLED], timeout=15))
        size = len("pack") + 3900
        assert view.row.stalled == (
            f"activity 'pack::2' payload size {size} bytes exceeds 95% of max gRPC body size "
            "4000 bytes; increase --max-body-size and restart to resume"
        )
        request = pb.GetInstanceHistoryRequest(instanceId="o")
        answer = await worker.client.call(
            "GetInstanceHistory", request, pb.GetInstanceHistoryResponse
        )
        assert kinds(answer.events)[-1] == "executionStalled"
        assert answer.events[-1].executionStalled.reason == PAYLOAD_SIZE_EXCEEDED
    async with at_work(dialect, store=store, **limited(8000)) as (node, worker):
        again = await worker.turn(*asked)  # Nothing of that turn had been written.
        assert kinds(again.newEvents) == ["workflowStarted", "executionStarted"]
        called = {(await worker.item()).activityRequest.name for _ in range(2)}
        assert called == {"weigh", "pack"}
        assert (await node.service.get("o")).row.status is h.Status.RUNNING


async def test_an_activity_that_just_fits_is_called() -> None:
    async with at_work(**limited(4000)) as (node, worker):
        await node.service.start("ship", instance_id="o")
        await worker.turn(task(1, "pack", "x" * 3700))
        assert (await worker.item()).activityRequest.name == "pack"


@perdure.workflow
async def ours(ctx: perdure.WorkflowContext) -> str:
    return str(await ctx.call_activity("also_ours"))


@perdure.activity
async def also_ours(ctx: perdure.ActivityContext) -> str:
    return "from the node"


@pytest.mark.parametrize(
    ("filters", "status"),
    [
        (
            {"orchestrations": [{"name": "theirs"}, {"name": "ours"}]},
            (
                "FAILED_PRECONDITION",
                "workflow 'ours' is in the app of a node, and announced by this worker: "
                "its code must be in one place only",
            ),
        ),
        (
            {"activities": [{"name": "also_ours"}]},
            (
                "FAILED_PRECONDITION",
                "activity 'also_ours' is in the app of a node, and announced by this worker: "
                "its code must be in one place only",
            ),
        ),
        (
            {"orchestrations": [{"name": "theirs", "versions": ["2"]}]},
            (
                "UNIMPLEMENTED",
                "the filter of workflow 'theirs' names versions: work is handed out by name here; "
                "leave the versions out, and let the worker abandon what it lacks",
            ),
        ),
    ],
)
async def test_a_worker_that_announces_what_it_cannot_have_is_refused(
    filters: Any, status: tuple[str, str]
) -> None:
    hello = pb.GetWorkItemsRequest(workItemFilters=filters).SerializeToString()
    with recorded() as log:
        async with at_work(app=[ours, also_ours]) as (_, worker):
            stream = worker.client.stream("GetWorkItems", hello)
            assert await ending(stream.read()) == status
        assert [record.__dict__["reason"] for record in log.of("worker_refused")] == [status[1]]


async def test_names_that_no_node_has_are_a_workers_to_announce() -> None:
    # A workflow and an activity of one name are two things.
    filters = pb.WorkItemFilters(orchestrations=[{"name": "also_ours"}])
    async with at_work(app=[ours, also_ours]) as (node, other):
        other.go()
        worker = WireWorker(other.client, pb.GetWorkItemsRequest(workItemFilters=filters))
        await node.service.start("also_ours", instance_id="o")
        await worker.turn(end(1))
        assert (await in_time(node.service.wait("o", timeout=15))).row.output == "1"
        worker.go()


@DIALECTS
async def test_a_worker_that_announces_nothing_gets_what_no_node_has(dialect: str) -> None:
    async with at_work(dialect, app=[ours, also_ours]) as (node, worker):
        await node.service.start("ours", instance_id="o")
        await node.service.start("theirs", instance_id="t")
        assert (await worker.turn(end(1))).instanceId == "t"
        view = await in_time(node.service.wait("o", timeout=15))
        assert view.row.output == '"from the node"'
