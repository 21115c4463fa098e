"""The span in which a program starts a workflow is the one that the workflow belongs to."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.sdk.trace import TracerProvider

import perdure
import perdure.dapr as dapr
from perdure import NodeConfig, SyncWorkflowClient, WorkflowClient, WorkflowContext
from perdure.dapr import aio
from perdure.runtime.config import Durability
from perdure.runtime.node import Node
from tests.tracing.tree import Spans

WITHIN: dict[str, Any] = {"checkout": {"create_orchestration||order": {"orchestration||order": {}}}}


@perdure.workflow
async def order(ctx: WorkflowContext) -> None:
    """Nothing to do."""


async def _async(url: str) -> None:
    async with WorkflowClient(url) as client:
        made = await client.schedule_new_workflow(order)
        await client.wait_for_workflow_completion(made)


async def _sync(url: str) -> None:
    def call() -> None:
        with SyncWorkflowClient(url) as client:
            client.wait_for_workflow_completion(client.schedule_new_workflow(order))

    await asyncio.to_thread(call)


async def _dapr(url: str) -> None:
    """Over HTTP: there is no runtime in this process."""

    def call() -> None:
        client = dapr.DaprWorkflowClient()
        client.wait_for_workflow_completion(client.schedule_new_workflow("order"))
        client.close()

    await asyncio.to_thread(call)


@pytest.mark.parametrize("call", [_async, _sync, _dapr])
async def test_a_start_over_http_belongs_to_the_span_of_its_caller(
    call: Callable[[str], Awaitable[None]],
    tmp_path: Path,
    spans: Spans,
    provider: TracerProvider,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    config = NodeConfig(store=tmp_path / "app.db", port=0, durability=Durability.NORMAL)
    async with Node([order], config=config, http=True) as node:
        assert node.url is not None
        monkeypatch.setenv("PERDURE_URL", node.url)
        with provider.get_tracer("shop").start_as_current_span("checkout"):
            await call(node.url)
    assert spans.below(None) == WITHIN


def _in_process(tmp_path: Path) -> dapr.WorkflowRuntime:
    config = NodeConfig(store=tmp_path / "app.db", port=0, durability=Durability.NORMAL)
    runtime = dapr.WorkflowRuntime(config=config)

    @runtime.workflow(name="order")
    def order(ctx: dapr.DaprWorkflowContext, _: Any) -> None: ...

    runtime.start()
    return runtime


def test_so_does_a_start_on_the_runtime_in_the_same_process(
    tmp_path: Path, spans: Spans, provider: TracerProvider
) -> None:
    runtime, client = _in_process(tmp_path), dapr.DaprWorkflowClient()
    with provider.get_tracer("shop").start_as_current_span("checkout"):
        client.wait_for_workflow_completion(client.schedule_new_workflow("order"))
    runtime.shutdown()
    assert spans.below(None) == WITHIN


async def test_so_does_one_by_the_client_for_asyncio(
    tmp_path: Path, spans: Spans, provider: TracerProvider
) -> None:
    runtime = await asyncio.to_thread(_in_process, tmp_path)
    async with aio.DaprWorkflowClient() as client:
        with provider.get_tracer("shop").start_as_current_span("checkout"):
            made = await client.schedule_new_workflow("order")
        await client.wait_for_workflow_completion(made)
    await asyncio.to_thread(runtime.shutdown)
    assert spans.below(None) == WITHIN
