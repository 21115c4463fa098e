"""The engine with one safeguard removed: each must be found. A value module.

Redundant layers hide each other, so a few mutants remove a layer together with the one behind it.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import sqlite3
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from typing import Any
from unittest import mock

import msgspec

from perdure.actors.committer import Committer
from perdure.actors.host import ActorHost
from perdure.actors.recovery import Recovery
from perdure.actors.reminders import Reminders
from perdure.actors.turns import Turns
from perdure.actors.unit_of_work import UnitOfWork
from perdure.runtime.storage import batch as batches
from perdure.runtime.storage import commit as commits
from perdure.runtime.storage.sqlite import SqliteStore
from perdure.runtime.storage.transaction import write_transaction
from perdure.runtime.workflow import effects
from perdure.runtime.workflow import execution as executions
from perdure.runtime.workflow import history as h
from perdure.runtime.workflow import messages as m
from perdure.runtime.workflow.activities.dispatch import ActivityDispatch
from perdure.runtime.workflow.activities.runner import ActivityRunner
from perdure.runtime.workflow.late_answers import LateAnswers
from perdure.runtime.workflow.live_instance import LiveInstance
from perdure.runtime.workflow.loop import NumberedTask
from perdure.runtime.workflow.peer_codec import WorkflowMessages
from perdure.runtime.workflow.turn import TurnDraft
from perdure.runtime.workflow.workflow_actor import WorkflowActor

Patch = contextlib.AbstractContextManager[Any]


def replies_before_commit() -> Patch:
    """The answer leaves while the transaction is still under way."""
    submit = Committer.submit

    def hasty(self: Committer, unit: UnitOfWork, done: Callable[..., Any]) -> None:
        submit(self, unit, lambda outcome: None)
        asyncio.get_running_loop().call_soon(done, None)

    return mock.patch.object(Committer, "submit", hasty)


def consumes_outside_the_transaction() -> Patch:
    """A message is deleted first, and its effect written after."""
    commit = SqliteStore.commit

    async def careless(self: SqliteStore, fence: Any, units: Sequence[UnitOfWork]) -> Any:
        rows = [
            (unit.ref.type, unit.ref.id, message_id)
            for unit in units
            for message_id in unit.consumed
        ]

        def delete(connection: sqlite3.Connection) -> None:
            connection.executemany(
                "DELETE FROM inbox WHERE type = ? AND id = ? AND message_id = ?", rows
            )

        if rows:
            await self._runner.write(lambda c: write_transaction(c, delete))
        return await commit(self, fence, units)

    return mock.patch.object(SqliteStore, "commit", careless)


@contextlib.contextmanager
def skips_the_fence() -> Iterator[None]:
    """A node that is no member any more goes on writing."""
    with (
        mock.patch.object(commits, "check", return_value=None),
        mock.patch.object(commits.OwnedSlots, "read", return_value=_AnySlot()),
    ):
        yield


class _AnySlot(frozenset[Any]):
    def __ge__(self, other: object) -> bool:
        return True

    def __contains__(self, item: object) -> bool:
        return True


@contextlib.contextmanager
def works_on_what_it_gives_away() -> Iterator[None]:
    """Slots are handed over with their activations still at work, and no commit looks at them."""

    async def idle(self: ActorHost, slots: Any) -> None:
        pass

    with (
        mock.patch.object(ActorHost, "vacate", idle),
        mock.patch.object(ActorHost, "drop_strangers", return_value=None),
        mock.patch.object(commits.OwnedSlots, "read", return_value=_AnySlot()),
    ):
        yield


def asks_nobody_before_it_runs_again() -> Patch:
    """What a former owner has had begun is begun again, whoever is at it."""
    receive = ActivityDispatch.receive

    def rash(self: ActivityDispatch, ref: Any, message: m.RunActivity) -> None:
        receive(self, ref, msgspec.structs.replace(message, again=False))

    return mock.patch.object(ActivityDispatch, "receive", rash)


def forgets_what_the_dead_were_at() -> Patch:
    """Activities that were given to a node that is gone stay with it."""

    def idle(self: ActivityDispatch, view: Any) -> None:
        self._share_limits()

    @contextlib.contextmanager
    def both() -> Iterator[None]:
        with (
            mock.patch.object(ActivityDispatch, "on_view", idle),
            mock.patch.object(ActivityDispatch, "_recheck_all", return_value=None),
            mock.patch.object(ActivityDispatch, "works_for", return_value=True),
        ):
            yield

    return both()


def tells_others_under_new_ids() -> Patch:
    """An event that is sent once more to another node looks like another event."""
    encode = WorkflowMessages.encode

    def anew(self: WorkflowMessages, message: Any) -> bytes:
        if isinstance(message, m.RaiseEvent):
            fresh = f"{message.request_id}-{random.getrandbits(40)}"
            message = msgspec.structs.replace(message, request_id=fresh)
        return encode(self, message)

    return mock.patch.object(WorkflowMessages, "encode", anew)


def forgets_late_answers() -> Patch:
    """What has answered after the end of an instance is kept in memory only."""

    def careless(
        self: LateAnswers, message: m.Completion, delivery: object, draft: Any, open_tasks: set[int]
    ) -> None:
        if message.event.task_id in open_tasks:
            open_tasks.discard(message.event.task_id)
            draft.touched = draft.touched or not open_tasks

    return mock.patch.object(LateAnswers, "take", careless)


def keeps_stale_state() -> Patch:
    """After a commit whose outcome is not known, the activation goes on with what it has."""
    committed = Turns._committed

    def stubborn(self: Turns, activation: Any, decision: Any, outcome: Any) -> None:
        committed(self, activation, decision, None)

    return mock.patch.object(Turns, "_committed", stubborn)


def forgets_to_dispatch_again() -> Patch:
    """After a restart nobody tells the activities that had not answered."""
    return mock.patch.object(LiveInstance, "dispatch_again", return_value=None)


def never_scans() -> Patch:
    """Recovery is only hints."""

    async def asleep(self: Recovery) -> None:
        await asyncio.get_running_loop().create_future()

    return mock.patch.object(Recovery, "run", asleep)


def applies_events_twice() -> Patch:
    """No look at the request id."""
    take = WorkflowActor._raise_event

    def forgetful(self: WorkflowActor, message: m.RaiseEvent, *args: Any) -> None:
        self._live.seen.pop(message.request_id, None)
        take(self, message, *args)

    return mock.patch.object(WorkflowActor, "_raise_event", forgetful)


def fires_early() -> Patch:
    """A timer fires when its reminder is told, due or not, and it is told at once."""
    arm = Reminders._arm

    def hasty(self: Reminders, ref: Any, name: str, due_us: int) -> None:
        arm(self, ref, name, due_us - 400_000)

    @contextlib.contextmanager
    def both() -> Iterator[None]:
        with (
            mock.patch.object(Reminders, "_arm", hasty),
            mock.patch.object(executions.Execution, "due", return_value=0),
        ):
            yield

    return both()


def answers_tasks_twice() -> Patch:
    """A second answer to a task is taken like the first."""
    return mock.patch.object(executions.Execution, "expects", return_value=True)


def loses_held_events() -> Patch:
    """Continue-as-new forgets what nobody has waited for."""
    return mock.patch.object(executions.Execution, "held_events", return_value=())


def works_while_suspended() -> Patch:
    """Suspending is only a name."""
    apply = executions.Execution.apply

    def restless(self: executions.Execution, event: Any) -> None:
        apply(self, event)
        if isinstance(event, h.ExecutionSuspended):
            self.suspended = False
            self._release()
            self.suspended = False

    return mock.patch.object(executions.Execution, "apply", restless)


def leaves_children_running() -> Patch:
    """A terminated parent does not end its children."""
    return mock.patch.object(executions.Execution, "open_children", return_value=[])


def leaves_reminders() -> Patch:
    """Timers that nobody waits for stay in the table."""
    return mock.patch.object(TurnDraft, "clear_timers", return_value=None)


def leaves_history_after_a_purge() -> Patch:
    """The row goes, the history stays."""
    return mock.patch.object(batches, "_DELETE_HISTORY", "DELETE FROM history WHERE key = -?")


def runs_known_activities() -> Patch:
    """An activity that runs is started again when it is told again."""
    receive = ActivityRunner.receive

    def eager(self: ActivityRunner, message: m.RunActivity) -> bool:
        self._known = defaultdict(set, self._known)  # The first to end forgets all of them.
        self._known[message.instance_id].clear()
        return receive(self, message)

    return mock.patch.object(ActivityRunner, "receive", eager)


def tells_no_parent() -> Patch:
    """A child that has ended keeps it to itself."""
    return mock.patch.object(TurnDraft, "tell_parent", return_value=None)


def orders_tasks_by_address() -> Patch:
    """Sets of tasks are in the order of their addresses, as asyncio's own are."""
    return mock.patch.object(NumberedTask, "__hash__", asyncio.Task.__hash__)


def hands_over_too_early() -> Patch:
    """An activity is forgotten when its answer is handed over, not when that is durable."""
    runner = ActivityRunner.__init__

    def init(self: ActivityRunner, *args: Any) -> None:
        runner(self, *args)
        deliver = self._deliver

        async def hasty(message: Any, completion: Any) -> None:
            asyncio.ensure_future(deliver(message, completion)).add_done_callback(_ignore)

        self._deliver = hasty

    return mock.patch.object(ActivityRunner, "__init__", init)


def _ignore(future: asyncio.Future[Any]) -> None:
    if not future.cancelled():
        future.exception()


def hands_on_what_came_later() -> Patch:
    """A call that is made again gets all of the history, not that up to itself."""
    return mock.patch.object(effects, "turns_of_call", lambda turns, task_id: len(turns))


MUTANTS: dict[str, Callable[[], Patch]] = {
    fn.__name__: fn
    for fn in (
        replies_before_commit,
        consumes_outside_the_transaction,
        skips_the_fence,
        keeps_stale_state,
        forgets_to_dispatch_again,
        never_scans,
        applies_events_twice,
        fires_early,
        answers_tasks_twice,
        loses_held_events,
        works_while_suspended,
        leaves_children_running,
        leaves_reminders,
        leaves_history_after_a_purge,
        runs_known_activities,
        tells_no_parent,
        orders_tasks_by_address,
        hands_over_too_early,
        works_on_what_it_gives_away,
        asks_nobody_before_it_runs_again,
        forgets_what_the_dead_were_at,
        tells_others_under_new_ids,
        forgets_late_answers,
        hands_on_what_came_later,
    )
}
