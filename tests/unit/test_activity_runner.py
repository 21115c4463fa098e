"""Running activities: what becomes of an answer that the workflow does not take at once."""

from __future__ import annotations

import asyncio

import pytest

import perdure
from perdure.actors.errors import MailboxFull
from perdure.actors.identity import ActorRef
from perdure.runtime.workflow.activity_actor import ActivityConfig, ActivityRunner
from perdure.runtime.workflow.messages import ACTIVITY, WORKFLOW, Completion, RunActivity
from perdure.runtime.workflow.registry import Registry
from tests.support.virtual_time import virtually
from tests.unit.actors.given import FakeEnv, running

TARGET = ActorRef(ACTIVITY, "i::1")


class Workflow:
    """Takes completions, after the errors that it was told to answer with."""

    def __init__(self, *errors: Exception) -> None:
        self.errors = list(errors)
        self.taken: list[object] = []

    async def deliver(self, ref: ActorRef, message: object) -> None:
        if self.errors:
            raise self.errors.pop(0)
        self.taken.append(message)


@perdure.activity
async def quick() -> str:
    return "done"


def _runner(workflow: Workflow) -> ActivityRunner:
    return ActivityRunner(
        Registry.of([quick, _unused]), FakeEnv(), workflow.deliver, None, ActivityConfig()
    )


@perdure.workflow(name="unused")
async def _unused(ctx: perdure.WorkflowContext) -> None:
    pass


@virtually
async def test_an_instance_s_work_is_at_hand_until_its_last_answer_is_taken() -> None:
    workflow = Workflow(MailboxFull("busy"))
    runner = _runner(workflow)
    runner.receive(TARGET, RunActivity("i", 1, 1, 1, "quick", None, "x"))
    runner.receive(TARGET, RunActivity("i", 1, 1, 2, "quick", None, "x"))
    async with running(runner.run()):
        await asyncio.sleep(0.001)
        assert len(workflow.taken) == 1
        assert runner.works_for(ActorRef(WORKFLOW, "i"))
        assert not runner.works_for(ActorRef(WORKFLOW, "other"))
        await asyncio.sleep(1)
        assert len(workflow.taken) == 2
        assert not runner.works_for(ActorRef(WORKFLOW, "i"))


@pytest.mark.parametrize("error", [MailboxFull("busy"), ZeroDivisionError("a turn of ours")])
@virtually
async def test_an_answer_is_told_until_it_is_taken_whatever_becomes_of_the_turn(
    error: Exception,
) -> None:
    workflow = Workflow(error, error)
    runner = _runner(workflow)
    async with running(runner.run()):
        await asyncio.sleep(0)
        runner.receive(TARGET, RunActivity("i", 1, 1, 1, "quick", None, "x"))
        await asyncio.sleep(10)
        (answer,) = workflow.taken
        assert isinstance(answer, Completion)
        assert runner.started == 1
