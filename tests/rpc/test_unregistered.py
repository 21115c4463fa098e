"""Workers that lack what they are given, in the words of their SDKs, by the wire."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

import perdure
from perdure.runtime.rpc import taskhub_pb2 as pb
from perdure.runtime.rpc.unregistered import (
    ACTIVITIES,
    WORKFLOWS,
    Wording,
    lacks_activity,
    lacks_workflow,
)
from perdure.runtime.workflow import history as h
from perdure.runtime.workflow.workers.work import TurnDecided
from tests.cluster.nodes import in_time, until
from tests.rpc.serving import ending
from tests.rpc.wire_worker import HELLO, PATIENCE, WireWorker, at_work
from tests.support.actions import end, task

LACKED = "A 'ship' orchestrator was not registered."
NO_ACTIVITY = "Activity function named 'pack' was not registered!"


def failed(
    message: str = LACKED, type_: str = "OrchestratorNotRegisteredError", **more: Any
) -> pb.WorkflowAction:
    details = pb.TaskFailureDetails(errorType=type_, errorMessage=message, **more)
    done = pb.CompleteWorkflowAction(workflowStatus=h.Status.FAILED, failureDetails=details)
    return pb.WorkflowAction(id=1, completeWorkflow=done)


async def lack_activity(worker: WireWorker, item: pb.WorkItem) -> None:
    answer = pb.ActivityResponse(
        instanceId=item.activityRequest.workflowInstance.instanceId,
        taskId=item.activityRequest.taskId,
        completionToken=item.completionToken,
        failureDetails=pb.TaskFailureDetails(
            errorType="ActivityNotRegisteredError", errorMessage=NO_ACTIVITY
        ),
    )
    await worker.client.call("CompleteActivityTask", answer, pb.Empty)


def decided(failure: h.Failure | None, *before: h.Outgoing) -> TurnDecided:
    status = h.Status.COMPLETED if failure is None else h.Status.FAILED
    return TurnDecided(1, 1, 0, 1, 5, (*before, h.ExecutionCompleted(status, None, failure)))


def said(wording: Wording, name: str) -> h.Failure:
    return h.Failure(wording.error_type or "anything", wording.text.format(name=name), "trace")


ONE = pb.WorkflowResponse(actions=[pb.WorkflowAction(id=1)])


@pytest.mark.parametrize("wording", WORKFLOWS, ids=str)
@pytest.mark.parametrize("name", ["ship", "it's {name} 'x'"])
def test_a_workflow_is_lacked_by_the_words_of_each_sdk(wording: Wording, name: str) -> None:
    failure = said(wording, name)
    assert lacks_workflow(name, ONE, decided(failure))
    assert not lacks_workflow("other", ONE, decided(failure))
    call = h.TaskScheduled(1, "pack", None, "e")
    assert not lacks_workflow(name, ONE, decided(failure, call))
    two = pb.WorkflowResponse(actions=[pb.WorkflowAction(id=1), pb.WorkflowAction(id=2)])
    assert not lacks_workflow(name, two, decided(failure))
    other = h.Failure("ValueError", failure.message)
    assert lacks_workflow(name, ONE, decided(other)) == (wording.error_type is None)
    caused = h.Failure(failure.error_type, failure.message, None, failure)
    assert not lacks_workflow(name, ONE, decided(caused))


@pytest.mark.parametrize("wording", ACTIVITIES, ids=str)
def test_an_activity_is_lacked_by_the_words_of_each_sdk(wording: Wording) -> None:
    failure = said(wording, "pack")
    assert lacks_activity("pack", h.TaskFailed(1, failure))
    assert not lacks_activity("pac", h.TaskFailed(1, failure))
    assert not lacks_activity("pack", h.TaskFailed(1, h.Failure("ValueError", failure.message)))
    assert not lacks_activity("pack", h.TaskCompleted(1, failure.message))


def test_a_run_that_ends_otherwise_lacks_nothing() -> None:
    assert not lacks_workflow("ship", ONE, decided(None))
    assert not lacks_workflow("ship", pb.WorkflowResponse(), TurnDecided(1, 1, 0, 1, 5))


@pytest.mark.parametrize("dialect", list(HELLO))
async def test_what_one_worker_lacks_another_one_does(dialect: str) -> None:
    async with at_work(dialect) as (node, wrong):
        await node.service.start("ship", instance_id="o")
        item = await wrong.item()
        right = WireWorker(wrong.client, HELLO[dialect])
        await until(lambda: len(node.engine.pool.streams) == 2, "it is there")
        await wrong.decide(item, [failed()])
        await right.turn(task(1, "pack"))
        async with asyncio.timeout(PATIENCE):
            # Whichever is asked first lacks it.
            first = asyncio.ensure_future(wrong.item())
            second = asyncio.ensure_future(right.item())
            done, _ = await asyncio.wait([first, second], return_when="FIRST_COMPLETED")
            asked, other = (wrong, second) if first in done else (right, first)
            await lack_activity(asked, done.pop().result())
            item = await other
        assert item.activityRequest.name == "pack"
        answer = pb.ActivityResponse(
            instanceId="o", taskId=1, completionToken=item.completionToken, result={"value": "3"}
        )
        await right.client.call("CompleteActivityTask", answer, pb.Empty)
        assert (await right.turn(end(2))).newEvents[-1].taskCompleted.result.value == "3"
        view = await in_time(node.service.wait("o", timeout=15))
        assert view.row.status is h.Status.COMPLETED
        right.go()


async def test_alone_a_worker_fails_what_it_lacks() -> None:
    async with at_work() as (node, worker):
        await node.service.start("ship", instance_id="o")
        await worker.turn(failed())
        view = await in_time(node.service.wait("o", timeout=15))
        assert (view.row.failure.error_type, view.row.failure.message) == (
            "OrchestratorNotRegisteredError",
            LACKED,
        )


async def test_a_failure_of_the_code_itself_is_one_whoever_else_is_there() -> None:
    async with at_work() as (node, worker):
        other = WireWorker(worker.client, HELLO["dapr"])
        await until(lambda: len(node.engine.pool.streams) == 2, "it is there")
        await node.service.start("ship", instance_id="o")
        await worker.turn(failed(type_="ValueError"))
        view = await in_time(node.service.wait("o", timeout=15))
        assert view.row.failure.error_type == "ValueError"
        other.go()


@perdure.workflow
async def ship(ctx: perdure.WorkflowContext) -> str:
    return "from the node"


async def test_a_worker_is_refused_when_a_node_with_its_code_comes(tmp_path: Any) -> None:
    hello = pb.GetWorkItemsRequest(
        workItemFilters=pb.WorkItemFilters(orchestrations=[{"name": "ship"}, {"name": "bill"}])
    )
    store: Any = {"store": tmp_path / "store.db"}
    async with at_work(**store) as (node, bystander):
        worker = WireWorker(bystander.client, hello)
        await until(lambda: len(node.engine.pool.streams) == 2, "it is there")
        bystander.go()
        await node.service.start("bill", instance_id="o")
        item = await worker.item()
        async with at_work(app=[ship], node_id="later", **store):
            await until(lambda: any(s.is_draining for s in node.engine.pool.streams), "refused")
            # What it has in hand it may finish.
            await worker.decide(item, [end(1)])
            assert await ending(worker._stream.read()) == (
                "FAILED_PRECONDITION",
                "workflow 'ship' is in the app of a node, and announced by this worker: "
                "its code must be in one place only",
            )
            view = await in_time(node.service.wait("o", timeout=15))
            assert view.row.status is h.Status.COMPLETED
