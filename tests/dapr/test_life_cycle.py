"""Pause, resume, terminate and purge, in every state that an instance can be in."""

from __future__ import annotations

from collections.abc import Callable, Generator
from datetime import datetime, timedelta
from typing import Any

import pytest

import perdure.dapr as wf
from perdure.runtime.workflow.errors import (
    InstanceExists,
    InstanceNotFound,
    InstanceStalled,
    NotCompleted,
)
from tests.dapr.conftest import eventually, finished, state_of

Steps = Generator[Any, Any, Any]
FAR = datetime(9000, 1, 1)  # noqa: DTZ001  # Dapr's SDK: without a zone, which means UTC.


class World:
    """A runtime with one workflow, and instances of it in any state."""

    def __init__(self, runtime: wf.WorkflowRuntime, client: wf.DaprWorkflowClient) -> None:
        self.runtime = runtime
        self.client = client
        runtime.register_versioned_workflow(
            waiting, name="waiting", version_name="1", is_latest=True
        )
        runtime.start()

    def status(self, instance_id: str) -> str:
        return state_of(self.client, instance_id).runtime_status.name

    def instance(self, state: str) -> str:
        """The id of an instance in `state`."""
        client, instance_id = self.client, "one"
        if state == "UNKNOWN":
            return instance_id
        at = FAR if state == "PENDING" else None
        client.schedule_new_workflow("waiting", instance_id=instance_id, start_at=at)
        match state:
            case "SUSPENDED":
                client.pause_workflow(instance_id)
            case "COMPLETED":
                client.raise_workflow_event(instance_id, "go", data="well")
                finished(client, instance_id)
            case "FAILED":
                client.raise_workflow_event(instance_id, "go", data="badly")
                finished(client, instance_id)
            case "TERMINATED":
                client.terminate_workflow(instance_id, output="first")
            case "STALLED":
                self.deploy(version="2")
                client.raise_workflow_event(instance_id, "go", data="well")
                eventually(lambda: self.status(instance_id) == "STALLED")
        assert self.status(instance_id) == state
        return instance_id

    def deploy(self, *, version: str) -> None:
        """Another release, which has this version only."""
        self.runtime.shutdown()
        self.runtime = wf.WorkflowRuntime()
        self.runtime.register_versioned_workflow(
            waiting, name="waiting", version_name=version, is_latest=True
        )
        self.runtime.start()


def waiting(ctx: wf.DaprWorkflowContext) -> Steps:
    how = yield ctx.wait_for_external_event("go")
    if how == "badly":
        raise ValueError(how)
    return how


@pytest.fixture
def world(runtime: wf.WorkflowRuntime, client: wf.DaprWorkflowClient) -> Any:
    world = World(runtime, client)
    yield world
    world.runtime.shutdown()


NOT_THERE, STALLED, BUSY = InstanceNotFound, InstanceStalled, NotCompleted
ENDED = ("COMPLETED", "FAILED", "TERMINATED")


@pytest.mark.parametrize(
    ("state", "after"),
    [
        ("PENDING", "PENDING"),  # It says so until it has begun.
        ("RUNNING", "SUSPENDED"),
        ("SUSPENDED", "SUSPENDED"),
        *zip(ENDED, ENDED, strict=True),
        ("STALLED", STALLED),
        ("UNKNOWN", NOT_THERE),
    ],
)
def test_pause(world: World, state: str, after: str | type[Exception]) -> None:
    told(world, state, after, world.client.pause_workflow)


@pytest.mark.parametrize(
    ("state", "after"),
    [
        ("PENDING", "PENDING"),
        ("RUNNING", "RUNNING"),
        ("SUSPENDED", "RUNNING"),
        *zip(ENDED, ENDED, strict=True),
        ("STALLED", STALLED),
        ("UNKNOWN", NOT_THERE),
    ],
)
def test_resume(world: World, state: str, after: str | type[Exception]) -> None:
    told(world, state, after, world.client.resume_workflow)


@pytest.mark.parametrize(
    ("state", "after"),
    [
        ("PENDING", "TERMINATED"),
        ("RUNNING", "TERMINATED"),
        ("SUSPENDED", "TERMINATED"),
        *zip(ENDED, ENDED, strict=True),
        ("STALLED", STALLED),
        ("UNKNOWN", NOT_THERE),
    ],
)
def test_terminate(world: World, state: str, after: str | type[Exception]) -> None:
    client = world.client
    told(world, state, after, lambda one: client.terminate_workflow(one, output={"by": "hand"}))
    if after == "TERMINATED":
        output = state_of(client, "one").serialized_output
        assert output == ('"first"' if state == "TERMINATED" else '{"by": "hand"}')


@pytest.mark.parametrize(
    ("state", "after"),
    [
        ("PENDING", NOT_THERE),
        ("RUNNING", BUSY),
        ("SUSPENDED", BUSY),
        *zip(ENDED, (None, None, None), strict=True),
        ("STALLED", STALLED),
        ("UNKNOWN", NOT_THERE),
    ],
)
def test_purge(world: World, state: str, after: type[Exception] | None) -> None:
    told(world, state, after, world.client.purge_workflow)


@pytest.mark.parametrize(
    ("state", "after"),
    [
        ("PENDING", "PENDING"),
        ("RUNNING", "COMPLETED"),
        ("SUSPENDED", "SUSPENDED"),
        *zip(ENDED, ENDED, strict=True),
        ("STALLED", STALLED),
        ("UNKNOWN", NOT_THERE),
    ],
)
def test_raise_event(world: World, state: str, after: str | type[Exception]) -> None:
    client = world.client
    told(world, state, after, lambda one: client.raise_workflow_event(one, "go", data="late"))
    if state == "SUSPENDED":
        client.resume_workflow("one")
        assert finished(client, "one").serialized_output == '"late"'


@pytest.mark.parametrize("state", ["PENDING", "RUNNING", "SUSPENDED", "STALLED", *ENDED])
def test_schedule_again(world: World, state: str) -> None:
    instance_id = world.instance(state)
    if state in ENDED:
        world.client.schedule_new_workflow("waiting", instance_id=instance_id)
        assert world.status(instance_id) == "RUNNING"
        return
    with pytest.raises((InstanceExists, InstanceStalled)):
        world.client.schedule_new_workflow("waiting", instance_id=instance_id)
    assert world.status(instance_id) == state


def told(
    world: World,
    state: str,
    after: str | type[Exception] | None,
    act: Callable[[str], Any],
) -> None:
    """Do something to an instance in `state`; then it is in another one, or gone, or nothing is."""
    instance_id = world.instance(state)
    if isinstance(after, type):
        with pytest.raises(after):
            act(instance_id)
        after = state
    else:
        act(instance_id)
        if after == "COMPLETED":
            finished(world.client, instance_id)
    found = world.client.get_workflow_state(instance_id)
    status = "UNKNOWN" if found is None else found.runtime_status.name
    assert status == (after or "UNKNOWN")


def test_what_happens_while_suspended_is_seen_after_the_resume(
    runtime: wf.WorkflowRuntime, client: wf.DaprWorkflowClient
) -> None:
    @runtime.workflow
    def collect(ctx: wf.DaprWorkflowContext) -> Steps:
        timer = ctx.create_timer(timedelta(milliseconds=5))
        event = ctx.wait_for_external_event("event")
        yield ctx.wait_for_external_event("begin")
        yield wf.when_all([timer, event])
        return event.get_result()

    runtime.start()
    instance_id = client.schedule_new_workflow(collect)
    client.pause_workflow(instance_id)
    client.raise_workflow_event(instance_id, "begin")
    client.raise_workflow_event(instance_id, "event", data="held")
    with pytest.raises(TimeoutError):
        client.wait_for_workflow_completion(instance_id, timeout_in_seconds=0.02)
    client.resume_workflow(instance_id)
    assert finished(client, instance_id).serialized_output == '"held"'


@pytest.mark.parametrize("recursive", [True, False])
def test_children_end_and_go_with_their_parent_if_that_is_asked_for(
    recursive: bool, runtime: wf.WorkflowRuntime, client: wf.DaprWorkflowClient
) -> None:
    @runtime.workflow
    def parent(ctx: wf.DaprWorkflowContext) -> Steps:
        yield ctx.call_child_workflow(child, instance_id="child")

    @runtime.workflow
    def child(ctx: wf.DaprWorkflowContext) -> Steps:
        yield ctx.call_child_workflow(grandchild, instance_id="grandchild")

    @runtime.workflow
    def grandchild(ctx: wf.DaprWorkflowContext) -> Steps:
        yield ctx.wait_for_external_event("never")

    runtime.start()
    client.schedule_new_workflow(parent, instance_id="parent")
    eventually(lambda: client.get_workflow_state("grandchild") is not None)
    client.terminate_workflow("parent", recursive=recursive)
    if recursive:
        for instance_id in ("child", "grandchild"):
            ended = finished(client, instance_id)
            assert ended.runtime_status is wf.WorkflowStatus.TERMINATED
        client.purge_workflow("parent")
        assert list(client.iter_workflow_instance_ids()) == []
    else:
        assert state_of(client, "grandchild").runtime_status is wf.WorkflowStatus.RUNNING
        client.purge_workflow("parent", False)
        assert sorted(client.iter_workflow_instance_ids()) == ["child", "grandchild"]


def test_waiting_for_what_does_not_exist_finds_nothing(
    runtime: wf.WorkflowRuntime, client: wf.DaprWorkflowClient
) -> None:
    runtime.start()
    assert client.get_workflow_state("nobody") is None
    assert client.wait_for_workflow_start("nobody") is None
    assert client.wait_for_workflow_completion("nobody") is None
    with pytest.raises(InstanceNotFound):
        client.get_workflow_history("nobody")
