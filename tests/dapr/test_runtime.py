"""Registering, starting and stopping, and how clients find a runtime."""

from __future__ import annotations

import functools
import socket
import threading
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

import perdure.dapr as wf
from perdure.runtime.config import NodeConfig
from perdure.runtime.workflow.registry import REGISTRY, Registry
from tests.dapr.conftest import finished

Steps = Generator[Any, Any, Any]


def plain(ctx: wf.DaprWorkflowContext) -> str:
    return "plain"


def test_functions_are_called_by_the_names_they_were_given(
    runtime: wf.WorkflowRuntime, client: wf.DaprWorkflowClient
) -> None:
    class Shop:
        def price(self, ctx: wf.WorkflowActivityContext, product: str) -> str:
            return f"{product} costs 1"

    @runtime.workflow
    @wf.alternate_name()
    def call_all(ctx: wf.DaprWorkflowContext) -> Steps:
        bound = yield ctx.call_activity(Shop().price, input="a lamp")
        named = yield ctx.call_activity("three", input=1)
        other = yield ctx.call_activity(other_name)
        return [bound, named, other]

    @runtime.activity
    @wf.alternate_name("another name")
    def other_name(ctx: wf.WorkflowActivityContext) -> str:
        return "found"

    def add(number: int, ctx: wf.WorkflowActivityContext, to: int) -> int:
        return number + to

    runtime.register_activity(Shop().price)
    runtime.register_activity(functools.partial(add, 2), name="three")
    runtime.start()
    state = finished(client, client.schedule_new_workflow(call_all))
    assert state.failure_details is None
    assert state.name == "call_all"
    assert state.serialized_output == '["a lamp costs 1", 3, "found"]'


def test_a_decorated_function_stays_what_it_was(runtime: wf.WorkflowRuntime) -> None:
    @runtime.activity(name="other")
    def double(ctx: wf.WorkflowActivityContext | None, number: int) -> int:
        return 2 * number

    assert double(None, 4) == 8


def test_what_is_registered_twice_is_refused(runtime: wf.WorkflowRuntime) -> None:
    runtime.register_workflow(plain, name="plain")
    with pytest.raises(ValueError, match="Workflow plain already registered as plain"):
        runtime.register_workflow(plain)
    with pytest.raises(ValueError, match="Workflow plain already has an alternate name plain"):
        runtime.register_workflow(plain, name="other")

    def second(ctx: wf.DaprWorkflowContext) -> None: ...

    with pytest.raises(ValueError, match="A 'plain' orchestrator already exists"):
        runtime.register_workflow(second, name="plain")

    def first_step(ctx: wf.WorkflowActivityContext) -> None: ...
    def second_step(ctx: wf.WorkflowActivityContext) -> None: ...

    runtime.register_activity(first_step, name="step")
    with pytest.raises(ValueError, match="A 'step' activity already exists"):
        runtime.register_activity(second_step, name="step")
    with pytest.raises(ValueError, match="already has an alternate name step"):
        wf.alternate_name("more")(first_step)
    with pytest.raises(ValueError, match="no name of its own"):
        runtime.register_activity(lambda ctx: None)


def test_options_of_the_sdk_are_taken_and_unknown_ones_are_not(tmp_path: Path) -> None:
    runtime = wf.WorkflowRuntime(
        "localhost",
        "50001",
        maximum_concurrent_activity_work_items=3,
        maximum_thread_pool_workers=2,
        worker_ready_timeout=1.0,
        store=tmp_path / "own.db",
        config=NodeConfig(port=0),
    )
    runtime.start()
    assert runtime.wait_for_worker_ready()
    assert (tmp_path / "own.db").exists()
    runtime.shutdown()
    assert not runtime.wait_for_worker_ready()
    with pytest.raises(TypeError, match="history_cache"):
        wf.WorkflowRuntime(history_cache=1)


def test_a_runtime_can_be_stopped_and_started_again_and_goes_on(
    runtime: wf.WorkflowRuntime, client: wf.DaprWorkflowClient
) -> None:
    @runtime.workflow
    def wait(ctx: wf.DaprWorkflowContext) -> Steps:
        return (yield ctx.wait_for_external_event("go"))

    runtime.shutdown()  # Not started: nothing to do.
    runtime.start()
    with pytest.raises(RuntimeError, match="already running"):
        runtime.start()
    instance_id = client.schedule_new_workflow(wait)
    runtime.shutdown()
    runtime.start()
    client.raise_workflow_event(instance_id, "go", data=1)
    assert finished(client, instance_id).serialized_output == "1"


def test_a_shutdown_lets_running_activities_end(
    runtime: wf.WorkflowRuntime, client: wf.DaprWorkflowClient
) -> None:
    begun, ended = threading.Event(), threading.Event()

    @runtime.workflow
    def work(ctx: wf.DaprWorkflowContext) -> Steps:
        yield ctx.call_activity(slow)

    @runtime.activity
    def slow(ctx: wf.WorkflowActivityContext) -> None:
        begun.set()
        threading.Event().wait(0.05)
        ended.set()

    runtime.start()
    instance_id = client.schedule_new_workflow(work)
    assert begun.wait(5)
    runtime.shutdown()
    assert ended.is_set()
    runtime.start()
    assert finished(client, instance_id).runtime_status is wf.WorkflowStatus.COMPLETED


def test_functions_may_be_registered_while_the_runtime_works(
    runtime: wf.WorkflowRuntime, client: wf.DaprWorkflowClient
) -> None:
    runtime.start()
    runtime.register_workflow(plain)
    assert finished(client, client.schedule_new_workflow(plain)).serialized_output == '"plain"'


def test_what_keeps_a_runtime_from_starting_is_told_and_it_can_be_tried_again(
    monkeypatch: pytest.MonkeyPatch, runtime: wf.WorkflowRuntime
) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        monkeypatch.setenv("PERDURE_PORT", str(taken.getsockname()[1]))
        with pytest.raises(OSError, match="address already in use") as refused:
            runtime.start()
        assert "PERDURE_PORT" in refused.value.__notes__[0]
        # Not every port of the node is that of the HTTP API.
        monkeypatch.setenv("PERDURE_PORT", "0")
        monkeypatch.setenv("PERDURE_GRPC_PORT", str(taken.getsockname()[1]))
        with pytest.raises(OSError, match="in use") as refused:
            runtime.start()
        assert "PERDURE_GRPC_PORT" in refused.value.__notes__[0]
    monkeypatch.delenv("PERDURE_GRPC_PORT")
    runtime.start()


def test_a_second_runtime_at_the_same_address_is_refused(runtime: wf.WorkflowRuntime) -> None:
    runtime.start()
    with pytest.raises(RuntimeError, match=r"127\.0\.0\.1:50001"):
        wf.WorkflowRuntime("localhost", 50001).start()


def test_runtimes_at_two_addresses_work_side_by_side(
    tmp_path: Path, runtime: wf.WorkflowRuntime, client: wf.DaprWorkflowClient
) -> None:
    other = wf.WorkflowRuntime(port=50002, store=tmp_path / "other.db")
    for each, name in ((runtime, "one"), (other, "two")):

        def tell(ctx: wf.DaprWorkflowContext, name: str = name) -> str:
            return ctx.instance_id

        each.register_workflow(tell, name=name)
        each.start()
    other_client = wf.DaprWorkflowClient(port=50002)
    finished(client, client.schedule_new_workflow("one", instance_id="1"))
    finished(other_client, other_client.schedule_new_workflow("two", instance_id="2"))
    assert list(client.iter_workflow_instance_ids()) == ["1"]
    assert list(other_client.iter_workflow_instance_ids()) == ["2"]
    other.shutdown()


def test_perdure_serve_finds_the_runtime_in_a_module(runtime: wf.WorkflowRuntime) -> None:
    runtime.register_workflow(plain)
    offered = getattr(runtime, REGISTRY)
    assert isinstance(offered, Registry)
    assert [definition.name for definition in offered.workflows()] == ["plain"]
