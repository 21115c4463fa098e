"""One instance while its actor is live: its row, its code, and what a turn makes of both.

An owner module, owned by the instance's actor: events go in by `open_run` and `apply`, and
`conclude` makes the unit of work. What is here runs ahead of the store between a turn and its
commit; if the commit fails, all of it is thrown away with the activation.
"""

from __future__ import annotations

from collections.abc import Container, Sequence

import msgspec

from perdure.actors.identity import ActorRef
from perdure.runtime.workflow import history as h
from perdure.runtime.workflow import messages as m
from perdure.runtime.workflow.codec import encode_turn
from perdure.runtime.workflow.effects import Effects
from perdure.runtime.workflow.execution import START_TIMER, Execution
from perdure.runtime.workflow.executor import ContinuedAsNew, Executor
from perdure.runtime.workflow.failure import workflow_not_registered
from perdure.runtime.workflow.own_history import OwnHistory
from perdure.runtime.workflow.records import (
    ChangeKind,
    Instance,
    StoredWorkflow,
    WorkflowChange,
)
from perdure.runtime.workflow.restore import Stalled, restore, run_of, too_long, worker_run_of
from perdure.runtime.workflow.row_after import change_of, row_after, row_of_run
from perdure.runtime.workflow.run_spans import RunSpans
from perdure.runtime.workflow.surroundings import Surroundings
from perdure.runtime.workflow.turn import GONE, TurnDraft
from perdure.runtime.workflow.turn_log import tell_turn
from perdure.runtime.workflow.workers.execution import WorkerExecution
from perdure.runtime.workflow.workers.work import TURN, TurnDecided

_SEEN_MAX = 1000
"""Request ids that a run hands on to the next one."""


class LiveInstance:
    """Owned by one workflow actor."""

    def __init__(
        self, around: Surroundings, ref: ActorRef, slot: int, row: Instance | None
    ) -> None:
        self._around = around
        self._ref = ref
        self._slot = slot
        self.row = row
        self.committed = row
        """The row as the store has it, before the turn that is being decided."""
        self.execution: Executor | None = None
        self.open_tasks: set[int] = set()
        """Activities that have not answered; of a finished instance those that nobody awaits."""
        self.seen: dict[str, None] = {}
        """Request ids of the events that were accepted, oldest first."""
        self.stalled: str | None = None
        self._lost: dict[int, h.TaskScheduled] = {}
        """Activities that had not answered before a load: nobody may be running them any more."""
        self._is_of_worker = False
        self._is_unplaced = False
        """It is stalled for something else than its code."""
        self._spans = None if around.tracer is None else RunSpans(around.tracer, ref)
        self._own = OwnHistory()
        self.events = 0
        self.bytes = 0
        self.last_turn_us = 0

    def close(self) -> None:
        if self.execution is not None:
            self.execution.close()
            self.execution = None

    # ---- coming to life

    def restore(self, stored: StoredWorkflow, draft: TurnDraft) -> None:
        row = stored.row
        found = restore(stored, self._around)
        if isinstance(found, Stalled):
            if row.status.is_terminal:
                draft.touched = True  # An end is final: what nobody waits for is given up.
            else:
                self.stall(found.reason)
            return
        self.execution = found.execution
        self._is_of_worker = isinstance(found.execution, WorkerExecution)
        if self._spans is not None:
            self._spans.recall(found.execution, stored.history)
        self._own.restore(found.turns)
        self.open_tasks, self._lost = set(found.open_tasks), found.open_tasks
        self.seen = found.seen_requests
        self.events, self.bytes = found.events, found.bytes
        self.last_turn_us = found.last_turn_us
        draft.at_us = max(draft.at_us, found.last_turn_us)
        self.stalled = None
        self.check_length()
        if self.stalled is not None or row.status is not h.Status.STALLED:
            return
        if found.execution is not None and found.execution.undecided:
            # Whether a worker can go on by now, only its answer will say.
            self.stalled = row.stalled
        else:
            draft.touched = True  # The right code is back: the status has to say so.

    @property
    def is_offered(self) -> bool:
        """Whether it is stalled as far as is known, and a worker is asked whether it has to be."""
        return self.stalled is not None and self.execution is not None and self.execution.undecided

    def check_length(self) -> None:
        """Stall an instance whose history has grown beyond what can be replayed in good time."""
        config = self._around.config
        if self.execution is None:
            return
        if self.events >= config.history_events_max:
            self.stall(too_long(self.events, "events", config.history_events_max))
        elif self.bytes >= config.history_bytes_max:
            self.stall(too_long(self.bytes, "bytes", config.history_bytes_max))

    def _count(self, events: int) -> None:
        before, warn = self.events, self._around.config.history_events_warn
        self.events += events
        if before < warn <= self.events:
            self._around.warn_of_length(self._ref.id, self.events)

    def stall(self, reason: str, *, until_moved: bool = False) -> None:
        """Stop at this point, with nothing written but the reason.

        `until_moved`: not for what its code is: whatever comes to the node may change it.
        """
        self._is_unplaced = until_moved
        self.close()
        if self.committed is None or self.committed.stalled != reason:
            self._around.log.error(
                "a workflow instance is stalled",
                extra={"event": "stalled", "instance_id": self._ref.id, "reason": reason},
            )
        self.stalled = reason

    def dispatch_again(self, draft: TurnDraft, unread: Container[str]) -> None:
        """After a load, or a stall, tell activities again whose answer is not even `unread`."""
        row = self.row
        if not self._lost or row is None or self.stalled is not None:
            return
        lost, self._lost = self._lost, {}
        effects = self.effects(row, draft)  # One for all: it keeps the history that goes with them.
        for task_id, event in lost.items():
            is_answered = f"task:{row.key}:{row.execution}:{task_id}" in unread
            if task_id in self.open_tasks and not (is_answered or draft.is_new_run):
                effects.run_activity(event, again=True)

    # ---- the code

    def begun(self, event: h.ExecutionStarted, at_us: int) -> h.ExecutionStarted:
        """The beginning of a run, with the ids of its span if spans are made."""
        return event if self._spans is None else self._spans.open(event, at_us)

    def open_run(
        self,
        event: h.ExecutionStarted,
        draft: TurnDraft,
        request_id: str | None,
        carried: Sequence[h.EventRaised] = (),
    ) -> None:
        """Begin a run: the first of a new instance, or the next one under its id."""
        around, before = self._around, self.row
        definition = around.registry.workflow(event.name, event.version)
        is_elsewhere = definition is None and bool(around.elsewhere(event.name))
        if before is not None:
            self.close()
            draft.begin_again()
        if definition is not None:
            event = msgspec.structs.replace(event, version=definition.version)
        key = around.keys.take() if before is None else before.key
        row = self.row = row_of_run(before, event, draft, request_id, key=key)
        self.open_tasks = set()
        self._own.begin()
        self.seen = dict.fromkeys(event.seen_requests)
        self.events = self.bytes = 0
        event = self.begun(event, draft.at_us)
        if is_elsewhere:
            # As a start whose time has not come: what runs it is to be found at the next load.
            draft.incoming.append(msgspec.structs.replace(event, scheduled_us=draft.at_us))
            draft.set_timer(row.execution, START_TIMER, draft.at_us)
            draft.decision.reload = draft.ends_after = True
            return
        if definition is None and not around.has_workers():
            draft.incoming.append(event)
            failure = workflow_not_registered(event.name)
            self._end(h.ExecutionCompleted(h.Status.FAILED, None, failure), draft)
            return
        self._is_of_worker = definition is None
        if definition is None:
            self.execution = WorkerExecution(worker_run_of(row))
        else:
            self.execution = Execution(run_of(row, definition, around))
        self.apply(event, draft)
        if event.scheduled_us is not None and not draft.is_over:
            draft.set_timer(row.execution, START_TIMER, event.scheduled_us)
        for raised in carried:
            if not draft.is_over:
                self.apply(raised, draft)

    def apply(self, event: h.Incoming, draft: TurnDraft) -> None:
        execution = self.execution
        assert execution is not None
        if not draft.is_open:
            execution.begin_turn(draft.at_us, is_replaying=False)
            draft.is_open = True
        draft.incoming.append(event)
        execution.apply(event)
        self._see_outcome(execution, draft)

    def is_of_this_run(self, answer: m.Completion | m.Undeliverable) -> bool:
        row = self.row
        return row is not None and (row.key, row.execution) == (answer.key, answer.execution)

    def decide(self, decided: TurnDecided, draft: TurnDraft) -> None:
        """A worker has decided the next turn. It counts only if it is the next one indeed."""
        execution, row = self.execution, self.row
        assert isinstance(execution, WorkerExecution)
        assert row is not None
        objection = execution.objection(decided)
        if objection is not None:
            self.stall(objection)
            return
        if self.stalled is not None:
            self.stalled = None
            draft.touched = True
        draft.decided = execution.decide(decided, draft.at_us)
        self.effects(row, draft).terminate(decided.terminations, decided.covers)
        self._see_outcome(execution, draft)

    def _see_outcome(self, execution: Executor, draft: TurnDraft) -> None:
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
        self, execution: Executor, again: ContinuedAsNew, draft: TurnDraft
    ) -> None:
        row, started = self.row, execution.started
        assert row is not None
        assert started is not None
        draft.runs += 1
        many = draft.runs >= self._around.config.continue_as_new_max
        event = h.ExecutionStarted(
            row.name,
            again.input,
            again.version,
            started.parent,
            # So many runs in one turn would keep all others waiting: the next one begins as a
            # delayed start does, due now.
            draft.at_us if many else None,
            tuple(self.seen)[-_SEEN_MAX:],
            True,
            started.tags,
            started.context,
            started.propagated,
        )
        if self._spans is not None:
            self._spans.end(draft)
        carried = (*again.carried, *execution.held_events())
        draft.clear_timers(row.execution, execution.open_timers())
        self.open_run(event, draft, None, carried)

    def _end(self, completed: h.ExecutionCompleted, draft: TurnDraft) -> None:
        """The instance is finished: tell its parent, and end its children if it was terminated."""
        row, execution = self.row, self.execution
        assert row is not None
        draft.is_over = True
        draft.outgoing.append(completed)
        if row.parent is not None:
            draft.tell_end(row.parent, completed)
        if execution is None:
            return
        if isinstance(execution, WorkerExecution) and draft.decided is None:
            draft.decided = execution.end_by_engine(draft.at_us)
        draft.clear_timers(row.execution, execution.open_timers())
        if execution.terminated is not None and execution.terminated.recursive:
            cascade = m.Terminate(execution.terminated, ignore_missing=True)
            for child in execution.open_children():
                target = ActorRef(m.WORKFLOW, child.instance_id)
                message_id = f"terminate:{row.key}:{row.execution}"
                draft.send(target, message_id, cascade, app_id=child.app_id)

    # ---- the end of a turn

    def conclude(self, draft: TurnDraft) -> None:
        row, committed = self.row, self.committed
        if draft.is_deleted:
            assert row is not None
            assert committed is not None
            self.close()
            change = WorkflowChange(ChangeKind.DELETE, row, committed.execution, committed.next_seq)
            draft.conclude(row, change)
            draft.decision.announcement = GONE
            self.row = self.committed = None
            draft.decision.passivate = True
        elif row is None:
            draft.conclude(None, None)
            draft.decision.passivate = True
        elif draft.created is not None:
            draft.conclude(row, draft.created)
        elif self.stalled is not None:
            self._conclude_stalled(row, draft)
        elif draft.has_events:
            self._conclude_turn(row, draft)
        elif draft.touched:
            self._conclude_row(row_after(row, draft, self.execution, self.open_tasks), draft)
        else:
            draft.conclude(row, None)
            draft.decision.passivate = row.status.is_terminal and not self.open_tasks
        self._ask_worker(draft)

    def effects(self, row: Instance, draft: TurnDraft) -> Effects:
        """What carries out what the code has asked for."""
        started = None if self.execution is None else self.execution.started
        return Effects(draft, row, self._around.app_id, started, self._own)

    def _ask_worker(self, draft: TurnDraft) -> None:
        """Have the next turn decided, if a worker has to. Told twice it is done once."""
        execution, target = self.execution, ActorRef(TURN, self._ref.id)
        if self._is_of_worker and (draft.is_over or draft.is_deleted or draft.decided):
            # Also after a decision: it may be one that the owner before this one has asked for.
            draft.decision.sends.append((target, None))
        if execution is not None and execution.undecided and not draft.decision.reload:
            assert isinstance(execution, WorkerExecution)
            draft.decision.sends.append((target, execution.work()))

    def _conclude_stalled(self, row: Instance, draft: TurnDraft) -> None:
        if row.status is h.Status.STALLED and row.stalled == self.stalled:
            draft.conclude(row, None)
        else:
            status, reason = h.Status.STALLED, self.stalled
            row = msgspec.structs.replace(row, status=status, stalled=reason, has_work=False)
            self._conclude_row(row, draft)
        # Where the code is elsewhere it comes back there: this is then read afresh.
        passivate = self._is_of_worker or self._is_unplaced
        draft.decision.passivate = passivate and self.execution is None

    def _conclude_row(self, row: Instance, draft: TurnDraft) -> None:
        """Write the row alone: no event happened."""
        committed = self.committed
        assert committed is not None
        change = WorkflowChange(ChangeKind.UPDATE, row, committed.execution, committed.next_seq)
        self.row = self.committed = row
        draft.conclude(row, change)
        draft.decision.passivate = row.status.is_terminal and not self.open_tasks

    def _conclude_turn(self, row: Instance, draft: TurnDraft) -> None:
        execution, committed = self.execution, self.committed
        patches: tuple[str, ...] = ()
        code = ""
        if execution is not None:
            if not draft.is_over:
                draft.outgoing.extend(execution.take_commands())
            draft.clear_timers(row.execution, execution.take_cancelled_timers())
            patches, code = execution.take_new_patches(), execution.code_hash
        turn = h.Turn(
            draft.at_us,
            tuple(draft.incoming),
            tuple(draft.outgoing),
            code,
            patches,
            draft.decided,
        )
        if not self._own.add(turn, execution):
            draft.is_void = True
            return
        self.open_tasks.update(self.effects(row, draft).carry_out(draft.outgoing))
        if self._spans is not None:
            self._spans.conclude(draft, execution)
        if draft.is_over and execution is not None and execution.terminated is not None:
            self.open_tasks.clear()  # Their results are wanted by nobody.
        tell_turn(self._around.log, row.instance_id, row.name, turn)
        blob = encode_turn(turn)
        self._count(1 + len(turn.incoming) + len(turn.outgoing))
        self.bytes += len(blob)
        self.last_turn_us = draft.at_us
        written = row_after(row, draft, self.execution, self.open_tasks)
        self.row = self.committed = written
        draft.conclude(written, change_of(committed, written, draft, blob, row.next_seq))
        if draft.is_over:
            self.close()
            draft.decision.passivate = not self.open_tasks

    def __repr__(self) -> str:
        name = "no instance" if self.row is None else f"workflow '{self.row.name}'"
        return f"<LiveInstance {self._ref.id} {name}>"
