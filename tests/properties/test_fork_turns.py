"""An instance that begins with a past, and what reaches it in the same moment."""

from __future__ import annotations

import msgspec
import pytest

from perdure import WorkflowContext
from perdure.runtime.workflow import history as h
from perdure.runtime.workflow import messages as m
from perdure.runtime.workflow.errors import InstanceCreatedBefore
from perdure.runtime.workflow.fork import Rerun, fork_of
from perdure.runtime.workflow.registry import Registry
from tests.properties.desk import Desk, events_of


async def asks(ctx: WorkflowContext) -> str:
    await ctx.call_activity("work")
    return str(await ctx.wait_for_external_event("go"))


@pytest.fixture(params=[False, True], ids=["live", "evicted"])
def desk(request: pytest.FixtureRequest) -> Desk:
    """With a finished instance `a`."""
    registry = Registry()
    registry.add_workflow(asks)
    desk = Desk(registry, evicts=request.param)
    desk.start("asks", "a", None, "start")
    work(desk)
    desk.call("a", m.RaiseEvent("go", '"then"', "e1"))
    return desk


def work(desk: Desk) -> None:
    desk.do("activity 0", lambda asked: h.TaskCompleted(asked.task_id, None))


def fork(desk: Desk, request_id: str = "r1") -> m.OpenFork:
    return fork_of(desk.rows["a"], desk.turns("a"), Rerun(event_id=1), "b", request_id)


def test_what_comes_with_the_fork_is_taken_after_it(desk: Desk) -> None:
    desk.tell("b", [fork(desk), m.RaiseEvent("go", '"now"', "e2"), m.Suspend()])
    assert desk.rows["b"].status is h.Status.SUSPENDED
    desk.call("b", m.Resume())
    work(desk)
    assert desk.rows["b"].output == '"now"'
    desk.check_replays()


def test_the_same_fork_told_again_is_made_once(desk: Desk) -> None:
    message = fork(desk)
    assert desk.call("b", message) == "b"
    assert desk.call("b", message) == "b"
    with pytest.raises(InstanceCreatedBefore):
        desk.call("b", fork(desk, "r2"))
    work(desk)
    desk.call("b", m.Terminate(h.ExecutionTerminated()))
    assert desk.call("b", message) == "b"
    with pytest.raises(InstanceCreatedBefore):
        desk.call("b", fork(desk, "r2"))
    assert next(one[:2] for one in desk.told if one[0] == "b") == ("b", "RUNNING")


def test_a_fork_and_a_start_of_one_moment_are_one_instance(desk: Desk) -> None:
    start = m.StartWorkflow(h.ExecutionStarted("asks"), "s1")
    desk.tell("b", [start, fork(desk)])
    (started,) = [e for e in events_of(desk.turns("b")) if isinstance(e, h.ExecutionStarted)]
    assert started.forks == ()


def test_after_a_purge_the_id_can_be_that_of_a_fork_again(desk: Desk) -> None:
    desk.call("b", fork(desk))
    desk.tell("b", [m.Purge(force=True), fork(desk, "r2")])
    keys = [work.execution_id for work in desk.activities]
    assert len(set(keys)) == 2
    assert desk.rows["b"].start_requests == "r2"


def test_a_past_that_is_damaged_makes_a_stalled_instance(desk: Desk) -> None:
    message = fork(desk)
    broken = msgspec.structs.replace(message, past=(message.past[0][:-1] + b"x",))
    with pytest.raises(AssertionError, match="checksum"):  # The desk's own: none may stall.
        desk.call("b", broken)
