"""A node whose spans go to memory, in the modes of `World`."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from perdure.runtime import node
from perdure.runtime.tracing import OpenTelemetryTracer
from tests.support.world import Mode, World
from tests.tracing.tree import Spans


@pytest.fixture
def provider() -> TracerProvider:
    return TracerProvider()


@pytest.fixture
def spans(provider: TracerProvider, monkeypatch: pytest.MonkeyPatch) -> Iterator[Spans]:
    """All spans of the nodes of this test, as they are exported."""
    exporter = InMemorySpanExporter()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(node, "tracer_if_there", lambda: OpenTelemetryTracer(lambda: provider))
    yield Spans(exporter)
    provider.shutdown()


@pytest.fixture(params=[Mode.LIVE, Mode.EVICT, Mode.RESTART], ids=str)
async def world(
    request: pytest.FixtureRequest, tmp_path: Path, spans: Spans
) -> AsyncIterator[World]:
    async with World(tmp_path / "app.db", request.param) as world:
        yield world


@pytest.fixture
async def live(tmp_path: Path, spans: Spans) -> AsyncIterator[World]:
    async with World(tmp_path / "app.db", Mode.LIVE) as world:
        yield world
