"""As `mutants`, for what is run again from an event, and for lines to workers. A value module."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any
from unittest import mock

import msgspec

from perdure.runtime.workflow import fork, restore
from perdure.runtime.workflow import history as h
from perdure.runtime.workflow.open_fork import Opening
from perdure.runtime.workflow.replay import replay
from perdure.runtime.workflow.workers.capacity import Capacity
from perdure.runtime.workflow.workers.pool import WorkerPool
from perdure.runtime.workflow.workers.stream import WorkerStream

Patch = contextlib.AbstractContextManager[Any]


def runs_again_what_has_not_finished() -> Patch:
    """A source is taken as it is."""
    return mock.patch.object(fork, "_check_source", return_value=None)


def runs_again_under_the_old_keys() -> Patch:
    """Whoever has carried out an activity for the source takes it for done."""
    told = fork._Again.told

    def same(self: Any, event: h.Outgoing, *, is_after: bool) -> h.Outgoing | None:
        again = told(self, event, is_after=is_after)
        if isinstance(event, h.TaskScheduled) and isinstance(again, h.TaskScheduled):
            return msgspec.structs.replace(again, execution_id=event.execution_id)
        return again

    return mock.patch.object(fork._Again, "told", same)


def sets_no_timers_of_the_past() -> Patch:
    """Only activities and children that were waited for are waited for again."""
    is_awaited = Opening._is_awaited

    def without(self: Opening, event: h.Outgoing) -> bool:
        return not isinstance(event, h.TimerCreated) and is_awaited(self, event)

    return mock.patch.object(Opening, "_is_awaited", without)


def takes_over_what_no_decision_has_seen() -> Patch:
    """The past of a worker's run is taken as it is stored, with events that came meanwhile."""
    return mock.patch.object(fork, "_decisions", list)


def takes_the_past_of_another_for_its_own() -> Patch:
    """Replayed, the code must ask for what it asked for there, under the same ids."""

    def strict(execution: Any, turn: h.Turn, *, is_forked: bool = False) -> None:
        replay(execution, turn)

    return mock.patch.object(restore, "replay", strict)


def believes_that_a_worker_has_what_its_last_stream_was_sent() -> Patch:
    """It has come again at once: nothing is given to anybody else."""
    connect = WorkerPool.connect

    def trusting(self: WorkerPool, capacity: Capacity, name: str) -> WorkerStream:
        stream = connect(self, capacity, name)
        for item in list(self._items.values()):
            if item.stream is not stream and item.stream.name == name:
                item.stream.turns -= item.is_turn
                item.stream.activities -= not item.is_turn
                item.stream = stream
                stream.turns += item.is_turn
                stream.activities += not item.is_turn
        return stream

    return mock.patch.object(WorkerPool, "connect", trusting)


def remembers_for_a_worker_what_its_last_stream_was_sent() -> Patch:
    """It is the same process: it must still have the histories."""
    connect = WorkerPool.connect

    def trusting(self: WorkerPool, capacity: Capacity, name: str) -> WorkerStream:
        stream = connect(self, capacity, name)
        for other in self.streams:
            if other is not stream and other.name == name:
                stream.cached.update(other.cached)
        return stream

    return mock.patch.object(WorkerPool, "connect", trusting)


RERUN_MUTANTS: dict[str, Callable[[], Patch]] = {
    fn.__name__: fn
    for fn in (
        runs_again_what_has_not_finished,
        runs_again_under_the_old_keys,
        sets_no_timers_of_the_past,
        takes_over_what_no_decision_has_seen,
        takes_the_past_of_another_for_its_own,
    )
}
LINE_MUTANTS: dict[str, Callable[[], Patch]] = {
    fn.__name__: fn
    for fn in (
        believes_that_a_worker_has_what_its_last_stream_was_sent,
        remembers_for_a_worker_what_its_last_stream_was_sent,
    )
}
