"""What is told of the time that runs, timers and activities take: a port. A value module.

Who has a `Tracer` makes spans with it; without one, a trace context that came with a start is only
handed on. A span of a run is told when the run has ended and that is durable. Its ids stand in the
history from the beginning, because they are what the run hands on; no replay tells anything.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

from perdure.actors.identity import ActorRef
from perdure.placement.wire import NotUnderstood
from perdure.runtime.workflow import history as h
from perdure.runtime.workflow.messages import RunActivity

SPAN = "span"
"""Actor type of what is told; the actor id is the instance id."""


@dataclass(frozen=True, slots=True)
class RunEnded:
    """A run has come to its end, continue-as-new among them."""

    instance_id: str
    started: h.ExecutionStarted
    ended_us: int
    failure: h.Failure | None = None


@dataclass(frozen=True, slots=True)
class TimerEnded:
    """A timer of a run has fired."""

    instance_id: str
    trace: h.Trace
    """The span of the run."""
    task_id: int
    created_us: int
    fire_at_us: int
    ended_us: int


class ActivitySpan(Protocol):
    """Of one execution of an activity, while it lasts."""

    message: RunActivity
    """What is to be run, with this span as the one that it belongs to."""

    def end(self, failure: h.Failure | None) -> None:
        """It has answered. A span that is never ended was never there: it runs again elsewhere."""
        ...


class Tracer(Protocol):
    """Makes spans, if whoever runs this process wants any."""

    def creating(
        self, event: h.ExecutionStarted, instance_id: str
    ) -> AbstractContextManager[h.Trace | None]:
        """The span of a start, for as long as the block lasts; what the run is to belong to."""
        ...

    def begin(self, event: h.ExecutionStarted, instance_id: str, at_us: int) -> h.Span | None:
        """The ids of a run's span. None if there is to be none."""
        ...

    def ended(self, what: RunEnded | TimerEnded) -> None:
        """Make the span of something that is over."""
        ...

    def running(self, message: RunActivity) -> AbstractContextManager[ActivitySpan | None]:
        """The span of an activity, which code inside the block belongs to."""
        ...


class SpanTarget:
    """Takes what turns tell after their commit."""

    def __init__(self, tracer: Tracer) -> None:
        self._tracer = tracer

    def receive(self, ref: ActorRef, message: object) -> None:
        assert isinstance(message, RunEnded | TimerEnded)
        self._tracer.ended(message)

    def asked(self, body: bytes, answer: Callable[[bytes], None]) -> None:
        raise NotUnderstood("a node makes its own spans, and none for others")
