"""One workflow instance as a virtual actor. An owner module.

A turn takes messages, turns them into events, runs the code over them and comes to a `Decision`:
one history row, the changed `workflows` row, messages to other instances, activities to dispatch.
After a crash at any line, taking the same messages again gives the same history.
"""

from __future__ import annotations

from collections.abc import Sequence

from perdure.actors.messages import Delivery, Quarantine, ReminderDue, Wake
from perdure.actors.ports import InboxRow, Snapshot
from perdure.actors.unit_of_work import Decision
from perdure.runtime.workflow import history as h
from perdure.runtime.workflow import messages as m
from perdure.runtime.workflow.errors import InstanceNotFound, InstanceStalled, NotCompleted
from perdure.runtime.workflow.executor import Executor, due_before
from perdure.runtime.workflow.failure import instance_already_exists
from perdure.runtime.workflow.late_answers import LateAnswers, id_of_answer
from perdure.runtime.workflow.live_instance import LiveInstance
from perdure.runtime.workflow.open_fork import Opening
from perdure.runtime.workflow.readmission import refusal_of_start
from perdure.runtime.workflow.records import StoredWorkflow
from perdure.runtime.workflow.resumes import OpenResumes
from perdure.runtime.workflow.surroundings import Surroundings
from perdure.runtime.workflow.turn import TurnDraft, timer_of
from perdure.runtime.workflow.undelivered import stop_for
from perdure.runtime.workflow.workers.execution import WorkerExecution
from perdure.runtime.workflow.workers.work import TurnDecided


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
        """What was loaded, until a turn has ended without a stall."""
        self._is_awake = False
        self._unread = {row.message_id for row in snapshot.inbox}
        """What its inbox held when it was loaded."""
        row = None if self._stored is None else self._stored.row
        self._live = LiveInstance(surroundings, snapshot.ref, slot, row)
        self._kept: dict[str, Delivery] = {}
        """Durable messages that wait in the inbox for the end of a stall."""
        self._late = LateAnswers()
        self._resumes = OpenResumes()

    def decide(self, batch: Sequence[Delivery], now_us: int) -> Decision:
        """One turn over the waiting messages."""
        draft = TurnDraft(self._ref, self._slot, self._epoch, max(now_us, self._live.last_turn_us))
        self._wake(draft, batch)
        for index, delivery in enumerate(batch):
            self._take(delivery, draft, now_us)
            if draft.is_deleted or draft.ends_after:
                draft.decision.returned = list(batch[index + 1 :])
                break
            if draft.ends_here:
                draft.give_back(delivery)
                draft.decision.returned = list(batch[index:])
                break
        self._live.dispatch_again(draft, self._unread)
        self._live.conclude(draft)
        if draft.is_void:
            return Decision(returned=list(batch), reload=True)
        if not self._is_awake and draft.decision.announcement is None:
            # What a doubtful commit has changed was announced to nobody.
            draft.decision.announcement = self._live.row
        self._is_awake = True
        if self._live.stalled is None:
            self._stored = None
        return draft.decision

    def name_of_turn(self, batch: Sequence[Delivery]) -> str:
        if self._live.row is not None:
            return self._live.row.name
        starts = [d.body.event.name for d in batch if isinstance(d.body, m.StartWorkflow)]
        return starts[0] if starts else ""

    def close(self) -> None:
        self._live.close()
        self._resumes.give_up(self._ref)

    def _wake(self, draft: TurnDraft, batch: Sequence[Delivery]) -> None:
        """Bring the code to where the history says it is, once per activation."""
        stored = self._stored
        if stored is None or self._is_awake:
            self._live.check_length()
            return
        row = stored.row
        if row.status.is_terminal and not row.has_work:
            return
        if row.attempts > self._around.config.unclean_deaths_max:
            if row.status.is_terminal:
                # An end is final. Nobody waits for the activities that are left; they are given up.
                draft.touched = True
                return
            self._live.stall(
                f"its node died {row.attempts} times while this instance was at work; "
                "see what its activities and its code do, then resume or purge it"
            )
            return
        if batch and isinstance(batch[0].body, Quarantine):
            # Nor is its code brought back: that may be what fails again and again.
            self._live.stall(batch[0].body.reason)
            return
        self._live.restore(stored, draft)

    # ---- messages

    def _take(self, delivery: Delivery, draft: TurnDraft, now_us: int) -> None:
        body = delivery.body
        if delivery.message_id is not None:
            if self._live.stalled is not None:
                self._kept[delivery.message_id] = delivery
                return
            draft.consumed[delivery.message_id] = None
        match body:
            case m.Completion():
                self._complete(body, delivery, draft)
                draft.reply(delivery, None)
            case m.Undeliverable():
                stop_for(body, delivery, self._live, draft)
            case ReminderDue():
                self._reminder(body.name, draft, now_us)
            case m.StartWorkflow():
                self._start(body, delivery, draft)
            case m.OpenFork():
                Opening(self._around, self._live).take(body, delivery, draft)
            case m.RaiseEvent():
                self._raise_event(body, delivery, draft)
            case m.Suspend():
                self._suspend(body, delivery, draft)
            case m.Resume():
                self._resume(body, delivery, draft, now_us)
            case m.Terminate():
                self._terminate(body, delivery, draft)
            case TurnDecided():
                self._decide(body, delivery, draft, now_us)
            case m.Purge():
                self._purge(body, delivery, draft)
            case Quarantine():
                if draft.has_events:
                    draft.ends_here = True
                elif self._live.row is not None and not self._live.row.status.is_terminal:
                    self._live.stall(body.reason)
            case Wake():
                draft.reply(delivery, None)
            case _:
                raise AssertionError(f"unknown message {body!r}")

    def _living(self, delivery: Delivery, draft: TurnDraft) -> Executor | None:
        """The code of an instance that can go on; else the caller gets its answer here."""
        if self._live.row is None:
            draft.reply(delivery, InstanceNotFound(self._ref.id))
        elif self._live.stalled is not None:
            draft.reply(delivery, InstanceStalled(self._ref.id, self._live.stalled))
        elif self._live.row.status.is_terminal or draft.is_over:
            draft.reply(delivery, None)
        else:
            assert self._live.execution is not None
            return self._live.execution
        return None

    def _start(self, message: m.StartWorkflow, delivery: Delivery, draft: TurnDraft) -> None:
        row, event, instance_id = self._live.row, message.event, self._ref.id
        if row is not None:
            if message.request_id in (row.start_requests or "").split("\n"):
                draft.reply(delivery, instance_id)  # The same start, told again.
                return
            if row.status.is_terminal and self._stored is None and not self._live.open_tasks:
                # Whether a child still runs is looked up by a load only; but what nobody waits for
                # would run again by it.
                self._reload(draft)
                return
            open_child = None if self._stored is None else self._stored.open_child
            refusal = refusal_of_start(row, message, self._live.stalled, open_child)
            if refusal is not None:
                draft.reply(delivery, refusal)
                if message.tell_parent and event.parent is not None:
                    failure = instance_already_exists(refusal)
                    refused = h.ChildWorkflowInstanceFailed(event.parent.task_id, failure)
                    draft.tell_parent(event.parent, refused)
                return
            if draft.has_events:
                # The end of the run before belongs into a turn of its own.
                draft.ends_here = True
                return
        draft.reply(delivery, instance_id)
        self._late.forget(draft)
        self._live.open_run(event, draft, message.request_id)

    def _raise_event(self, message: m.RaiseEvent, delivery: Delivery, draft: TurnDraft) -> None:
        row = self._live.row
        if (
            self._live.stalled is not None
            and row is not None
            and row.status is not h.Status.STALLED
        ):
            # The event itself brought the stall to light: nobody could know better than to send
            # it. As in Dapr it is kept for the time after.
            draft.send(self._ref, f"event:{message.request_id}", message)
            draft.reply(delivery, None)
            return
        if self._living(delivery, draft) is None:
            return
        draft.reply(delivery, None)
        if message.request_id not in self._live.seen:
            self._live.seen[message.request_id] = None
            self._live.apply(h.EventRaised(message.name, message.data, message.request_id), draft)

    def _suspend(self, message: m.Suspend, delivery: Delivery, draft: TurnDraft) -> None:
        execution = self._living(delivery, draft)
        if execution is not None:
            draft.reply(delivery, None)
            if not execution.suspended:
                self._live.apply(h.ExecutionSuspended(message.reason), draft)

    def _resume(self, message: m.Resume, delivery: Delivery, draft: TurnDraft, now_us: int) -> None:
        if self._live.stalled is not None and self._live.row is not None:
            self._try_again(delivery, draft, now_us)
        if self._live.is_offered:
            self._resumes.add(message, delivery)
        elif not draft.ends_here:
            self._go_on(message, delivery, draft)

    def _go_on(self, message: m.Resume, delivery: Delivery, draft: TurnDraft) -> None:
        execution = self._living(delivery, draft)
        if execution is not None:
            draft.reply(delivery, None)
            if execution.suspended:
                self._live.apply(h.ExecutionResumed(message.reason), draft)

    def _try_again(self, delivery: Delivery, draft: TurnDraft, now_us: int) -> None:
        """Somebody wants a stalled instance to go on: look at it afresh."""
        stored = self._stored
        if stored is None:
            self._reload(draft)
            return
        self._live.restore(stored, draft)
        if self._live.stalled is None:
            draft.touched = True
            self._take_kept(draft, now_us)

    def _reload(self, draft: TurnDraft) -> None:
        """Have this very message, and the rest, taken again with what is stored."""
        draft.decision.reload = True
        draft.ends_here = True

    def _terminate(self, message: m.Terminate, delivery: Delivery, draft: TurnDraft) -> None:
        if self._live.row is None and message.ignore_missing:
            return
        if draft.decided is not None:
            draft.ends_here = True  # What a worker has decided comes before.
            return
        if self._living(delivery, draft) is not None:
            draft.reply(delivery, None)
            self._live.apply(message.event, draft)

    def _decide(
        self, message: TurnDecided, delivery: Delivery, draft: TurnDraft, now_us: int
    ) -> None:
        """A worker's answer. One that comes too late, or twice, changes nothing."""
        execution = self._live.execution
        if not isinstance(execution, WorkerExecution) or not execution.follows(message):
            draft.reply(delivery, None)
            return
        if draft.has_events and (draft.decided or execution.objection(message)):
            draft.ends_here = True  # A turn that stalls writes no events.
            return
        draft.reply(delivery, None)
        if draft.is_over:
            return
        was_stalled = self._live.stalled is not None
        self._live.decide(message, draft)
        if was_stalled and self._live.stalled is None:
            self._take_kept(draft, now_us)
        for resume, call in self._resumes.take():
            self._go_on(resume, call, draft)

    def _take_kept(self, draft: TurnDraft, now_us: int) -> None:
        """The stall is over: what waited for that comes now."""
        for kept in self._kept.values():
            if isinstance(kept.body, m.Completion) and self._live.is_of_this_run(kept.body):
                draft.at_us = max(draft.at_us, due_before(self._live.execution, kept.body.event))
        for kept in list(self._kept.values()):
            self._take(kept, draft, now_us)
        self._kept.clear()

    def _purge(self, message: m.Purge, delivery: Delivery, draft: TurnDraft) -> None:
        row = self._live.row
        refusal: Exception | None = None
        if row is None or (row.status is h.Status.PENDING and not message.force):
            # Taken again after a commit whose outcome was unknown: it is gone, as was asked.
            refusal = None if delivery.attempts and row is None else InstanceNotFound(self._ref.id)
        elif draft.has_events:
            draft.ends_here = True
            return
        elif not message.force and self._live.stalled is not None:
            refusal = InstanceStalled(row.instance_id, self._live.stalled)
        elif not message.force and not row.status.is_terminal:
            refusal = NotCompleted(row.instance_id)
        else:
            draft.is_deleted = True
            self._drop_kept(draft)
        draft.reply(delivery, refusal)

    def _drop_kept(self, draft: TurnDraft) -> None:
        """What waited for the end of the stall is for nobody now, but for a parent's call."""
        for message_id, kept in self._kept.items():
            if not isinstance(kept.body, m.StartWorkflow):
                draft.consumed[message_id] = None
        self._kept.clear()
        self._late.forget(draft)

    def _complete(self, message: m.Completion, delivery: Delivery, draft: TurnDraft) -> None:
        row, event = self._live.row, message.event
        if row is None or not self._live.is_of_this_run(message):
            return  # Of a run that is over, or of an instance that is gone.
        if self._live.stalled is not None:
            draft.send(self._ref, id_of_answer(message), message)
            return
        if row.status.is_terminal or draft.is_over:
            self._late.take(message, delivery, draft, self._live.open_tasks)
            return
        assert self._live.execution is not None
        if self._live.execution.expects(event.task_id):
            due_us = due_before(self._live.execution, event)
            if draft.is_open and due_us > draft.at_us:
                draft.ends_here = True  # The code has been told an earlier time for this turn.
                return
            draft.at_us = max(draft.at_us, due_us)
            self._live.open_tasks.discard(event.task_id)
            self._live.apply(event, draft)

    def _reminder(self, name: str, draft: TurnDraft, now_us: int) -> None:
        execution_number, task_id = timer_of(name)
        row = self._live.row
        if row is None or row.execution != execution_number or row.status.is_terminal:
            draft.clear_reminder(name)
            return
        fired = h.TimerFired(task_id)
        if self._live.stalled is not None:
            completion = m.Completion(row.key, execution_number, fired)
            draft.send(self._ref, f"timer:{row.key}:{name}", completion)
            draft.clear_reminder(name)
            return
        assert self._live.execution is not None
        due_us = self._live.execution.due(task_id)
        if due_us is None or draft.is_over or not self._live.execution.expects(task_id):
            draft.clear_reminder(name)
        elif due_us <= now_us:  # Not so if the clock was set back; then it is told again.
            draft.clear_reminder(name)
            self._live.apply(fired, draft)

    def __str__(self) -> str:
        """Whose code runs here, for a person."""
        row = self._live.row
        return "none" if row is None else f"workflow '{row.name}'"

    def __repr__(self) -> str:
        return f"<WorkflowActor of {self._live!r}>"
