"""Running an activity under a span of its own. An edge module."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from perdure.runtime.workflow.history import TaskCompleted, TaskFailed
from perdure.runtime.workflow.messages import RunActivity
from perdure.runtime.workflow.spans import Tracer

Run = Callable[[RunActivity], Awaitable[TaskCompleted | TaskFailed]]


async def traced(tracer: Tracer, message: RunActivity, run: Run) -> TaskCompleted | TaskFailed:
    """Have `run` run it. What does not answer, because it is cancelled say, leaves no span."""
    with tracer.running(message) as span:
        if span is None:
            return await run(message)
        event = await run(span.message)
        span.end(event.failure if isinstance(event, TaskFailed) else None)
        return event
