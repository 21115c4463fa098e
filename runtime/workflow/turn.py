"""What gathers while a turn is being decided, and how it becomes a unit of work. A value module."""

from __future__ import annotations

from collections.abc import Iterable

from perdure.actors.identity import ActorRef
from perdure.actors.messages import Delivery
from perdure.actors.unit_of_work import Decision, Outgoing, UnitOfWork
from perdure.runtime.workflow import history as h
from perdure.runtime.workflow import messages as m
from perdure.runtime.workflow.records import Instance, WorkflowChange

GONE = object()
"""Announced when an instance has been purged."""


def timer_name(execution: int, task_id: int) -> str:
    """The name of the reminder behind a timer."""
    return f"{execution}:{task_id}"


def timer_of(name: str) -> tuple[int, int]:
    """(execution number, task id) of a timer's reminder."""
    execution, _, task_id = name.partition(":")
    return int(execution), int(task_id)


class TurnDraft:
    """One turn in the making. Nothing in it has happened yet."""

    def __init__(self, ref: ActorRef, slot: int, epoch: int, at_us: int) -> None:
        self.decision = Decision()
        self.at_us = at_us
        self.incoming: list[h.Incoming] = []
        self.outgoing: list[h.Outgoing] = []
        self.decided: h.Decided | None = None
        """What a worker's decision, of which `outgoing` comes, was made on."""
        self.consumed: dict[str, None] = {}
        self.runs = 0
        """Runs that continue-as-new has opened in this turn."""
        self.is_over = False
        """The instance has come to its end in this turn."""
        self.is_open = False
        """The code has been told the time of this turn."""
        self.is_new_run = False
        self.ends_here = False
        """This message and all further ones belong into another turn."""
        self.ends_after = False
        """No further message may be taken in this turn."""
        self.touched = False
        """The instance's row has changed apart from its history."""
        self.is_deleted = False
        self.created: WorkflowChange | None = None
        """The instance comes to be with a past, by this change."""
        self.is_void = False
        """Nothing of it counts: its messages are taken again with what the store has."""
        self._unit = UnitOfWork(ref, slot, epoch, 0)

    @property
    def ref(self) -> ActorRef:
        return self._unit.ref

    @property
    def slot(self) -> int:
        return self._unit.slot

    @property
    def has_events(self) -> bool:
        """Whether there is something to be written into the history."""
        return bool(self.incoming) or self.decided is not None

    def reply(self, delivery: Delivery, answer: object) -> None:
        """Answer a call after the commit; a tell has nobody to answer."""
        if delivery.reply is not None:
            self.decision.replies.append((delivery.reply, answer))

    def give_back(self, delivery: Delivery) -> None:
        """The message is not taken in this turn after all."""
        if delivery.message_id is not None:
            self.consumed.pop(delivery.message_id, None)

    def send(
        self,
        target: ActorRef,
        message_id: str,
        message: m.DurableMessage,
        *,
        app_id: str | None = None,
    ) -> None:
        """A durable message to another workflow, of another app perhaps, or to the same one."""
        self._unit.outbox.append(Outgoing(target, message_id, m.encode(message), message, app_id))

    def run_activity(
        self,
        caller: Instance,
        event: h.TaskScheduled,
        caller_app: str | None,
        *,
        again: bool = False,
        trace: h.Trace | None = None,
        propagated: bytes | None = None,
    ) -> None:
        """Have an activity run after the commit; `caller_app` if it is one of another app."""
        message = m.RunActivity(
            caller.instance_id,
            caller.key,
            caller.execution,
            event.task_id,
            event.name,
            event.input,
            event.execution_id,
            event.timeout_ms,
            caller.name,
            again,
            event.app_id,
            caller_app,
            event.version,
            None if trace is None else trace.parent,
            propagated,
            None if trace is None else trace.state,
        )
        target = ActorRef(m.ACTIVITY, f"{caller.instance_id}::{event.task_id}")
        self.decision.sends.append((target, message))

    def tell_parent(
        self,
        parent: h.Parent,
        event: h.ChildWorkflowInstanceCompleted | h.ChildWorkflowInstanceFailed,
    ) -> None:
        """The end of a child, or its refusal, to the workflow that called it."""
        self.send(
            ActorRef(m.WORKFLOW, parent.instance_id),
            f"child:{parent.key}:{parent.execution}:{parent.task_id}",
            m.Completion(parent.key, parent.execution, event),
            app_id=parent.app_id,
        )

    def tell_end(self, parent: h.Parent, completed: h.ExecutionCompleted) -> None:
        """The same, as a child's run has ended."""
        task_id = parent.task_id
        if completed.status is h.Status.COMPLETED:
            self.tell_parent(parent, h.ChildWorkflowInstanceCompleted(task_id, completed.output))
        else:
            self.tell_parent(parent, h.ChildWorkflowInstanceFailed(task_id, completed.failure))

    def start(
        self,
        caller: Instance,
        command: h.ChildWorkflowInstanceCreated | h.DetachedWorkflowInstanceCreated,
        event: h.ExecutionStarted,
    ) -> None:
        """Start another workflow: a child, if `event` names a parent."""
        # By key, not by id: after a purge the same id makes the same calls once more.
        call = f"{caller.key}:{caller.execution}:{command.task_id}"
        message = m.StartWorkflow(event, call, tell_parent=event.parent is not None)
        target = ActorRef(m.WORKFLOW, command.instance_id)
        self.send(target, f"start:{call}", message, app_id=command.app_id)

    def set_timer(self, execution: int, task_id: int, due_us: int) -> None:
        self._unit.reminders_set.append((timer_name(execution, task_id), due_us))

    def clear_timers(self, execution: int, task_ids: Iterable[int]) -> None:
        unit = self._unit
        names = [timer_name(execution, task_id) for task_id in task_ids]
        unit.reminders_cleared.extend(names)
        if unit.reminders_set:  # What this very turn has set would be written after the clearing.
            unit.reminders_set = [kept for kept in unit.reminders_set if kept[0] not in names]

    def clear_reminder(self, name: str) -> None:
        self._unit.reminders_cleared.append(name)

    def begin_again(self) -> None:
        """Drop what the run before had caused in this turn: its history goes with it."""
        self.incoming.clear()
        self.outgoing.clear()
        self.decided = None
        self._unit.reminders_set.clear()
        self.is_open = False
        self.is_new_run = True

    def conclude(self, row: Instance | None, change: WorkflowChange | None) -> None:
        """Make the unit of work, if there is anything to write."""
        unit = self._unit
        unit.consumed = list(self.consumed)
        unit.change = change
        if row is not None:
            unit.key = row.key
        if change is not None:
            unit.size = 0 if change.turn is None else len(change.turn)
            unit.size += sum(map(len, change.past))
            if not self.is_deleted:
                self.decision.announcement = row
        elif not (unit.consumed or unit.outbox or unit.reminders_cleared):
            return
        self.decision.unit = unit
