"""The spans of one instance, from the beginning of a run to its end. An owner module.

Nothing is told before the commit of the turn: it goes with the messages of the turn's decision.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from perdure.actors.identity import ActorRef
from perdure.runtime.workflow import history as h
from perdure.runtime.workflow.codec import decode_turn
from perdure.runtime.workflow.executor import Executor
from perdure.runtime.workflow.spans import SPAN, RunEnded, TimerEnded, Tracer
from perdure.runtime.workflow.turn import TurnDraft

_MANY = 64
"""Timers that are kept in mind before those that were given up are looked for."""


class RunSpans:
    """Owned by one live instance, and only there if spans are made."""

    def __init__(self, tracer: Tracer, ref: ActorRef) -> None:
        self._tracer = tracer
        self._ref = ActorRef(SPAN, ref.id)
        self._started: h.ExecutionStarted | None = None
        self._timers: dict[int, tuple[int, h.TimerCreated]] = {}
        """Those that may still fire, with the time of their turn."""

    def open(self, event: h.ExecutionStarted, at_us: int) -> h.ExecutionStarted:
        """A run begins: the event with the ids of its span."""
        # A run from an event of another one has that one's time, which is over.
        begins_us = max(event.scheduled_us or at_us, at_us)
        span = self._tracer.begin(event, self._ref.id, begins_us)
        self._timers.clear()
        self._started = msgspec.structs.replace(event, span=span)
        return self._started

    def recall(self, execution: Executor | None, history: Iterable[tuple[int, bytes]]) -> None:
        """An instance was loaded, with its code where it was."""
        self._started = None if execution is None else execution.started
        self._timers.clear()
        if execution is None or not self._is_told or not execution.open_timers():
            return
        for _, blob in history:
            turn = decode_turn(blob)
            self._note_timers(turn.at_us, turn.outgoing)
        self._forget_timers(execution)

    def end(self, draft: TurnDraft, failure: h.Failure | None = None) -> None:
        """The run is over, and this turn its last one."""
        started = self._started
        self._fired(draft)
        if started is not None and self._is_told:
            ended = RunEnded(self._ref.id, started, draft.at_us, failure)
            draft.decision.sends.append((self._ref, ended))
        self._started = None

    def conclude(self, draft: TurnDraft, execution: Executor | None) -> None:
        """The turn is complete."""
        if draft.is_over:
            completed = draft.outgoing[-1]
            assert isinstance(completed, h.ExecutionCompleted)
            self.end(draft, completed.failure)
            return
        if self._is_told:
            self._fired(draft)
            self._note_timers(draft.at_us, draft.outgoing)
            if len(self._timers) > _MANY and execution is not None:
                self._forget_timers(execution)

    @property
    def _is_told(self) -> bool:
        return self._started is not None and self._started.span is not None

    def _fired(self, draft: TurnDraft) -> None:
        if self._started is None or self._started.span is None or not self._timers:
            return
        trace = self._started.span.trace
        for event in draft.incoming:
            if not isinstance(event, h.TimerFired) or event.task_id not in self._timers:
                continue
            created_us, timer = self._timers.pop(event.task_id)
            told = TimerEnded(
                self._ref.id, trace, event.task_id, created_us, timer.fire_at_us, draft.at_us
            )
            draft.decision.sends.append((self._ref, told))

    def _note_timers(self, at_us: int, events: Iterable[h.Event]) -> None:
        if self._started is not None and self._started.span is not None:
            # Made by the run that this one goes on from, it is asked for again as this one begins.
            at_us = max(at_us, self._started.span.began_us)
        for event in events:
            if isinstance(event, h.TimerCreated):
                self._timers[event.task_id] = at_us, event

    def _forget_timers(self, execution: Executor) -> None:
        open_timers = set(execution.open_timers())
        self._timers = {
            task_id: kept for task_id, kept in self._timers.items() if task_id in open_timers
        }
