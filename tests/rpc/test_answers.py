"""Answers of workers that nobody waits for, or that cannot be: what is said, and what stays."""

from __future__ import annotations

from typing import Any

import pytest

from perdure.runtime.node import Node
from perdure.runtime.rpc import taskhub_pb2 as pb
from perdure.runtime.workflow import history as h
from perdure.runtime.workflow.errors import InstanceNotFound
from tests.cluster.nodes import in_time
from tests.rpc.serving import ending
from tests.rpc.wire_worker import WireWorker, at_work
from tests.support.actions import end, task

WRONG = "not-a-token"


def turn_answer(token: str, *actions: pb.WorkflowAction) -> dict[str, bytes]:
    """The same answer under both of its names."""
    data = pb.WorkflowResponse(
        instanceId="o", actions=actions, completionToken=token
    ).SerializeToString()
    return dict.fromkeys(("CompleteOrchestratorTask", "CompleteWorkflowTask"), data)


def activity_answer(token: str, result: str = "2") -> dict[str, bytes]:
    answer = pb.ActivityResponse(
        instanceId="o", taskId=1, result={"value": result}, completionToken=token
    )
    return {"CompleteActivityTask": answer.SerializeToString()}


async def tell(worker: WireWorker, answers: dict[str, bytes]) -> None:
    """Each of them ends well, and says nothing."""
    for name, data in answers.items():
        assert await worker.client.raw(name, data) == b""


async def output(node: Node) -> str | None:
    view = await in_time(node.service.wait("o", timeout=15))
    found: str | None = view.row.output
    return found


async def test_a_decision_under_a_token_that_nobody_gave_changes_nothing() -> None:
    async with at_work() as (node, worker):
        await node.service.start("ship", instance_id="o")
        item = await worker.item()
        await tell(worker, turn_answer(WRONG, end(1, "0")))
        await tell(worker, activity_answer(item.completionToken))  # It is no activity's.
        assert (await node.service.get("o")).row.status is h.Status.PENDING
        await tell(worker, turn_answer(item.completionToken, end(1, "7")))
        assert await output(node) == "7"


async def test_a_result_under_a_token_that_nobody_gave_changes_nothing() -> None:
    async with at_work() as (node, worker):
        await node.service.start("ship", instance_id="o")
        await worker.turn(task(1, "pack"))
        item = await worker.item()
        await tell(worker, activity_answer(WRONG, "0"))
        await tell(worker, turn_answer(item.completionToken, end(2, "0")))  # It is no turn's.
        await tell(worker, activity_answer(item.completionToken, "7"))
        turn = await worker.turn(end(2))
        assert [e.taskCompleted.result.value for e in turn.newEvents[1:]] == ["7"]


async def test_answers_without_a_token_are_to_what_was_sent_last() -> None:
    async with at_work() as (node, worker):
        await node.service.start("ship", instance_id="o")
        await worker.item()
        await tell(worker, turn_answer("", task(1, "pack")))
        await worker.item()
        await tell(worker, activity_answer("", "7"))
        turn = await worker.turn(end(2))
        assert [e.taskCompleted.result.value for e in turn.newEvents[1:]] == ["7"]


async def finish(node: Node) -> None:
    await node.service.terminate("o", '"by hand"')
    await in_time(node.service.wait("o", timeout=15))


async def purge(node: Node) -> None:
    await finish(node)
    await node.service.purge("o")


@pytest.mark.parametrize("over", [finish, purge])
@pytest.mark.parametrize("with_token", [True, False])
async def test_an_answer_for_what_is_over_is_taken_and_changes_nothing(
    with_token: bool, over: Any
) -> None:
    async with at_work() as (node, worker):
        await node.service.start("ship", instance_id="o")
        await worker.turn(task(1, "pack"))
        activity = await worker.item()
        await node.service.raise_event("o", "go")
        turn = await worker.item()
        await over(node)
        tokens = [each.completionToken if with_token else "" for each in (turn, activity)]
        await tell(worker, turn_answer(tokens[0], end(2, "0")))
        await tell(worker, activity_answer(tokens[1], "0"))
        if over is purge:
            with pytest.raises(InstanceNotFound):
                await node.service.get("o")
        else:
            row = (await node.service.get("o")).row
            assert (row.status, row.output) == (h.Status.TERMINATED, '"by hand"')


async def test_a_decision_that_cannot_be_is_refused_by_name_and_the_turn_offered_again() -> None:
    async with at_work() as (node, worker):
        await node.service.start("ship", instance_id="o")
        item = await worker.item()
        data = turn_answer(item.completionToken, task(1, ""))["CompleteWorkflowTask"]
        refused = await ending(worker.client.raw("CompleteWorkflowTask", data))
        assert refused == ("INVALID_ARGUMENT", "action 1: the activity has no name")
        again = await worker.item()
        await tell(worker, turn_answer(item.completionToken, end(1, "0")))
        await tell(worker, turn_answer(again.completionToken, end(1, "7")))
        assert await output(node) == "7"


async def test_what_a_worker_gives_back_is_offered_again() -> None:
    async with at_work("microsoft") as (node, worker):
        await node.service.start("ship", instance_id="o")
        await worker.turn(task(1, "pack"))
        for name in ("AbandonTaskActivityWorkItem", "AbandonTaskOrchestratorWorkItem"):
            item = await worker.item()
            for token in (WRONG, "", item.completionToken):
                data = pb.AbandonOrchestrationTaskRequest(completionToken=token)
                assert await worker.client.raw(name, data.SerializeToString()) == b""
            again = await worker.item()
            assert again.completionToken != item.completionToken
            assert again.WhichOneof("request") == item.WhichOneof("request")
            if again.HasField("activityRequest"):
                await tell(worker, activity_answer(again.completionToken, "7"))
        await tell(worker, turn_answer(again.completionToken, end(2, "7")))
        assert await output(node) == "7"
