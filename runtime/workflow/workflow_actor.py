"""One workflow instance as a virtual actor. An owner module.

A turn takes messages, turns them into events, runs the code over them and comes to a `Decision`:
one history row, the changed `workflows` row, messages to other instances, activities to dispatch.
After a crash at any line, taking the same messages again gives the same history.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from perdure.actors.identity import ActorRef
from perdure.actors.messages import Delivery, Quarantine, ReminderDue, Wake
from perdure.actors.ports import Env, InboxRow, Snapshot
from perdure.actors.unit_of_work import Decision
from perdure.runtime.workflow import history as h
from perdure.runtime.workflow import messages as m
from perdure.runtime.workflow.codec import encode_turn
from perdure.runtime.workflow.errors import (
    ChildNotFinished,
    InstanceExists,
    InstanceNotFound,
    InstanceNotUnique,
    InstanceStalled,
    NotCompleted,
)
from perdure.runtime.workflow.execution import START_TIMER, ContinuedAsNew, Execution, Run
from perdure.runtime.workflow.failure import instance_already_exists, workflow_not_registered
from perdure.runtime.workflow.keys import Keys
from perdure.runtime.workflow.records import ChangeKind, Instance, StoredWorkflow, WorkflowChange
from perdure.runtime.workflow.registry import Registry
from perdure.runtime.workflow.restore import Stalled, restore
from perdure.runtime.workflow.turn import TurnDraft, timer_of

GONE = object()
"""Announced when an instance has been purged."""

_SEEN_MAX = 1000
"""Request ids that a run hands on to the next one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkflowConfig:
    history_events_warn: int = 10_000
    history_events_max: int = 50_000
    history_bytes_max: int = 64 << 20
    unclean_deaths_max: int = 5
    """Deaths of its node with the instance in flight, after which it is set aside."""
    continue_as_new_max: int = 20
    """Runs that one turn may go through."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What all workflow actors of a node share."""

    registry: Registry
    env: Env
    keys: Keys
    config: WorkflowConfig
    log: logging.Logger


class WorkflowActorType:
    """Makes workflow actors; registered with the host under the type `workflow`."""

    def __init__(self, surroundings: Surroundings) -> None:
        self._surroundings = surroundings

    def activate(self, snapshot: Snapshot, slot: int, epoch: int) -> WorkflowActor:
        return WorkflowActor(self._surroundings, snapshot, slot, epoch)

    def decode(self, row: InboxRow) -> object:
        return m.decode(row.body)


class WorkflowActor:
    """Owned by its activation. `decide` is the only way in."""

    def __init__(
        self, surroundings: Surroundings, snapshot: Snapshot, slot: int, epoch: int
    ) -> None:
        self._around = surroundings
        self._ref = snapshot.ref
        self._slot = slot
        self._epoch = epoch
        self._stored: StoredWorkflow | None = snapshot.state
        """What was loaded, until the first turn has ended."""
        self._row: Instance | None = None if self._stored is None else self._stored.row
        self._committed = self._row
        self._execution: Execution | None = None
        self._open_tasks: set[int] = set()
        """Activities that have not answered; of a finished instance those that nobody awaits."""
        self._seen: dict[str, None] = {}
        self._stalled: str | None = None
        self._kept: dict[str, Delivery] = {}
        """Durable messages that wait in the inbox for the end of a stall."""
        self._events = 0
        self._bytes = 0
        self._last_turn_us = 0

    def decide(self, batch: Sequence[Delivery], now_us: int) -> Decision:
        """One turn over the waiting messages."""
        draft = TurnDraft(self._ref, self._slot, self._epoch, max(now_us, self._last_turn_us))
        lost = self._wake(draft)
        for index, delivery in enumerate(batch):
            self._take(delivery, draft, now_us)
            if draft.is_deleted:
                draft.decision.returned = list(batch[index + 1 :])
                break
            if draft.ends_here:
                draft.give_back(delivery)
                draft.decision.returned = list(batch[index:])
                break
        self._dispatch_again(lost, draft)
        self._conclude(draft)
        self._stored = None
        return draft.decision

    def close(self) -> None:
        if self._execution is not None:
            self._execution.close()
            self._execution = None

    # ---- coming to life

    def _wake(self, draft: TurnDraft) -> dict[int, h.TaskScheduled]:
        """Bring the code to where the history says it is, once per activation.

        Returns the activities that have not answered: nobody may be running them any more.
        """
        config, stored = self._around.config, self._stored
        if stored is None:
            if self._execution is not None and self._events >= config.history_events_max:
                self._stall(_too_long(self._events, "events", config.history_events_max))
            return {}
        row = stored.row
        if row.status.is_terminal and not row.has_work:
            return {}
        if row.attempts > config.unclean_deaths_max:
            self._stall(
                f"its node died {row.attempts} times while this instance was at work; "
                "see what its activities and its code do, then resume or purge it"
            )
            return {}
        return self._restore(stored, draft)

    def _restore(self, stored: StoredWorkflow, draft: TurnDraft) -> dict[int, h.TaskScheduled]:
        around, row = self._around, stored.row
        config = around.config
        found = restore(stored, around.registry, around.log)
        if isinstance(found, Stalled):
            self._stall(found.reason)
            return {}
        self._execution = found.execution
        self._open_tasks = set(found.open_tasks)
        self._seen = found.seen_requests
        self._events, self._bytes = found.events, found.bytes
        self._last_turn_us = found.last_turn_us
        draft.at_us = max(draft.at_us, found.last_turn_us)
        if found.execution is not None:
            if self._events >= config.history_events_max:
                self._stall(_too_long(self._events, "events", config.history_events_max))
                return {}
            if self._bytes >= config.history_bytes_max:
                self._stall(_too_long(self._bytes, "bytes", config.history_bytes_max))
                return {}
        self._stalled = None
        if row.status is h.Status.STALLED:
            draft.touched = True  # The right code is back: the status has to say so.
        return found.open_tasks

    def _stall(self, reason: str) -> None:
        """Stop at this point, with nothing written but the reason."""
        self.close()
        if self._committed is None or self._committed.stalled != reason:
            self._around.log.error(
                "a workflow instance is stalled",
                extra={"event": "stalled", "instance_id": self._ref.id, "reason": reason},
            )
        self._stalled = reason

    def _dispatch_again(self, lost: dict[int, h.TaskScheduled], draft: TurnDraft) -> None:
        """After a load, activities without an answer are told again; one that runs is not disturbed."""
        if self._row is not None and self._stalled is None and not draft.is_new_run:
            for task_id, event in lost.items():
                if task_id in self._open_tasks:
                    self._dispatch(event, draft)

    def _dispatch(self, event: h.TaskScheduled, draft: TurnDraft) -> None:
        row = self._row
        assert row is not None
        message = m.RunActivity(
            row.instance_id,
            row.execution,
            event.task_id,
            event.name,
            event.input,
            event.execution_id,
            event.timeout_ms,
            row.name,
        )
        target = ActorRef(m.ACTIVITY, f"{row.instance_id}::{event.task_id}")
        draft.decision.sends.append((target, message))

    # ---- messages

    def _take(self, delivery: Delivery, draft: TurnDraft, now_us: int) -> None:
        body = delivery.body
        if delivery.message_id is not None:
            if self._stalled is not None:
                self._kept[delivery.message_id] = delivery
                return
            draft.consumed[delivery.message_id] = None
        match body:
            case m.Completion():
                self._complete(body, draft)
            case ReminderDue():
                self._reminder(body.name, draft, now_us)
            case m.StartWorkflow():
                self._start(body, delivery, draft)
            case m.RaiseEvent():
                self._raise_event(body, delivery, draft)
            case m.Suspend():
                self._suspend(body, delivery, draft)
            case m.Resume():
                self._resume(body, delivery, draft, now_us)
            case m.Terminate():
                self._terminate(body, delivery, draft)
            case m.Purge():
                self._purge(body, delivery, draft)
            case Quarantine():
                if draft.incoming:
                    draft.ends_here = True
                elif self._row is not None and not self._row.status.is_terminal:
                    self._stall(body.reason)
            case Wake():
                pass
            case _:
                raise AssertionError(f"unknown message {body!r}")

    def _living(self, delivery: Delivery, draft: TurnDraft) -> Execution | None:
        """The code of an instance that can go on; else the caller gets its answer here."""
        if self._row is None:
            draft.reply(delivery, InstanceNotFound(self._ref.id))
        elif self._stalled is not None:
            draft.reply(delivery, InstanceStalled(self._ref.id, self._stalled))
        elif self._row.status.is_terminal or draft.is_over:
            draft.reply(delivery, None)
        else:
            assert self._execution is not None
            return self._execution
        return None

    def _start(self, message: m.StartWorkflow, delivery: Delivery, draft: TurnDraft) -> None:
        row, event, instance_id = self._row, message.event, self._ref.id
        if row is not None:
            if row.start_request == message.request_id:
                draft.reply(delivery, instance_id)  # The same start, told again.
                return
            refusal = self._refusal(row, message)
            if refusal is not None:
                draft.reply(delivery, refusal)
                if message.tell_parent and event.parent is not None:
                    failure = instance_already_exists(instance_id)
                    refused = h.ChildWorkflowInstanceFailed(event.parent.task_id, failure)
                    draft.tell_parent(event.parent, refused)
                return
            if draft.incoming:
                # The end of the run before belongs into a turn of its own.
                draft.ends_here = True
                return
        draft.reply(delivery, instance_id)
        self._open_run(event, draft, message.request_id)

    def _refusal(self, row: Instance, message: m.StartWorkflow) -> Exception | None:
        if message.tell_parent or not row.status.is_terminal:
            return InstanceExists(row.instance_id)
        if message.unique:
            return InstanceNotUnique(row.instance_id)
        if self._stored is not None and self._stored.open_child is not None:
            return ChildNotFinished(row.instance_id, self._stored.open_child)
        return None

    def _raise_event(self, message: m.RaiseEvent, delivery: Delivery, draft: TurnDraft) -> None:
        if self._living(delivery, draft) is None:
            return
        draft.reply(delivery, None)
        if message.request_id not in self._seen:
            self._seen[message.request_id] = None
            self._apply(h.EventRaised(message.name, message.data, message.request_id), draft)

    def _suspend(self, message: m.Suspend, delivery: Delivery, draft: TurnDraft) -> None:
        execution = self._living(delivery, draft)
        if execution is not None:
            draft.reply(delivery, None)
            if not execution.suspended:
                self._apply(h.ExecutionSuspended(message.reason), draft)

    def _resume(self, message: m.Resume, delivery: Delivery, draft: TurnDraft, now_us: int) -> None:
        if self._stalled is not None and self._row is not None:
            self._try_again(delivery, draft, now_us)
        execution = None if draft.ends_here else self._living(delivery, draft)
        if execution is not None:
            draft.reply(delivery, None)
            if execution.suspended:
                self._apply(h.ExecutionResumed(message.reason), draft)

    def _try_again(self, delivery: Delivery, draft: TurnDraft, now_us: int) -> None:
        """Somebody wants a stalled instance to go on: look at it afresh."""
        stored = self._stored
        if stored is None:
            draft.decision.reload = True  # This very message, and the rest, with what is stored.
            draft.ends_here = True
            return
        lost = self._restore(stored, draft)
        if self._stalled is None:
            draft.touched = True
            for kept in list(self._kept.values()):
                self._take(kept, draft, now_us)
            self._kept.clear()
            self._dispatch_again(lost, draft)

    def _terminate(self, message: m.Terminate, delivery: Delivery, draft: TurnDraft) -> None:
        if self._row is None and message.ignore_missing:
            return
        if self._living(delivery, draft) is not None:
            draft.reply(delivery, None)
            self._apply(message.event, draft)

    def _purge(self, message: m.Purge, delivery: Delivery, draft: TurnDraft) -> None:
        row = self._row
        refusal: Exception | None = None
        if row is None or (row.status is h.Status.PENDING and not message.force):
            # Taken again after a commit whose outcome was unknown: it is gone, as was asked.
            refusal = None if delivery.attempts and row is None else InstanceNotFound(self._ref.id)
        elif draft.incoming:
            draft.ends_here = True
            return
        elif not message.force and self._stalled is not None:
            refusal = InstanceStalled(row.instance_id, self._stalled)
        elif not message.force and not row.status.is_terminal:
            refusal = NotCompleted(row.instance_id)
        else:
            draft.is_deleted = True
        draft.reply(delivery, refusal)

    def _complete(self, message: m.Completion, draft: TurnDraft) -> None:
        row, event = self._row, message.event
        if row is None or row.execution != message.execution:
            return  # Of a run that is over, or of an instance that is gone.
        if self._stalled is not None:
            message_id = f"task:{message.execution}:{event.task_id}"
            draft.send(self._ref, message_id, message)
            return
        if row.status.is_terminal or draft.is_over:
            self._open_tasks.discard(event.task_id)
            draft.touched = draft.touched or (row.has_work and not self._open_tasks)
            return
        assert self._execution is not None
        if self._execution.expects(event.task_id):
            self._open_tasks.discard(event.task_id)
            self._apply(event, draft)

    def _reminder(self, name: str, draft: TurnDraft, now_us: int) -> None:
        execution_number, task_id = timer_of(name)
        row = self._row
        if row is None or row.execution != execution_number or row.status.is_terminal:
            draft.clear_reminder(name)
            return
        fired = h.TimerFired(task_id)
        if self._stalled is not None:
            draft.send(self._ref, f"timer:{name}", m.Completion(execution_number, fired))
            draft.clear_reminder(name)
            return
        assert self._execution is not None
        due_us = self._execution.due(task_id)
        if due_us is None or draft.is_over or not self._execution.expects(task_id):
            draft.clear_reminder(name)
        elif due_us <= now_us:  # Not so if the clock was set back; then it is told again.
            draft.clear_reminder(name)
            self._apply(fired, draft)

    # ---- the code

    def _open_run(
        self,
        event: h.ExecutionStarted,
        draft: TurnDraft,
        request_id: str | None,
        carried: Sequence[h.EventRaised] = (),
    ) -> None:
        """Begin a run: the first of a new instance, or the next one under its id."""
        around, before, parent = self._around, self._row, event.parent
        definition = around.registry.workflow(event.name, event.version)
        if before is not None:
            self.close()
            draft.begin_again()
        row = self._row = Instance(
            key=around.keys.take() if before is None else before.key,
            instance_id=self._ref.id,
            slot=self._slot,
            name=event.name,
            version=event.version if definition is None else definition.version,
            status=h.Status.PENDING,
            created_us=before.created_us if before and event.continued else draft.at_us,
            updated_us=draft.at_us,
            parent_key=None if parent is None else parent.key,
            parent_id=None if parent is None else parent.instance_id,
            parent_execution=None if parent is None else parent.execution,
            parent_task=None if parent is None else parent.task_id,
            execution=1 if before is None else before.execution + 1,
            next_seq=0,
            start_request=request_id,
        )
        self._open_tasks = set()
        self._seen = dict.fromkeys(event.seen_requests)
        self._events = self._bytes = 0
        event = msgspec.structs.replace(event, version=row.version)
        if definition is None:
            draft.incoming.append(event)
            failure = workflow_not_registered(event.name)
            self._end(h.ExecutionCompleted(h.Status.FAILED, None, failure), draft)
            return
        run = Run(definition, row.instance_id, row.execution, around.registry, around.log)
        self._execution = Execution(run)
        self._apply(event, draft)
        if event.scheduled_us is not None and not draft.is_over:
            draft.set_timer(row.execution, START_TIMER, event.scheduled_us)
        for raised in carried:
            if not draft.is_over:
                self._apply(raised, draft)

    def _apply(self, event: h.Incoming, draft: TurnDraft) -> None:
        execution = self._execution
        assert execution is not None
        if not draft.is_open:
            execution.begin_turn(draft.at_us, is_replaying=False)
            draft.is_open = True
        draft.incoming.append(event)
        execution.apply(event)
        match execution.outcome:
            case None:
                pass
            case h.ExecutionCompleted() as completed:
                commands = execution.take_commands()
                if completed.status is not h.Status.TERMINATED:
                    draft.outgoing.extend(commands)
                self._end(completed, draft)
            case ContinuedAsNew() as again:
                self._continue_as_new(execution, again, draft)

    def _continue_as_new(
        self, execution: Execution, again: ContinuedAsNew, draft: TurnDraft
    ) -> None:
        row, started = self._row, execution.started
        assert row is not None
        assert started is not None
        draft.runs += 1
        many = draft.runs >= self._around.config.continue_as_new_max
        event = h.ExecutionStarted(
            row.name,
            again.input,
            None,
            started.parent,
            # So many runs in one turn would keep all others waiting: the next one begins as a
            # delayed start does, due now.
            draft.at_us if many else None,
            tuple(self._seen)[-_SEEN_MAX:],
            True,
        )
        carried = (*again.carried, *execution.held_events())
        draft.clear_timers(row.execution, execution.open_timers())
        self._open_run(event, draft, row.start_request, carried)

    def _end(self, completed: h.ExecutionCompleted, draft: TurnDraft) -> None:
        """The instance is finished: tell its parent, and end its children if it was terminated."""
        row, execution = self._row, self._execution
        assert row is not None
        draft.is_over = True
        draft.outgoing.append(completed)
        parent = _parent_of(row)
        if parent is not None:
            if completed.status is h.Status.COMPLETED:
                draft.tell_parent(
                    parent, h.ChildWorkflowInstanceCompleted(parent.task_id, completed.output)
                )
            else:
                draft.tell_parent(
                    parent, h.ChildWorkflowInstanceFailed(parent.task_id, completed.failure)
                )
        if execution is None:
            return
        draft.clear_timers(row.execution, execution.open_timers())
        if completed.status is h.Status.TERMINATED:
            assert execution.terminated is not None
            if execution.terminated.recursive:
                cascade = m.Terminate(execution.terminated, ignore_missing=True)
                for child_id in execution.open_children():
                    message_id = f"terminate:{row.execution}:{row.instance_id}"
                    draft.send(ActorRef(m.WORKFLOW, child_id), message_id, cascade)

    # ---- the end of a turn

    def _conclude(self, draft: TurnDraft) -> None:
        row, committed = self._row, self._committed
        if draft.is_deleted:
            assert row is not None
            assert committed is not None
            self.close()
            change = WorkflowChange(ChangeKind.DELETE, row, committed.execution, committed.next_seq)
            draft.conclude(row, change)
            draft.decision.announcement = GONE
            self._row = self._committed = None
            draft.decision.passivate = True
        elif row is None:
            draft.conclude(None, None)
            draft.decision.passivate = True
        elif self._stalled is not None:
            self._conclude_stalled(row, draft)
        elif draft.incoming:
            self._conclude_turn(row, draft)
        elif draft.touched:
            self._conclude_row(self._current(row, draft), draft)
        else:
            draft.conclude(row, None)
            draft.decision.passivate = row.status.is_terminal and not self._open_tasks

    def _conclude_stalled(self, row: Instance, draft: TurnDraft) -> None:
        if row.status is h.Status.STALLED and row.stalled == self._stalled:
            draft.conclude(row, None)
            return
        stalled = msgspec.structs.replace(
            row, status=h.Status.STALLED, stalled=self._stalled, has_work=False
        )
        self._conclude_row(stalled, draft)

    def _conclude_row(self, row: Instance, draft: TurnDraft) -> None:
        """Write the row alone: no event happened."""
        committed = self._committed
        assert committed is not None
        change = WorkflowChange(ChangeKind.UPDATE, row, committed.execution, committed.next_seq)
        self._row = self._committed = row
        draft.conclude(row, change)
        draft.decision.passivate = row.status.is_terminal and not self._open_tasks

    def _conclude_turn(self, row: Instance, draft: TurnDraft) -> None:
        execution, committed = self._execution, self._committed
        patches: tuple[str, ...] = ()
        code = ""
        if execution is not None:
            if not draft.is_over:
                draft.outgoing.extend(execution.take_commands())
            draft.clear_timers(row.execution, execution.take_cancelled_timers())
            patches, code = execution.take_new_patches(), execution.run.definition.code_hash
        self._carry_out(row, draft)
        if draft.is_over and execution is not None and execution.terminated is not None:
            self._open_tasks.clear()  # Their results are wanted by nobody.
        turn = h.Turn(draft.at_us, tuple(draft.incoming), tuple(draft.outgoing), code, patches)
        blob = encode_turn(turn)
        self._events += 1 + len(turn.incoming) + len(turn.outgoing)
        self._bytes += len(blob)
        self._last_turn_us = draft.at_us
        written = self._current(row, draft)
        change = WorkflowChange(
            ChangeKind.CREATE if committed is None else ChangeKind.UPDATE,
            written,
            0 if committed is None else committed.execution,
            0 if committed is None else committed.next_seq,
            blob,
            row.next_seq,
            draft.is_new_run,
        )
        self._row = self._committed = written
        draft.conclude(written, change)
        if draft.is_over:
            self.close()
            draft.decision.passivate = not self._open_tasks

    def _carry_out(self, row: Instance, draft: TurnDraft) -> None:
        """What the code asked for, as messages and reminders that go with the commit."""
        for event in draft.outgoing:
            match event:
                case h.TaskScheduled():
                    self._open_tasks.add(event.task_id)
                    self._dispatch(event, draft)
                case h.TimerCreated():
                    if not draft.is_over:
                        draft.set_timer(row.execution, event.task_id, event.fire_at_us)
                case h.ChildWorkflowInstanceCreated():
                    parent = h.Parent(row.key, row.instance_id, row.execution, event.task_id)
                    started = h.ExecutionStarted(event.name, event.input, None, parent)
                    self._start_other(row, event.instance_id, event.task_id, started, draft)
                case h.DetachedWorkflowInstanceCreated():
                    started = h.ExecutionStarted(
                        event.name, event.input, scheduled_us=event.scheduled_us
                    )
                    self._start_other(row, event.instance_id, event.task_id, started, draft)
                case h.ExecutionCompleted():
                    pass

    def _start_other(
        self,
        row: Instance,
        instance_id: str,
        task_id: int,
        event: h.ExecutionStarted,
        draft: TurnDraft,
    ) -> None:
        call = f"{row.instance_id}:{row.execution}:{task_id}"
        message = m.StartWorkflow(event, call, tell_parent=event.parent is not None)
        draft.send(ActorRef(m.WORKFLOW, instance_id), f"start:{call}", message)

    def _current(self, row: Instance, draft: TurnDraft) -> Instance:
        """The row as this turn leaves it."""
        execution = self._execution
        status, output, failure = row.status, row.output, row.failure
        custom_status = row.custom_status
        if draft.outgoing and isinstance(draft.outgoing[-1], h.ExecutionCompleted):
            completed = draft.outgoing[-1]
            status, output, failure = completed.status, completed.output, completed.failure
        elif execution is not None:
            status = _status_of(execution)
        if execution is not None:
            custom_status = execution.custom_status
        return msgspec.structs.replace(
            row,
            status=status,
            output=output,
            failure=failure,
            custom_status=custom_status,
            updated_us=draft.at_us if draft.incoming else row.updated_us,
            next_seq=row.next_seq + 1 if draft.incoming else row.next_seq,
            has_work=bool(self._open_tasks),
            attempts=0,
            stalled=None,
        )

    def __repr__(self) -> str:
        name = "no instance" if self._row is None else f"workflow '{self._row.name}'"
        return f"<WorkflowActor {self._ref.id} {name}>"


def _status_of(execution: Execution) -> h.Status:
    started = execution.started
    if not execution.begun and not (started is not None and started.continued):
        return h.Status.PENDING
    return h.Status.SUSPENDED if execution.suspended else h.Status.RUNNING


def _parent_of(row: Instance) -> h.Parent | None:
    if row.parent_key is None:
        return None
    assert row.parent_id is not None
    assert row.parent_execution is not None
    assert row.parent_task is not None
    return h.Parent(row.parent_key, row.parent_id, row.parent_execution, row.parent_task)


def _too_long(found: int, unit: str, limit: int) -> str:
    return (
        f"its history has {found} {unit}, the limit is {limit}; "
        "use continue_as_new in long loops, or raise the limit"
    )
