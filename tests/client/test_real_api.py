"""Both clients against the real HTTP API, with instances that stand in a dictionary."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import pytest

from perdure.actors.errors import StoreUnavailable
from perdure.runtime.api.ports import ApiConfig
from perdure.runtime.api.server import ApiServer
from perdure.runtime.remote.errors import (
    NodeUnavailable,
    RequestInvalid,
    Unauthorized,
    WorkflowExists,
    WorkflowFailed,
    WorkflowNotFinished,
    WorkflowNotFound,
    WorkflowStalled,
)
from perdure.runtime.remote.settings import Patience
from perdure.runtime.remote.state import ListFilter
from perdure.runtime.remote.status import FailureDetails, WorkflowStatus
from perdure.runtime.workflow.history import ExecutionStarted, Status, TaskScheduled, Turn
from tests.client.conftest import Asynchronous, Client, Synchronous
from tests.support.http_service import FakeNode, FakeScenarios, FakeView

TOKEN = "secret"


@pytest.fixture
def fake() -> FakeNode:
    return FakeNode(ApiConfig(app_id="shop", version="0.1.0", port=0, tokens=(TOKEN,)))


@pytest.fixture
def given(fake: FakeNode) -> FakeScenarios:
    return FakeScenarios(fake.service)


@pytest.fixture
async def api(fake: FakeNode) -> AsyncIterator[ApiServer]:
    async with ApiServer(fake) as server:
        yield server


@pytest.fixture
async def client(
    api: ApiServer, make_client: type[Asynchronous] | type[Synchronous]
) -> AsyncIterator[Client]:
    patience = Patience(timeout_seconds=10, retry_seconds=0.5)
    made = make_client(api.url, api_token=TOKEN, patience=patience)
    yield made
    await made.close()


async def test_a_life_from_start_to_purge(fake: FakeNode, client: Client) -> None:
    started = await client.call("schedule_new_workflow", "order", input={"item": 1})
    state = await client.call("get_workflow_state", started)
    assert (state.name, state.runtime_status) == ("order", "RUNNING")
    assert state.serialized_input == '{"item":1}'
    await client.call("pause_workflow", started)
    assert (await client.call("get_workflow_state", started)).runtime_status == "SUSPENDED"
    await client.call("resume_workflow", started)
    await client.call("raise_workflow_event", started, "paid", data={"n": 1})
    assert fake.service.calls[-1][:4] == ("raise_event", started, "paid", '{"n":1}')
    await client.call("terminate_workflow", started, output={"why": "é"}, recursive=False)
    assert fake.service.calls[-1] == ("terminate", started, '{"why":"é"}', False)
    await client.call("purge_workflow", started)
    assert await client.call("get_workflow_state", started) is None


async def test_a_start_may_lie_in_the_future(fake: FakeNode, client: Client) -> None:
    start_at = datetime(2030, 1, 1, tzinfo=UTC)
    await client.call("schedule_new_workflow", "order", instance_id="later", start_at=start_at)
    assert fake.service.calls[0][4] == int(start_at.timestamp()) * 1_000_000
    state = await client.call("get_workflow_state", "later")
    assert (state.runtime_status, state.name) == ("PENDING", "order")
    assert state.created_at is not None


async def test_a_wait_ends_when_the_workflow_does(
    given: FakeScenarios, fake: FakeNode, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = asyncio.Event()
    wait = fake.service.wait

    async def noticed(instance_id: str, **named: Any) -> FakeView:
        asked.set()
        return await wait(instance_id, **named)

    monkeypatch.setattr(fake.service, "wait", noticed)
    await given.running("o1")
    async with asyncio.TaskGroup() as group:
        waiting = group.create_task(client.call("wait_for_workflow_completion", "o1"))
        await asked.wait()
        await given.completed("o1")
    assert waiting.result().result(str) == "done"


async def test_a_wait_that_is_over_raises(given: FakeScenarios, client: Client) -> None:
    await given.running("o1")
    with pytest.raises(TimeoutError, match="'o1' is still RUNNING"):
        await client.call("wait_for_workflow_completion", "o1", timeout_in_seconds=0.01)


async def test_a_poll_returns_the_state_as_it_is(given: FakeScenarios, client: Client) -> None:
    await given.suspended("o1")
    state = await client.call(
        "poll_workflow_state", "o1", ["SUSPENDED", "FAILED"], timeout_in_seconds=10
    )
    assert state.runtime_status == "SUSPENDED"


async def test_a_failure_has_its_details(given: FakeScenarios, client: Client) -> None:
    await given.failed("o1")
    state = await client.call("wait_for_workflow_completion", "o1")
    assert state.failure_details == FailureDetails("ValueError", "no stock", "Traceback: line 1")
    with pytest.raises(WorkflowFailed):
        state.result()


async def test_a_stalled_instance_says_why(given: FakeScenarios, client: Client) -> None:
    reason = await given.stalled("o1")
    state = await client.call("get_workflow_state", "o1")
    assert (state.runtime_status, state.stalled_reason) == ("STALLED", reason)
    with pytest.raises(WorkflowStalled):
        await client.call("pause_workflow", "o1")


async def test_refusals_are_told_apart(given: FakeScenarios, client: Client) -> None:
    await given.running("o1")
    with pytest.raises(WorkflowExists):
        await client.call("schedule_new_workflow", "order", instance_id="o1")
    with pytest.raises(WorkflowNotFinished):
        await client.call("purge_workflow", "o1")
    with pytest.raises(RequestInvalid):
        await client.call("schedule_new_workflow", "order", instance_id="a b")
    for method in ("pause_workflow", "resume_workflow", "terminate_workflow", "purge_workflow"):
        with pytest.raises(WorkflowNotFound):
            await client.call(method, "o2")
    with pytest.raises(WorkflowNotFound):
        await client.call("raise_workflow_event", "o2", "paid")
    with pytest.raises(WorkflowNotFound):
        await client.call("get_workflow_history", "o2")


async def test_a_node_that_cannot_write_is_reported_with_its_reason(
    fake: FakeNode, client: Client
) -> None:
    fake.service.failing = StoreUnavailable("disk full")
    with pytest.raises(NodeUnavailable, match="disk full"):
        await client.call("schedule_new_workflow", "order")


async def test_all_pages_of_a_list_are_read(given: FakeScenarios, client: Client) -> None:
    for number in range(5):
        await given.completed(f"a{number}")
    await given.failed("b")
    found = await client.listed(ListFilter(prefix="a", page_size=2, newest_first=False))
    assert [state.instance_id for state in found] == ["a0", "a1", "a2", "a3", "a4"]
    [failed] = await client.listed(ListFilter(statuses=("FAILED",)))
    assert failed.failure_details == FailureDetails("ValueError", "no stock")


async def test_counts_are_by_status(given: FakeScenarios, client: Client) -> None:
    await given.running("o1")
    await given.stalled("o2")
    counts = await client.call("count_workflows", ListFilter(name="order"))
    assert counts == {WorkflowStatus.RUNNING: 1, WorkflowStatus.STALLED: 1}


async def test_a_history_is_read(fake: FakeNode, given: FakeScenarios, client: Client) -> None:
    await given.running("o1")
    fake.service.turns["o1"] = [
        Turn(1_000_000, (ExecutionStarted("order", "1"),), (TaskScheduled(0, "pay", "1", "x"),))
    ]
    events = await client.call("get_workflow_history", "o1")
    assert [event.type for event in events] == [
        "WorkflowStarted",
        "ExecutionStarted",
        "TaskScheduled",
    ]
    assert events[2].details["name"] == "pay"


async def test_a_wrong_token_is_refused(
    api: ApiServer, make_client: type[Asynchronous] | type[Synchronous]
) -> None:
    made = make_client(api.url, api_token="wrong")
    with pytest.raises(Unauthorized, match="invalid api token"):
        await made.call("get_workflow_state", "o1")
    await made.close()


async def test_a_child_id_with_a_colon_arrives_whole(
    given: FakeScenarios, fake: FakeNode, client: Client
) -> None:
    await given.running("o1:0000")
    await client.call("pause_workflow", "o1:0000")
    assert fake.service.views["o1:0000"].row.status is Status.SUSPENDED
