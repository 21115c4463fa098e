"""An instance that begins with the past of another one comes to be. A value module.

All in one commit: its row, the history that it takes over, and the activities, timers and children
that this history waits for. Its code is brought to where that history ends as after any load; code
that is not there, or asks for something else, leaves a stalled instance.
"""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from perdure.actors.messages import Delivery
from perdure.runtime.workflow import history as h
from perdure.runtime.workflow import messages as m
from perdure.runtime.workflow.codec import decode_turn, encode_turn
from perdure.runtime.workflow.errors import InstanceCreatedBefore
from perdure.runtime.workflow.execution import Execution
from perdure.runtime.workflow.live_instance import LiveInstance
from perdure.runtime.workflow.records import (
    ChangeKind,
    Instance,
    StoredWorkflow,
    WorkflowChange,
    starts_after,
)
from perdure.runtime.workflow.row_after import row_after
from perdure.runtime.workflow.surroundings import Surroundings
from perdure.runtime.workflow.turn import TurnDraft


@dataclass(frozen=True, slots=True)
class Opening:
    """Of a fork, under the id of one actor."""

    around: Surroundings
    live: LiveInstance

    def take(self, message: m.OpenFork, delivery: Delivery, draft: TurnDraft) -> None:
        """Answers the id; or `InstanceCreatedBefore`, if it is that of any instance."""
        row = self.live.row
        if row is None:
            row = self._create(message, draft)
            draft.ends_after = True
        elif message.request_id not in (row.start_requests or "").split("\n"):
            draft.reply(delivery, InstanceCreatedBefore(row.instance_id))
            return
        draft.reply(delivery, row.instance_id)

    def _create(self, message: m.OpenFork, draft: TurnDraft) -> Instance:
        live, around = self.live, self.around
        past = (self._begun(message.past[0], draft.at_us), *message.past[1:])
        row = Instance(
            key=around.keys.take(),
            instance_id=draft.ref.id,
            slot=draft.slot,
            name=message.name,
            version=message.version,
            status=h.Status.RUNNING,
            created_us=draft.at_us,
            updated_us=draft.at_us,
            execution=1,
            next_seq=len(past),
            start_requests=starts_after(None, message.request_id),
        )
        live.restore(StoredWorkflow(row, list(enumerate(past))), draft)
        asked = [event for event in message.asked if self._is_awaited(event)]
        live.effects(row, draft).carry_out(asked)
        row = row_after(row, draft, live.execution, live.open_tasks)
        if live.stalled is not None:
            row = msgspec.structs.replace(row, status=h.Status.STALLED, stalled=live.stalled)
        live.row = live.committed = row
        draft.created = WorkflowChange(ChangeKind.CREATE, row, past=past)
        return row

    def _begun(self, first: bytes, at_us: int) -> bytes:
        """The first row of the history, with the ids of the span of this run if it has one."""
        if self.around.tracer is None:
            return first
        turn = decode_turn(first)
        started, *others = turn.incoming
        assert isinstance(started, h.ExecutionStarted)
        began = self.live.begun(started, at_us)
        return encode_turn(msgspec.structs.replace(turn, incoming=(began, *others)))

    def _is_awaited(self, event: h.Outgoing) -> bool:
        """Not what would answer to nobody. After a stall, activities are told of anew."""
        code = self.live.execution
        match event:
            case h.TaskScheduled():
                return self.live.stalled is None
            case h.TimerCreated() if isinstance(code, Execution):
                # It may have been cancelled, which stands in no history.
                return code.due(event.task_id) is not None
        return True
