"""What the commands of a turn become: messages and reminders of its commit. A value module."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from perdure.actors.identity import ActorRef
from perdure.runtime.workflow import history as h
from perdure.runtime.workflow import messages as m
from perdure.runtime.workflow.own_history import OwnHistory
from perdure.runtime.workflow.propagation import Caller, handed_on, turns_of_call
from perdure.runtime.workflow.records import Instance
from perdure.runtime.workflow.restore import worker_run_of
from perdure.runtime.workflow.targets import no_app
from perdure.runtime.workflow.turn import TurnDraft
from perdure.runtime.workflow.workers.execution import is_for_ever
from perdure.runtime.workflow.workers.work import Termination


@dataclass(frozen=True, slots=True)
class Effects:
    """Of one turn of one instance."""

    draft: TurnDraft
    row: Instance
    app_id: str
    started: h.ExecutionStarted | None
    own: OwnHistory
    """For the calls that the run's history goes with."""
    _made: dict[tuple[int, int], bytes] = field(default_factory=dict)
    """What went with the calls, by turn and scope: they are many, and it is long."""

    def carry_out(self, asked: Sequence[h.Outgoing]) -> set[int]:
        """Put them all into the draft. Returns the activities that are to answer."""
        draft, row, tasks = self.draft, self.row, set()
        for event in asked:
            match event:
                case (
                    h.TaskScheduled()
                    | h.ChildWorkflowInstanceCreated()
                    | h.DetachedWorkflowInstanceCreated()
                ) if problem := no_app(event.app_id):
                    # Code in a worker names what it likes; local code was refused before.
                    self._fail(event, problem)
                case h.TaskScheduled():
                    tasks.add(event.task_id)
                    self.run_activity(event)
                case h.TimerCreated():
                    if not draft.is_over and not is_for_ever(event):
                        draft.set_timer(row.execution, event.task_id, event.fire_at_us)
                case h.ChildWorkflowInstanceCreated():
                    draft.start(row, event, self._child(event))
                case h.DetachedWorkflowInstanceCreated():
                    draft.start(row, event, self._detached(event))
                case h.EventSent():
                    request_id = f"sent:{row.key}:{row.execution}:{event.task_id}"
                    raised = m.RaiseEvent(event.name, event.data, request_id)
                    draft.send(ActorRef(m.WORKFLOW, event.instance_id), request_id, raised)
                case h.ExecutionCompleted():
                    pass
        return tasks

    def run_activity(self, event: h.TaskScheduled, *, again: bool = False) -> None:
        """`again` if it was told before, by another activation perhaps."""
        trace = None if self.started is None else self.started.context
        self.draft.run_activity(
            self.row,
            event,
            self._own_app(event.app_id),
            again=again,
            trace=trace,
            propagated=self._handed_on(event),
        )

    def _fail(self, event: h.Outgoing, problem: str) -> None:
        """Let a call fail that nobody can ever answer; of a detached one nobody hears."""
        row, failure = self.row, h.Failure("ValueError", problem, non_retryable=True)
        failed: h.TaskFailed | h.ChildWorkflowInstanceFailed
        match event:
            case h.TaskScheduled(task_id):
                kind, failed = "task", h.TaskFailed(task_id, failure)
            case h.ChildWorkflowInstanceCreated(task_id):
                kind, failed = "child", h.ChildWorkflowInstanceFailed(task_id, failure)
            case _:
                return
        answer = m.Completion(row.key, row.execution, failed)
        message_id = f"{kind}:{row.key}:{row.execution}:{task_id}"
        self.draft.send(ActorRef(m.WORKFLOW, row.instance_id), message_id, answer)

    def _handed_on(self, event: h.TaskScheduled | h.ChildWorkflowInstanceCreated) -> bytes | None:
        if not event.propagation:
            return None
        turns = self.own.turns
        count = turns_of_call(turns, event.task_id)
        known = self._made.get((count, event.propagation))
        if known is None:
            row = self.row
            caller = Caller(self.app_id, row.instance_id, worker_run_of(row).execution_id, row.name)
            known = handed_on(caller, turns[:count], event.propagation)
            self._made[count, event.propagation] = known
        return known

    def terminate(self, others: Iterable[Termination], number: int) -> None:
        """End other instances; `number` tells this turn from the others of its run."""
        for other in others:
            message = m.Terminate(
                h.ExecutionTerminated(other.reason, other.recursive), ignore_missing=True
            )
            message_id = f"terminate:{self.row.key}:{self.row.execution}:{number}"
            self.draft.send(ActorRef(m.WORKFLOW, other.instance_id), message_id, message)

    def _child(self, event: h.ChildWorkflowInstanceCreated) -> h.ExecutionStarted:
        row = self.row
        parent = h.Parent(
            row.key, row.instance_id, row.execution, event.task_id, self._own_app(event.app_id)
        )
        trace = None if self.started is None else self.started.context
        return h.ExecutionStarted(
            event.name,
            event.input,
            event.version,
            parent,
            trace=trace,
            propagated=self._handed_on(event),
        )

    def _detached(self, event: h.DetachedWorkflowInstanceCreated) -> h.ExecutionStarted:
        return h.ExecutionStarted(
            event.name,
            event.input,
            event.version,
            scheduled_us=event.scheduled_us,
            tags=event.tags,
            trace=None if self.started is None else self.started.context,
        )

    def _own_app(self, target_app: str | None) -> str | None:
        """The app that an answer is to come back to, if what is asked is of another one."""
        return None if target_app is None else self.app_id
