"""Running activities: what becomes of an answer that the workflow does not take at once."""

from __future__ import annotations

import asyncio

import pytest

import perdure
from perdure.actors.errors import MailboxFull
from perdure.runtime.workflow.activities.runner import ActivityConfig, ActivityRunner, RunnerParts
from perdure.runtime.workflow.messages import Completion, RunActivity
from perdure.runtime.workflow.registry import Registry
from tests.support.virtual_time import virtually
from tests.unit.actors.given import FakeEnv, running


class Workflow:
    """Takes completions, after the errors that it was told to answer with."""

    def __init__(self, *errors: Exception) -> None:
        self.errors = list(errors)
        self.taken: list[object] = []

    async def deliver(self, message: RunActivity, completion: Completion) -> None:
        if self.errors:
            raise self.errors.pop(0)
        self.taken.append(completion)


@perdure.activity
async def quick() -> str:
    return "done"


def _runner(workflow: Workflow) -> ActivityRunner:
    registry = Registry.of([quick, _unused])
    parts = RunnerParts(registry, FakeEnv(), workflow.deliver, None, lambda: True)
    return ActivityRunner(parts, ActivityConfig())


@perdure.workflow(name="unused")
async def _unused(ctx: perdure.WorkflowContext) -> None:
    pass


@virtually
async def test_an_instance_s_work_is_at_hand_until_its_last_answer_is_taken() -> None:
    workflow = Workflow(MailboxFull("busy"))
    runner = _runner(workflow)
    runner.receive(RunActivity("i", 1, 1, 1, "quick", None, "x"))
    runner.receive(RunActivity("i", 1, 1, 2, "quick", None, "x"))
    async with asyncio.TaskGroup() as group, running(runner.run(group)):
        await asyncio.sleep(0.001)
        assert len(workflow.taken) == 1
        assert runner.works_for("i")
        assert not runner.works_for("other")
        await asyncio.sleep(1)
        assert len(workflow.taken) == 2
        assert not runner.works_for("i")


@pytest.mark.parametrize("error", [MailboxFull("busy"), ZeroDivisionError("a turn of ours")])
@virtually
async def test_an_answer_is_told_until_it_is_taken_whatever_becomes_of_the_turn(
    error: Exception,
) -> None:
    workflow = Workflow(error, error)
    runner = _runner(workflow)
    async with asyncio.TaskGroup() as group, running(runner.run(group)):
        await asyncio.sleep(0)
        runner.receive(RunActivity("i", 1, 1, 1, "quick", None, "x"))
        await asyncio.sleep(10)
        (answer,) = workflow.taken
        assert isinstance(answer, Completion)
        assert runner.started == 1
