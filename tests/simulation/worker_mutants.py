"""As `mutants`, for workers: the engine with one of its safeguards removed. A value module."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any
from unittest import mock

import msgspec

from perdure.actors.messages import Delivery
from perdure.runtime.workflow import messages as m
from perdure.runtime.workflow.activities.dispatching import DispatchParts
from perdure.runtime.workflow.turn import TurnDraft
from perdure.runtime.workflow.workers.dispatch import TurnDispatch
from perdure.runtime.workflow.workers.dispatching import TurnDispatchConfig
from perdure.runtime.workflow.workers.execution import WorkerExecution
from perdure.runtime.workflow.workers.pool import WorkerPool
from perdure.runtime.workflow.workers.stream import Item, WorkerStream
from perdure.runtime.workflow.workers.work import TurnDecided, TurnWork
from perdure.runtime.workflow.workflow_actor import WorkflowActor

Patch = contextlib.AbstractContextManager[Any]


def takes_decisions_out_of_turn() -> Patch:
    """A decision counts whatever it follows, so one that comes late or twice does."""

    def lax(self: WorkerExecution, decided: TurnDecided) -> bool:
        here = (self.run.key, self.run.execution)
        written = self.work().covers
        return (
            self.undecided
            and (decided.key, decided.execution) == here
            and decided.covers <= written
        )

    return mock.patch.object(WorkerExecution, "follows", lax)


def takes_decisions_of_other_runs() -> Patch:
    """A decision counts for whatever run the instance is in by now."""
    follows = WorkerExecution.follows

    def lax(self: WorkerExecution, decided: TurnDecided) -> bool:
        run = self.run
        ours = msgspec.structs.replace(decided, key=run.key, execution=run.execution)
        return follows(self, ours)

    return mock.patch.object(WorkerExecution, "follows", lax)


def acknowledges_what_it_does_not_write() -> Patch:
    """An event that comes while a turn is out is answered, and kept for later in memory only."""
    take = WorkflowActor._raise_event

    def hasty(
        self: WorkflowActor, message: m.RaiseEvent, delivery: Delivery, draft: TurnDraft
    ) -> None:
        execution = self._live.execution
        if isinstance(execution, WorkerExecution) and execution.undecided:
            draft.reply(delivery, None)
        else:
            take(self, message, delivery, draft)

    return mock.patch.object(WorkflowActor, "_raise_event", hasty)


def takes_any_token() -> Patch:
    """An old token is as good as the one of what the instance waits for at present."""
    find = WorkerPool.find

    def lax(self: WorkerPool, token: str, **about: Any) -> Item | None:
        known: dict[str, tuple[bool, str, int]] = self.__dict__.setdefault("known", {})
        found = find(self, token, **about)
        if found is not None:
            known[token] = found.address
        elif token in known:
            _, instance_id, task_id = known[token]
            return find(
                self, "", is_turn=about["is_turn"], instance_id=instance_id, task_id=task_id
            )
        return found

    return mock.patch.object(WorkerPool, "find", lax)


def keeps_what_a_lost_stream_had() -> Patch:
    """What a worker had when its stream ended is believed to be in good hands."""

    def careless(self: WorkerPool, stream: WorkerStream) -> None:
        stream.close()
        if stream in self.streams:
            self.streams.remove(stream)

    return mock.patch.object(WorkerPool, "disconnect", careless)


def waits_for_late_turns_for_ever() -> Patch:
    """A worker that hangs keeps what it has."""
    return mock.patch.object(WorkerPool, "turns_since", return_value=[])


@contextlib.contextmanager
def forgets_turns_of_the_dead() -> Iterator[None]:
    """Turns that were given to a node that is gone stay with it."""
    init = TurnDispatch.__init__

    def patient(self: TurnDispatch, parts: Any, config: TurnDispatchConfig) -> None:
        init(self, parts, TurnDispatchConfig(app_id=config.app_id, turn_seconds=1e9))

    with (
        mock.patch.object(TurnDispatch, "__init__", patient),
        mock.patch.object(TurnDispatch, "on_view", return_value=None),
    ):
        yield


def loses_events_of_the_next_run() -> Patch:
    """Continue-as-new forgets what came while it was being decided."""
    return mock.patch.object(WorkerExecution, "held_events", return_value=())


def gives_nothing_to_new_workers() -> Patch:
    """What found no worker waits, also when one comes."""
    return mock.patch.object(TurnDispatch, "fill", return_value=None)


def leaves_activities_where_no_worker_is() -> Patch:
    """A former owner keeps what waits there for a worker."""
    return mock.patch.object(DispatchParts, "is_stranded", return_value=False)


def trusts_the_memory_of_another_run() -> Patch:
    """What a worker has kept of an instance is taken for its present run."""

    def lax(self: WorkerStream, work: TurnWork) -> int:
        return min(self.cached.get(work.instance_id, (0, 0, 0, 0))[3], work.past_count)

    return mock.patch.object(WorkerStream, "known_events", lax)


WORKER_MUTANTS: dict[str, Callable[[], Patch]] = {
    fn.__name__: fn
    for fn in (
        takes_decisions_out_of_turn,
        takes_decisions_of_other_runs,
        acknowledges_what_it_does_not_write,
        takes_any_token,
        keeps_what_a_lost_stream_had,
        waits_for_late_turns_for_ever,
        forgets_turns_of_the_dead,
        loses_events_of_the_next_run,
        gives_nothing_to_new_workers,
        leaves_activities_where_no_worker_is,
        trusts_the_memory_of_another_run,
    )
}
