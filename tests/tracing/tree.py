"""Spans as a tree of names. A support module."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanContext

INCOMING = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@dataclass
class Spans:
    """What has been exported."""

    exporter: InMemorySpanExporter

    def all(self) -> list[ReadableSpan]:
        return list(self.exporter.get_finished_spans())

    def named(self, name: str) -> ReadableSpan:
        """The only one of that name."""
        found = [span for span in self.all() if span.name == name]
        assert len(found) == 1, [span.name for span in self.all()]
        return found[0]

    def attributes(self, name: str) -> dict[str, Any]:
        return dict(self.named(name).attributes or {})

    def names(self) -> list[str]:
        return sorted(span.name for span in self.all())

    def below(self, span_id: int | None) -> dict[str, Any]:
        """The spans whose parent that one is, each with those below it; None: the roots."""
        return {
            span.name: self.below(own(span).span_id)
            for span in sorted(self.all(), key=lambda span: span.name)
            if (None if span.parent is None else span.parent.span_id) == span_id
        }


def own(span: ReadableSpan) -> SpanContext:
    context = span.get_span_context()
    assert context is not None
    return context


def traceparent(span: ReadableSpan) -> str:
    context = own(span)
    return f"00-{context.trace_id:032x}-{context.span_id:016x}-01"
