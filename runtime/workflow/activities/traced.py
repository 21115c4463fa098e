"""Running an activity under a span of its own. An edge module."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from perdure.runtime.workflow.history import TaskFailed
from perdure.runtime.workflow.messages import ActivityEnd, RunActivity, Undeliverable
from perdure.runtime.workflow.spans import Tracer

Run = Callable[[RunActivity], Awaitable[ActivityEnd]]


async def traced(tracer: Tracer, message: RunActivity, run: Run) -> ActivityEnd:
    """Have `run` run it. What does not answer, because it is cancelled say, leaves no span."""
    with tracer.running(message) as span:
        if span is None:
            return await run(message)
        event = await run(span.message)
        if not isinstance(event, Undeliverable):
            span.end(event.failure if isinstance(event, TaskFailed) else None)
        return event
