"""Answers that come after the end of their instance. An owner module.

Not in the history, which is closed, but in the inbox it is kept that they have come: whoever loads
the instance then must not have the activities run again. Once all have come, nothing is kept.
"""

from __future__ import annotations

from perdure.actors.messages import Delivery
from perdure.runtime.workflow.messages import Completion
from perdure.runtime.workflow.turn import TurnDraft


class LateAnswers:
    """Owned by the actor of the instance."""

    def __init__(self) -> None:
        self._kept: dict[str, None] = {}

    def take(
        self, message: Completion, delivery: Delivery, draft: TurnDraft, open_tasks: set[int]
    ) -> None:
        """An answer that nobody waits for; `open_tasks` are those that have none yet."""
        message_id = id_of_answer(message)
        if message.event.task_id not in open_tasks and message_id not in self._kept:
            return
        open_tasks.discard(message.event.task_id)
        if open_tasks:
            self._kept[message_id] = None
            if delivery.message_id is not None:
                draft.give_back(delivery)
            else:
                draft.send(draft.ref, message_id, message)
            return
        draft.touched = True
        self.forget(draft)

    def forget(self, draft: TurnDraft) -> None:
        """They are wanted no longer."""
        draft.consumed.update(self._kept)
        self._kept.clear()


def id_of_answer(message: Completion) -> str:
    """Of the message in the inbox, the same however often the answer comes."""
    return f"task:{message.key}:{message.execution}:{message.event.task_id}"
