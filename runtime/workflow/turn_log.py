"""What `--log-level debug` says of each turn: what came in, and what came of it. An edge module."""

from __future__ import annotations

import logging

from perdure.runtime.workflow import history as h


def tell_turn(log: logging.Logger, instance_id: str, workflow: str, turn: h.Turn) -> None:
    """Of a turn that is on its way into the store."""
    if not log.isEnabledFor(logging.DEBUG):
        return
    told = {"came": turn.incoming, "asked": turn.outgoing}
    fields = {what: [_described(one) for one in events] for what, events in told.items() if events}
    log.debug(
        "a workflow takes a turn",
        extra={
            "event": "turn_taken",
            "instance_id": instance_id,
            "workflow": workflow,
            **fields,
        },
    )


def _described(event: h.Incoming | h.Outgoing) -> str:
    parts = [type(event).__name__]
    if not isinstance(event, h.EventSent | h.DetachedWorkflowInstanceCreated):
        task_id = getattr(event, "task_id", None)
        parts += [] if task_id is None else [str(task_id)]
    name = getattr(event, "name", None)
    parts += [] if name is None else [name]
    return " ".join(parts)
