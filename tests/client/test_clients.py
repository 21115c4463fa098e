"""Both clients over a real socket: what goes over the wire, and what comes back."""

from __future__ import annotations

import asyncio
import inspect
import socket
from typing import Any

import pytest
from opentelemetry.sdk.trace import TracerProvider

from perdure.runtime.client import WorkflowClient
from perdure.runtime.remote.errors import (
    AnswerLost,
    CannotConnect,
    Unauthorized,
    WorkflowExists,
    WorkflowNotFound,
)
from perdure.runtime.remote.settings import Patience
from perdure.runtime.remote.state import ListFilter
from perdure.runtime.sync_client import SyncWorkflowClient
from perdure.runtime.workflow.registry import workflow
from tests.client.conftest import Asynchronous, Client, Scripted, Synchronous

MISSING = {"errorCode": "ERR_INSTANCE_ID_NOT_FOUND", "message": "unable to find o1"}


def instance(status: str, **properties: str) -> dict[str, Any]:
    named = {f"dapr.workflow.{name}": value for name, value in properties.items()}
    return {"instanceID": "o1", "runtimeStatus": status, "properties": named}


async def test_a_start_sends_name_id_and_input(node: Scripted, client: Client) -> None:
    node.answers(202, {"instanceID": "o1"})
    assert await client.call(
        "schedule_new_workflow", "greet", input={"to": "Ada"}, instance_id="o1"
    ) == ("o1")
    [seen] = node.seen
    assert (seen.method, seen.target) == (
        "POST",
        "/v1.0/workflows/dapr/greet/start?instanceID=o1",
    )
    assert seen.body == '{"to":"Ada"}'
    assert seen.headers["content-type"] == "application/json"
    assert len(seen.headers["idempotency-key"]) == 32


async def test_a_start_belongs_to_the_span_that_it_is_called_in(
    node: Scripted, client: Client
) -> None:
    tracer = TracerProvider().get_tracer("shop")
    for _ in range(3):
        node.answers(202, {"instanceID": "o1"})
    await client.call("schedule_new_workflow", "greet")
    with tracer.start_as_current_span("checkout") as span:
        await client.call("schedule_new_workflow", "greet")
        await client.call("start_workflow", None, "greet")
    alone, *within = [seen.headers.get("traceparent") for seen in node.seen]
    own = span.get_span_context()
    assert alone is None
    assert within == [f"00-{own.trace_id:032x}-{own.span_id:016x}-{own.trace_flags:02x}"] * 2


async def test_a_client_of_another_app_says_so_in_each_request(
    node: Scripted, make_client: type[Asynchronous] | type[Synchronous]
) -> None:
    client = make_client(node.url, app_id="bank")
    await client.call("pause_workflow", "o1")
    await client.call("terminate_workflow", "o1", "other", recursive=False)
    node.answers(200, {"instances": []})
    await client.call("list_page")
    await client.call("drain_node", "n1")
    await client.close()
    assert [seen.target for seen in node.seen] == [
        "/v1.0/workflows/dapr/o1/pause?appID=bank",
        "/v1.0/workflows/other/o1/terminate?recursive=false&appID=bank",
        "/v1.0/workflows/dapr?order=desc&limit=100&appID=bank",
        "/v1.0/cluster/nodes/n1/drain",
    ]


async def test_a_workflow_can_be_named_by_its_function(node: Scripted, client: Client) -> None:
    @workflow(name="send-greeting")
    def greet(ctx: Any) -> None: ...

    node.answers(202, {"instanceID": "o1"})
    await client.call("schedule_new_workflow", greet)
    assert node.seen[0].target == "/v1.0/workflows/dapr/send-greeting/start"


async def test_each_start_has_a_key_of_its_own(node: Scripted, client: Client) -> None:
    for _ in range(2):
        node.answers(202, {"instanceID": "o1"})
        await client.call("schedule_new_workflow", "greet")
    assert len({seen.headers["idempotency-key"] for seen in node.seen}) == 2


@pytest.mark.parametrize("method", ["schedule_new_workflow", "raise_workflow_event"])
async def test_a_repeat_after_a_lost_connection_has_the_same_key(
    node: Scripted, client: Client, method: str
) -> None:
    node.hangs_up()
    node.answers(202, {"instanceID": "o1"})
    await client.call(method, *(["greet"] if method.startswith("s") else ["o1", "paid"]))
    first, second = node.seen
    assert first.headers["idempotency-key"] == second.headers["idempotency-key"]


async def test_a_lost_answer_to_a_terminate_is_reported(node: Scripted, client: Client) -> None:
    node.hangs_up()
    with pytest.raises(AnswerLost, match="terminate 'o1'"):
        await client.call("terminate_workflow", "o1")
    assert len(node.seen) == 1


async def test_a_busy_node_is_asked_again(node: Scripted, client: Client) -> None:
    node.answers(429, {"errorCode": "ERR_BUSY", "message": "full"}, retry_after="0")
    await client.call("pause_workflow", "o1")
    assert len(node.seen) == 2


@pytest.mark.parametrize(
    ("method", "args", "target"),
    [
        ("pause_workflow", ["o1"], "/o1/pause"),
        ("resume_workflow", ["o1"], "/o1/resume"),
        ("terminate_workflow", ["o1"], "/o1/terminate"),
        ("purge_workflow", ["o1"], "/o1/purge"),
        ("raise_workflow_event", ["o1", "paid"], "/o1/raiseEvent/paid"),
    ],
)
async def test_the_verbs_are_dapr_s_paths(
    node: Scripted, client: Client, method: str, args: list[str], target: str
) -> None:
    node.answers(202, "")
    assert await client.call(method, *args) is None
    assert (node.seen[0].method, node.seen[0].target) == ("POST", "/v1.0/workflows/dapr" + target)


async def test_purge_and_terminate_have_options(node: Scripted, client: Client) -> None:
    await client.call("purge_workflow", "o1", recursive=False, force=True)
    await client.call("terminate_workflow", "o1", recursive=False)
    assert node.seen[0].target.endswith("/purge?recursive=false&force=true")
    assert node.seen[1].target.endswith("/terminate?recursive=false")


async def test_event_data_is_json(node: Scripted, client: Client) -> None:
    await client.call("raise_workflow_event", "o1", "paid", data=[1, "é"])
    assert node.seen[0].body == '[1,"é"]'


async def test_the_state_of_an_unknown_instance_is_none(node: Scripted, client: Client) -> None:
    node.answers(404, MISSING)
    assert await client.call("get_workflow_state", "o1") is None


async def test_payloads_can_be_left_out(node: Scripted, client: Client) -> None:
    node.answers(200, instance("COMPLETED", output="1"))
    state = await client.call("get_workflow_state", "o1", fetch_payloads=False)
    assert state.serialized_output is None


async def test_waiting_polls_until_the_end(node: Scripted, client: Client) -> None:
    node.answers(200, instance("RUNNING"))
    node.answers(200, instance("COMPLETED", output="7"))
    state = await client.call("wait_for_workflow_completion", "o1", timeout_in_seconds=2)
    assert state.result(int) == 7
    assert node.seen[0].target.startswith("/v1.0/workflows/dapr/o1?wait=completed&timeout=")


async def test_waiting_for_an_unknown_instance_does_not_wait(
    node: Scripted, client: Client
) -> None:
    node.answers(404, MISSING)
    with pytest.raises(WorkflowNotFound):
        await client.call("wait_for_workflow_start", "o1")


async def test_a_list_is_read_page_by_page(node: Scripted, client: Client) -> None:
    node.answers(200, {"instances": [instance("RUNNING")], "cursor": "next"})
    node.answers(200, {"instances": [instance("FAILED")]})
    found = await client.listed(ListFilter(prefix="o", page_size=1))
    assert [state.runtime_status for state in found] == ["RUNNING", "FAILED"]
    assert node.seen[1].target.endswith("?prefix=o&order=desc&limit=1&cursor=next")


async def test_counts_come_by_status(node: Scripted, client: Client) -> None:
    node.answers(200, {"instances": [], "counts": {"RUNNING": 2}})
    assert await client.call("count_workflows") == {"RUNNING": 2}


async def test_a_history_is_a_list_of_events(node: Scripted, client: Client) -> None:
    event = {
        "eventId": 0,
        "timestamp": "2026-08-01T10:00:00Z",
        "type": "TaskScheduled",
        "name": "a",
    }
    node.answers(200, {"instanceID": "o1", "events": [event]})
    [found] = await client.call("get_workflow_history", "o1")
    assert (found.event_id, found.type, found.details) == (0, "TaskScheduled", {"name": "a"})


async def test_a_duplicate_start_is_an_error_of_its_own(node: Scripted, client: Client) -> None:
    message = "error starting workflow 'greet': … 'o1' already exists"
    node.answers(500, {"errorCode": "ERR_START_WORKFLOW", "message": message})
    with pytest.raises(WorkflowExists, match="already exists"):
        await client.call("schedule_new_workflow", "greet", instance_id="o1")


async def test_the_steps_of_dapr_s_how_to_work(node: Scripted, client: Client) -> None:
    node.answers(202, {"instanceID": "o1"})
    started = await client.call("start_workflow", "o1", "testWorkflow", "dapr", b"paperclips", None)
    assert started.instance_id == "o1"
    assert node.seen[-1].body == "paperclips"
    for method, args, status in [
        ("pause_workflow", (), "SUSPENDED"),
        ("resume_workflow", (), "RUNNING"),
        ("raise_event", ("approval", b"yes"), "RUNNING"),
        ("terminate_workflow", (), "TERMINATED"),
    ]:
        node.answers(202, {})
        node.answers(200, instance(status))
        await client.call(method, "o1", "dapr", *args)
        found = await client.call("get_workflow", "o1", "dapr")
        assert status == found.runtime_status
    await client.call("purge_workflow", "o1", "dapr")
    node.answers(404, MISSING)
    with pytest.raises(WorkflowNotFound):
        await client.call("get_workflow", "o1", "dapr")


async def test_the_component_is_part_of_the_path(node: Scripted, client: Client) -> None:
    await client.call("pause_workflow", "o1", "other")
    assert node.seen[0].target == "/v1.0/workflows/other/o1/pause"


async def test_the_token_is_sent_with_every_request(
    node: Scripted, make_client: type[Asynchronous] | type[Synchronous]
) -> None:
    made = make_client(node.url, api_token="secret")
    node.answers(401, "invalid api token\n")
    with pytest.raises(Unauthorized, match="invalid api token"):
        await made.call("pause_workflow", "o1")
    await made.close()
    assert node.seen[0].headers["dapr-api-token"] == "secret"


async def test_a_base_path_in_front_of_the_node_is_kept(
    node: Scripted, make_client: type[Asynchronous] | type[Synchronous]
) -> None:
    made = make_client(node.url + "/behind/a/proxy/")
    await made.call("pause_workflow", "a%b")
    await made.close()
    assert node.seen[0].target == "/behind/a/proxy/v1.0/workflows/dapr/a%25b/pause"


async def test_a_node_that_is_not_there_is_named_at_once(
    make_client: type[Asynchronous] | type[Synchronous],
) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        made = make_client(f"http://127.0.0.1:{taken.getsockname()[1]}")
        with pytest.raises(CannotConnect, match=r"http://127\.0\.0\.1:\d+: .*refused"):
            await made.call("pause_workflow", "o1")
        await made.close()


async def test_an_answer_that_takes_too_long_is_lost(
    make_client: type[Asynchronous] | type[Synchronous],
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        made = make_client(
            f"http://127.0.0.1:{silent.getsockname()[1]}", patience=Patience(timeout_seconds=0.05)
        )
        with pytest.raises(AnswerLost, match="it took too long"):
            await made.call("pause_workflow", "o1")
        await made.close()


async def test_many_calls_at_once_share_a_client(node: Scripted, client: Client) -> None:
    async with asyncio.TaskGroup() as group:
        for number in range(20):
            group.create_task(client.call("pause_workflow", f"o{number}"))
    assert len(node.seen) == 20


async def test_a_closed_client_opens_again_when_it_is_used(node: Scripted, client: Client) -> None:
    await client.call("pause_workflow", "o1")
    await client.close()
    await client.call("pause_workflow", "o1")
    assert len(node.seen) == 2


async def test_a_connection_that_the_node_closed_while_idle_is_not_used_again() -> None:
    """Its first sign would be a lost answer, which a terminate must not be repeated after."""
    requests = 0

    async def answer_and_close(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal requests
        await reader.readuntil(b"\r\n\r\n")
        requests += 1
        writer.write(b"HTTP/1.1 202 Accepted\r\ncontent-length: 2\r\n\r\n{}")
        await writer.drain()
        writer.close()
        await writer.wait_closed()

    async with await asyncio.start_server(answer_and_close, "127.0.0.1", 0) as server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        client = Synchronous(url)
        for _ in range(3):
            await client.call("terminate_workflow", "o1")
        await client.close()
    assert requests == 3


def test_both_clients_have_the_same_methods() -> None:
    def offered(kind: type) -> dict[str, list[str]]:
        return {
            name: list(inspect.signature(member).parameters)
            for name, member in vars(kind).items()
            if not name.startswith("_")
        }

    assert offered(WorkflowClient) == offered(SyncWorkflowClient)
