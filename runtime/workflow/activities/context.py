"""What an activity may know about the call that it answers. A value module."""

from __future__ import annotations

import logging

from perdure.runtime.workflow.messages import RunActivity
from perdure.runtime.workflow.propagated_history import PropagatedHistory


class ActivityContext:
    """Handed to an activity as its first argument, if it takes two."""

    __slots__ = ("_message", "logger")

    def __init__(self, message: RunActivity, log: logging.Logger) -> None:
        self._message = message
        self.logger = log

    @property
    def workflow_id(self) -> str:
        """The id of the workflow instance that called."""
        return self._message.instance_id

    @property
    def workflow_name(self) -> str:
        return self._message.workflow_name

    @property
    def activity_name(self) -> str:
        return self._message.name

    @property
    def task_id(self) -> int:
        """The number of the call in the workflow's history."""
        return self._message.task_id

    @property
    def task_execution_id(self) -> str:
        """The same over all retries and repeats of one call: use it as an idempotency key."""
        return self._message.execution_id

    def get_propagated_history(self) -> PropagatedHistory | None:
        """The history of its callers that came with the call; None if none did."""
        return PropagatedHistory.of(self._message.propagated)

    def __repr__(self) -> str:
        return f"<ActivityContext {self.activity_name} for {self.workflow_id}>"
