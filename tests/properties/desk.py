"""Workflow actors without a node: their turns are taken one by one, their units kept in memory.

What a turn decides is checked when it is "committed": history only grows, a status changes only in
ways that exist, an end is final. With `evicts` every actor is forgotten after each of its turns.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Sequence
from typing import Any, cast

from perdure.actors.identity import ActorRef
from perdure.actors.messages import Delivery, ReminderDue
from perdure.actors.ports import Snapshot
from perdure.actors.unit_of_work import Decision, UnitOfWork
from perdure.runtime.workflow import history as h
from perdure.runtime.workflow import messages as m
from perdure.runtime.workflow.codec import decode_turn
from perdure.runtime.workflow.keys import Keys
from perdure.runtime.workflow.records import ChangeKind, Instance, StoredWorkflow, WorkflowChange
from perdure.runtime.workflow.registry import Registry
from perdure.runtime.workflow.surroundings import Surroundings, WorkflowConfig
from perdure.runtime.workflow.workflow_actor import WorkflowActor, WorkflowActorType
from tests.support.replaying import check_replay
from tests.unit.actors.given import ScriptedStore

S = h.Status
BORN_US = 1_700_000_000_000_000


class Clockwork:
    """Time that only the desk moves."""

    def __init__(self) -> None:
        self.at_us = BORN_US
        self.random = random.Random(0)
        self.log = logging.getLogger("perdure.tests.desk")

    def now_us(self) -> int:
        return self.at_us

    def new_id(self) -> str:
        raise AssertionError("the desk gives all ids")


class Reply:
    """Stands for the future of a caller; only the desk looks at it."""

    answer: object = None


class Desk:
    def __init__(self, registry: Registry, *, evicts: bool) -> None:
        self.registry = registry
        self.evicts = evicts
        self.env = Clockwork()
        keys = Keys(ScriptedStore(), 1_000_000)
        asyncio.run(keys.reserve())
        config = WorkflowConfig(continue_as_new_max=5)
        self._type = WorkflowActorType(Surroundings(registry, self.env, keys, config, self.env.log))
        self._actors: dict[str, WorkflowActor] = {}
        self.rows: dict[str, Instance] = {}
        self.history: dict[int, list[bytes]] = {}
        self.inbox: dict[str, dict[str, object]] = {}
        self.reminders: dict[tuple[str, str], int] = {}
        self.activities: list[m.RunActivity] = []
        self._dispatched: set[tuple[int, int, int]] = set()
        self.told: list[tuple[str, str, int]] = []
        """(name, status, execution) of every commit that changed an instance's row."""

    # ---- what a test does

    def call(self, instance_id: str, message: m.WorkflowMessage) -> object:
        """Send one message and return the answer; an exception is raised."""
        reply = Reply()
        self._turns(instance_id, [Delivery(message, cast(Any, reply))])
        if isinstance(reply.answer, Exception):
            raise reply.answer
        return reply.answer

    def tell(self, instance_id: str, messages: Sequence[m.WorkflowMessage]) -> None:
        """Send messages that are taken in one turn."""
        self._turns(instance_id, [Delivery(message) for message in messages])

    def start(self, name: str, instance_id: str, input: str | None, request: str) -> None:
        self.call(instance_id, m.StartWorkflow(h.ExecutionStarted(name, input), request))

    def work(self) -> list[str]:
        """What can happen next, in a fixed order."""
        due = [f"timer {instance_id} {name}" for instance_id, name in sorted(self.reminders)]
        rows = [f"inbox {name}" for name in sorted(self.inbox) if not self._keeps_late(name)]
        return [*rows, *[f"activity {index}" for index in range(len(self.activities))], *due]

    def do(self, work: str, answer: Any) -> None:
        """Let one of `work` happen; `answer` says what an activity comes to."""
        kind, *rest = work.split(" ")
        if kind == "inbox":
            self._turns(rest[0], [])
        elif kind == "timer":
            due_us = self.reminders[rest[0], rest[1]]
            self.env.at_us = max(self.env.at_us, due_us)
            self._turns(rest[0], [Delivery(ReminderDue(rest[1]))])
        else:
            asked = self.activities.pop(int(rest[0]))
            self._dispatched.discard((asked.key, asked.execution, asked.task_id))
            completion = m.Completion(asked.key, asked.execution, answer(asked))
            self._turns(asked.instance_id, [Delivery(completion)])

    def turns(self, instance_id: str) -> list[h.Turn]:
        return [decode_turn(blob) for blob in self.history[self.rows[instance_id].key]]

    def check_replays(self) -> None:
        for instance_id, row in self.rows.items():
            check_replay(row, self.turns(instance_id), self.registry)

    def _keeps_late(self, instance_id: str) -> bool:
        """Its inbox holds the answers that came after its end, until the last one has come."""
        row = self.rows.get(instance_id)
        return row is not None and row.status.is_terminal and row.has_work

    # ---- turns and commits

    def _turns(self, instance_id: str, batch: list[Delivery]) -> None:
        rows = self.inbox.get(instance_id, {})
        batch = [*[Delivery(body, None, name) for name, body in rows.items()], *batch]
        while True:
            decision = self._actor(instance_id).decide(batch, self.env.now_us())
            self._commit(instance_id, decision)
            batch = decision.returned
            if self.evicts or decision.passivate or decision.reload:
                self._actors.pop(instance_id).close()
            if not batch:
                return

    def _actor(self, instance_id: str) -> WorkflowActor:
        found = self._actors.get(instance_id)
        if found is None:
            snapshot = Snapshot(ActorRef(m.WORKFLOW, instance_id), self._stored(instance_id))
            found = self._actors[instance_id] = self._type.activate(snapshot, 0, 1)
        return found

    def _stored(self, instance_id: str) -> StoredWorkflow | None:
        row = self.rows.get(instance_id)
        if row is None:
            return None
        history = list(enumerate(self.history[row.key]))
        if not row.status.is_terminal:
            return StoredWorkflow(row, history)
        return StoredWorkflow(row, history if row.has_work else [], self._open_child(row.key))

    def _open_child(self, key: int) -> str | None:
        """A descendant that has not finished."""
        for row in self.rows.values():
            if row.parent_key == key:
                found = self._open_child(row.key) if row.status.is_terminal else row.instance_id
                if found is not None:
                    return found
        return None

    def _commit(self, instance_id: str, decision: Decision) -> None:
        for reply, answer in decision.replies:
            cast(Reply, reply).answer = answer
        unit = decision.unit
        if unit is not None:
            self._write(instance_id, unit)
        for _, message in decision.sends:
            assert isinstance(message, m.RunActivity)
            name = (message.key, message.execution, message.task_id)
            if name not in self._dispatched:
                self._dispatched.add(name)
                self.activities.append(message)

    def _write(self, instance_id: str, unit: UnitOfWork) -> None:
        inbox = self.inbox.setdefault(instance_id, {})
        for name in unit.consumed:
            inbox.pop(name, None)
        if unit.change is not None:
            assert isinstance(unit.change, WorkflowChange)
            self._change(instance_id, unit.change)
        for outgoing in unit.outbox:
            rows = self.inbox.setdefault(outgoing.target.id, {})
            rows.setdefault(outgoing.message_id, m.decode(outgoing.body))
        for name in unit.reminders_cleared:
            self.reminders.pop((instance_id, name), None)
        for name, due_us in unit.reminders_set:
            self.reminders[instance_id, name] = due_us
        if not inbox:
            self.inbox.pop(instance_id, None)

    def _change(self, instance_id: str, change: WorkflowChange) -> None:
        before, row = self.rows.get(instance_id), change.row
        expected = (change.expected_execution, change.expected_seq)
        if change.kind is ChangeKind.CREATE:
            assert before is None
            self.history[row.key] = list(change.past)
        else:
            assert before is not None
            assert (before.execution, before.next_seq) == expected
        if change.kind is ChangeKind.DELETE or change.drop_history:
            self._forget(instance_id, row.key)
        if change.kind is ChangeKind.DELETE:
            del self.rows[instance_id], self.history[row.key]
            self.inbox.pop(instance_id, None)
            return
        _check_status(before, row, change)
        if change.turn is not None:
            assert change.turn_seq == len(self.history[row.key])
            self.history[row.key].append(change.turn)
        assert row.next_seq == len(self.history[row.key])
        self.rows[instance_id] = row
        self.told.append((instance_id, row.status.name, row.execution))

    def _forget(self, instance_id: str, key: int) -> None:
        self.history[key] = []
        for name in [each for each in self.reminders if each[0] == instance_id]:
            del self.reminders[name]


def _check_status(before: Instance | None, row: Instance, change: WorkflowChange) -> None:
    assert row.status is not S.STALLED, row.stalled
    if before is None or change.drop_history:
        assert before is None or row.execution > before.execution
        return
    assert row.execution == before.execution
    if before.status.is_terminal:
        assert change.turn is None, "history goes on after its end"
        assert (row.status, row.output, row.failure) == (
            before.status,
            before.output,
            before.failure,
        )
    elif before.status is not S.PENDING:
        assert row.status is not S.PENDING


def events_of(turns: Sequence[h.Turn]) -> list[h.Event]:
    return [event for turn in turns for event in (*turn.incoming, *turn.outgoing)]
