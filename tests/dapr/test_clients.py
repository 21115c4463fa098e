"""How clients find a runtime, in this process or over HTTP, and what they can ask."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Generator
from typing import Any

import pytest

import perdure.dapr as wf
from perdure.actors.errors import Retryable
from perdure.dapr.aio import DaprWorkflowClient as AsyncClient
from perdure.runtime.dapr.address import address_of, url_of
from perdure.runtime.remote.errors import CannotConnect, WorkflowNotFound
from tests.dapr.conftest import finished, state_of

Steps = Generator[Any, Any, Any]


def plain(ctx: wf.DaprWorkflowContext) -> str:
    return "plain"


def test_a_client_may_be_made_before_the_runtime(
    runtime: wf.WorkflowRuntime, client: wf.DaprWorkflowClient
) -> None:
    runtime.register_workflow(plain)
    early = wf.DaprWorkflowClient("localhost")
    runtime.start()
    assert finished(early, early.schedule_new_workflow(plain)).serialized_output == '"plain"'


def test_ids_are_32_digits_unless_one_is_given_and_then_anything(
    runtime: wf.WorkflowRuntime, client: wf.DaprWorkflowClient
) -> None:
    runtime.register_workflow(plain)
    runtime.start()
    made = client.schedule_new_workflow(plain)
    assert len(made) == 32
    assert set(made) <= set("0123456789abcdef")
    odd = client.schedule_new_workflow(plain, instance_id="a|b:c/ü" + "x" * 80)
    assert finished(client, odd).instance_id == odd


def test_instances_are_listed_page_by_page(
    runtime: wf.WorkflowRuntime, client: wf.DaprWorkflowClient
) -> None:
    runtime.register_workflow(plain)
    runtime.start()
    for number in range(5):
        client.schedule_new_workflow(plain, instance_id=str(number))
    page = client.list_workflow_instance_ids(page_size=3)
    assert page.instance_ids == ["0", "1", "2"]
    rest = client.list_workflow_instance_ids(continuation_token=page.continuation_token)
    assert rest == wf.WorkflowInstanceIdPage(["3", "4"], None)
    with pytest.raises(ValueError, match="page_size"):
        client.list_workflow_instance_ids(page_size=0)


def test_a_sync_client_in_an_async_activity_says_what_to_use_instead(
    runtime: wf.WorkflowRuntime, client: wf.DaprWorkflowClient
) -> None:
    @runtime.workflow
    def work(ctx: wf.DaprWorkflowContext) -> Steps:
        yield ctx.call_activity(blocking)

    @runtime.activity
    async def blocking(ctx: wf.WorkflowActivityContext) -> None:
        client.get_workflow_state(ctx.workflow_id)

    runtime.start()
    failure = finished(client, client.schedule_new_workflow(work)).failure_details
    assert failure is not None
    assert "perdure.dapr.aio" in failure.message


def test_a_sync_client_in_a_plain_activity_works(
    runtime: wf.WorkflowRuntime, client: wf.DaprWorkflowClient
) -> None:
    @runtime.workflow
    def work(ctx: wf.DaprWorkflowContext) -> Steps:
        return (yield ctx.call_activity(look))

    @runtime.activity
    def look(ctx: wf.WorkflowActivityContext) -> str:
        return state_of(client, ctx.workflow_id).runtime_status.name

    runtime.start()
    assert finished(client, client.schedule_new_workflow(work)).serialized_output == '"RUNNING"'


def test_whoever_waits_is_told_of_a_shutdown(
    runtime: wf.WorkflowRuntime, client: wf.DaprWorkflowClient
) -> None:
    told: list[BaseException] = []

    @runtime.workflow
    def forever(ctx: wf.DaprWorkflowContext) -> Steps:
        yield ctx.wait_for_external_event("never")

    def wait() -> None:
        with pytest.raises(Retryable) as raised:
            client.wait_for_workflow_completion(instance_id)
        told.append(raised.value)

    async def wait_too() -> None:
        with pytest.raises(Retryable) as raised:
            await AsyncClient().wait_for_workflow_completion(instance_id)
        told.append(raised.value)

    runtime.start()
    instance_id = client.schedule_new_workflow(forever)
    threads = [
        threading.Thread(target=wait),
        threading.Thread(target=asyncio.run, args=[wait_too()]),
    ]
    for thread in threads:
        thread.start()
    with pytest.raises(TimeoutError):
        client.wait_for_workflow_completion(instance_id, timeout_in_seconds=0.05)
    runtime.shutdown()
    for thread in threads:
        thread.join(5)
    assert len(told) == 2


# ---- other processes


def test_a_client_without_a_runtime_talks_http_and_shows_the_same(
    runtime: wf.WorkflowRuntime,
    client: wf.DaprWorkflowClient,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    @runtime.workflow
    def echo(ctx: wf.DaprWorkflowContext, value: Any) -> Steps:
        ctx.set_custom_status("waits")
        yield ctx.wait_for_external_event("go")
        if value is None:
            raise ValueError("nothing")
        return value

    monkeypatch.setenv("PERDURE_PORT", str(_free_port()))
    runtime.start()
    # As a client in another process would: no runtime at its address.
    far = wf.DaprWorkflowClient(port=1)
    try:
        assert far.get_workflow_state("nobody") is None
        assert far.wait_for_workflow_completion("nobody") is None
        with pytest.raises(WorkflowNotFound):
            far.raise_workflow_event("nobody", "go")
        for value in ({"a": [1]}, None):
            instance_id = far.schedule_new_workflow(echo, input=value)
            far.pause_workflow(instance_id)
            assert state_of(far, instance_id).runtime_status is wf.WorkflowStatus.SUSPENDED
            far.resume_workflow(instance_id)
            far.raise_workflow_event(instance_id, "go")
            assert finished(far, instance_id) == state_of(client, instance_id)
            near_events, far_events = (
                each.get_workflow_history(instance_id) for each in (client, far)
            )
            assert [e.event_type for e in near_events] == [e.event_type for e in far_events]
            assert near_events[-1].failure_details == far_events[-1].failure_details
        assert list(far.iter_workflow_instance_ids()) == list(client.iter_workflow_instance_ids())
        far.purge_workflow(instance_id)
        assert client.get_workflow_state(instance_id) is None
    finally:
        far.close()


def test_a_client_that_finds_nobody_says_where_it_looked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DAPR_HTTP_ENDPOINT", "http://127.0.0.1:1")
    with pytest.raises(CannotConnect, match=r"http://127\.0\.0\.1:1"):
        wf.DaprWorkflowClient().get_workflow_state("x")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@pytest.mark.parametrize(
    ("host", "port", "env", "address"),
    [
        (None, None, {}, "127.0.0.1:50001"),
        ("localhost", "50001", {}, "127.0.0.1:50001"),
        ("::1", None, {"DAPR_GRPC_PORT": "4000"}, "127.0.0.1:4000"),
        (None, None, {"DAPR_RUNTIME_HOST": "sidecar"}, "sidecar:50001"),
        (None, None, {"DAPR_GRPC_ENDPOINT": "https://sidecar"}, "sidecar:443"),
        (None, None, {"DAPR_GRPC_ENDPOINT": "grpc://localhost:7/"}, "127.0.0.1:7"),
        ("here", 5, {"DAPR_GRPC_ENDPOINT": "sidecar:7"}, "here:5"),
    ],
)
def test_addresses_are_read_as_the_sdk_reads_them(
    host: str | None, port: str | int | None, env: dict[str, str], address: str
) -> None:
    assert address_of(host, port, env) == address


@pytest.mark.parametrize(
    ("host", "env", "url"),
    [
        (None, {}, "http://127.0.0.1:3500"),
        ("node", {"DAPR_HTTP_PORT": "3501"}, "http://node:3501"),
        (None, {"DAPR_HTTP_PORT": "3501", "PERDURE_PORT": "3502"}, "http://127.0.0.1:3502"),
        ("node", {"DAPR_HTTP_ENDPOINT": "https://dapr"}, "https://dapr"),
        ("node", {"PERDURE_URL": "http://n", "DAPR_HTTP_ENDPOINT": "https://dapr"}, "http://n"),
    ],
)
def test_the_http_api_is_looked_for_where_the_environment_says(
    host: str | None, env: dict[str, str], url: str
) -> None:
    assert url_of(host, env) == url
