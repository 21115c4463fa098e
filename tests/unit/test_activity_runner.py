"""Running activities: what becomes of an answer that the workflow does not take at once."""

from __future__ import annotations

import asyncio

import pytest

import perdure
from perdure.actors.errors import MailboxFull
from perdure.runtime.workflow.activities.runner import ActivityConfig, ActivityRunner, RunnerParts
from perdure.runtime.workflow.messages import Completion, RunActivity, Undeliverable
from perdure.runtime.workflow.registry import Registry
from tests.support.virtual_time import virtually
from tests.unit.actors.given import FakeEnv, running


class Workflow:
    """Takes completions, after the errors that it was told to answer with."""

    def __init__(self, *errors: Exception) -> None:
        self.errors = list(errors)
        self.taken: list[object] = []

    async def deliver(self, message: RunActivity, completion: Completion | Undeliverable) -> None:
        if self.errors:
            raise self.errors.pop(0)
        self.taken.append(completion)


@perdure.activity
async def quick() -> str:
    return "done"


@perdure.activity
async def stubborn() -> str:
    try:
        await asyncio.sleep(3600)
    finally:
        await asyncio.sleep(60)
    return "done"


def _runner(workflow: Workflow, config: ActivityConfig | None = None) -> ActivityRunner:
    registry = Registry.of([quick, stubborn, _unused])
    parts = RunnerParts(registry, FakeEnv(), workflow.deliver, None, lambda: True)
    return ActivityRunner(parts, config or ActivityConfig())


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


@virtually
async def test_answers_that_nobody_takes_keep_no_other_activity_from_running() -> None:
    busy = [MailboxFull("busy")] * 1_000_000
    workflow = Workflow(*busy)
    runner = _runner(workflow, ActivityConfig(concurrency=2, backlog_max=5))
    async with asyncio.TaskGroup() as group, running(runner.run(group)):
        await asyncio.sleep(0)
        for number in range(5):
            assert runner.receive(RunActivity("i", 1, 1, number, "quick", None, "x"))
        await asyncio.sleep(3600)
        assert (runner.started, runner.running) == (5, 0)
        # They are not kept without end either: what is not taken on is asked for later.
        assert not runner.receive(RunActivity("i", 1, 1, 5, "quick", None, "x"))
        workflow.errors.clear()
        await asyncio.sleep(10)
        assert len(workflow.taken) == 5
        assert runner.receive(RunActivity("i", 1, 1, 5, "quick", None, "x"))


@virtually
async def test_the_end_does_not_wait_for_an_activity_that_puts_off_its_cancellation() -> None:
    runner = _runner(Workflow())
    async with asyncio.TaskGroup() as group:
        async with running(runner.run(group)):
            await asyncio.sleep(0)
            runner.receive(RunActivity("i", 1, 1, 1, "stubborn", None, "x"))
            await asyncio.sleep(0)
            assert runner.running == 1
        assert runner.running == 1
    assert runner.running == 0
