"""Versions and patches: what is under way goes on with the code that it knows, or stalls."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from typing import Any

import pytest

import perdure.dapr as wf
from tests.dapr.conftest import eventually, finished, state_of

Steps = Generator[Any, Any, Any]
Code = Callable[[wf.DaprWorkflowContext], Any]


class Deployments:
    """One runtime after the other, on the same store."""

    def __init__(self, client: wf.DaprWorkflowClient) -> None:
        self.client = client
        self.runtime = wf.WorkflowRuntime()

    def next(self, code: Code | None = None, **versions: Code) -> None:
        """The next release: `flow` is this code, or these versions, the last one the latest."""
        self.runtime.shutdown()
        self.runtime = wf.WorkflowRuntime()
        if code is not None:
            self.runtime.register_workflow(_copy(code), name="flow")
        for version, its_code in versions.items():
            latest = version == list(versions)[-1]
            self.runtime.register_versioned_workflow(
                _copy(its_code), name="flow", version_name=version, is_latest=latest
            )
        self.runtime.start()

    def begin(self) -> str:
        instance_id = self.client.schedule_new_workflow("flow")
        self.client.wait_for_workflow_start(instance_id)
        return instance_id

    def end(self, instance_id: str) -> str | None:
        self.client.raise_workflow_event(instance_id, "go")
        return finished(self.client, instance_id).serialized_output

    def stalls(self, instance_id: str) -> None:
        """An event finds out; it is not lost by that."""
        self.client.raise_workflow_event(instance_id, "go")
        eventually(
            lambda: state_of(self.client, instance_id).runtime_status is wf.WorkflowStatus.STALLED
        )


def _copy(code: Code) -> Code:
    """Another function of the same code, as another process would have it."""

    def flow(ctx: wf.DaprWorkflowContext) -> Any:
        return code(ctx)

    return flow


@pytest.fixture
def deployed(client: wf.DaprWorkflowClient) -> Iterator[Deployments]:
    deployments = Deployments(client)
    yield deployments
    deployments.runtime.shutdown()


def returning(value: str) -> Code:
    def code(ctx: wf.DaprWorkflowContext) -> Steps:
        yield ctx.wait_for_external_event("go")
        return value

    return code


def test_new_instances_run_the_latest_version_and_old_ones_their_own(
    deployed: Deployments,
) -> None:
    deployed.next(v1=returning("one"))
    old = deployed.begin()
    deployed.next(v1=returning("one"), v2=returning("two"))
    assert deployed.end(deployed.begin()) == '"two"'
    assert deployed.end(old) == '"one"'


def test_a_version_that_is_registered_as_the_latest_later_takes_over(
    runtime: wf.WorkflowRuntime, client: wf.DaprWorkflowClient
) -> None:
    @runtime.versioned_workflow(name="flow", is_latest=True)
    def first(ctx: wf.DaprWorkflowContext) -> str:
        return "one"

    runtime.start()
    assert finished(client, client.schedule_new_workflow(first)).serialized_output == '"one"'

    @runtime.versioned_workflow(name="flow", is_latest=True)
    def second(ctx: wf.DaprWorkflowContext) -> str:
        return "two"

    assert finished(client, client.schedule_new_workflow(first)).serialized_output == '"two"'
    with pytest.raises(ValueError, match="The version 'first' of 'flow' orchestrator already"):
        runtime.register_versioned_workflow(
            _copy(returning("x")), name="flow", version_name="first", is_latest=False
        )


def test_an_instance_without_its_version_stalls_until_it_is_back(deployed: Deployments) -> None:
    deployed.next(v1=returning("one"))
    instance_id = deployed.begin()
    deployed.next(v2=returning("two"))
    deployed.stalls(instance_id)
    deployed.next(v1=returning("one"), v2=returning("two"))
    assert finished(deployed.client, instance_id).serialized_output == '"one"'


def patched(*names: str) -> Code:
    """Code that asks for these patches, before and after the event."""

    def code(ctx: wf.DaprWorkflowContext) -> Steps:
        before = [ctx.is_patched(name) for name in names]
        yield ctx.wait_for_external_event("go")
        after = [ctx.is_patched(name) for name in names]
        return [before, after, ctx.is_patched("late")]

    return code


def test_new_instances_are_patched_and_stay_so(deployed: Deployments) -> None:
    deployed.next(patched("a"))
    instance_id = deployed.begin()
    deployed.next(patched("a"))
    assert deployed.end(instance_id) == "[[true], [true], true]"


def test_what_was_passed_without_a_patch_is_not_patched_later(deployed: Deployments) -> None:
    deployed.next(patched())
    instance_id = deployed.begin()
    deployed.next(patched("a"))
    assert deployed.end(instance_id) == "[[false], [false], true]"


def test_an_instance_whose_patch_is_gone_stalls_until_it_is_back(deployed: Deployments) -> None:
    deployed.next(patched("a", "b"))
    instance_id = deployed.begin()
    for wrong in (patched("a"), patched("b", "a")):
        deployed.next(wrong)
        if wrong is not None:
            eventually(lambda: _is_stalled(deployed, instance_id))
    deployed.next(patched("a", "b"))
    assert finished(deployed.client, instance_id).serialized_output == (
        "[[true, true], [true, true], true]"
    )


def _is_stalled(deployed: Deployments, instance_id: str) -> bool:
    state = state_of(deployed.client, instance_id)
    if state.runtime_status is not wf.WorkflowStatus.STALLED:
        deployed.client.raise_workflow_event(instance_id, "go")
    return state.runtime_status is wf.WorkflowStatus.STALLED
