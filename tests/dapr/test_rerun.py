"""Running an instance again from one of its events, as Dapr's SDK has it, in this process."""

from __future__ import annotations

import asyncio
from collections.abc import Generator
from typing import Any

import pytest

import perdure.dapr as wf
import perdure.dapr.aio
from perdure.runtime.workflow.errors import (
    InstanceCreatedBefore,
    NothingToRerun,
    NotRerunnable,
)
from tests.dapr.conftest import finished

Steps = Generator[Any, Any, Any]


@pytest.fixture
def source(runtime: wf.WorkflowRuntime, client: wf.DaprWorkflowClient) -> str:
    """A finished chain of two activities, that each add one."""

    @runtime.workflow
    def chain(ctx: wf.DaprWorkflowContext, number: int) -> Steps:
        first = yield ctx.call_activity(add, input=number)
        second = yield ctx.call_activity(add, input=first)
        return [number, first, second]

    @runtime.activity
    def add(ctx: wf.WorkflowActivityContext, number: int | None) -> int:
        return 100 if number is None else number + 1

    runtime.start()
    finished(client, client.schedule_new_workflow(chain, input=1, instance_id="source"))
    return "source"


def output(client: wf.DaprWorkflowClient, instance_id: str) -> str | None:
    return finished(client, instance_id).serialized_output


def test_an_instance_runs_again_from_what_its_history_says_it_can(
    source: str, client: wf.DaprWorkflowClient
) -> None:
    events = client.get_workflow_history(source)
    first, second = [event.event_id for event in events if event.is_rerunnable]
    again = client.rerun_workflow_from_event
    assert output(client, again(source, first)) == "[1, 2, 3]"
    assert again(source, second, new_instance_id="named", input=10) == "named"
    assert output(client, "named") == "[1, 2, 11]"
    assert output(client, again(source, second, input=None)) == "[1, 2, 100]"


def test_what_cannot_be_run_again_is_refused(source: str, client: wf.DaprWorkflowClient) -> None:
    again = client.rerun_workflow_from_event
    with pytest.raises(NothingToRerun, match="does not exist"):
        again("nobody", 1)
    with pytest.raises(NothingToRerun, match="event with ID '9'"):
        again(source, 9)
    with pytest.raises(NotRerunnable, match="on activity event '1'"):
        again(source, 1, new_child_workflow_instance_id="kid")
    again(source, 1, new_instance_id="taken")
    with pytest.raises(InstanceCreatedBefore):
        again(source, 1, new_instance_id="taken")
    for event_id in (-1, 1 << 32):
        with pytest.raises(ValueError, match="event_id"):
            again(source, event_id)
    for name in ("new_instance_id", "new_child_workflow_instance_id"):
        with pytest.raises(ValueError, match=name):
            again(source, 1, **{name: ""})


def test_the_client_for_asyncio_runs_it_again_too(
    source: str, client: wf.DaprWorkflowClient
) -> None:
    async def program() -> str:
        async with perdure.dapr.aio.DaprWorkflowClient() as asking:
            return await asking.rerun_workflow_from_event(source, 2, input=10)

    assert output(client, asyncio.run(program())) == "[1, 2, 11]"
