"""Whether an id that has been used may be used again. A value module."""

from __future__ import annotations

from perdure.runtime.workflow.errors import (
    ChildNotFinished,
    InstanceExists,
    InstanceNotUnique,
    InstanceStalled,
)
from perdure.runtime.workflow.messages import StartWorkflow
from perdure.runtime.workflow.records import Instance


def refusal_of_start(
    row: Instance, message: StartWorkflow, stalled: str | None, open_child: str | None
) -> Exception | None:
    """Why a start under the id of `row` is refused; None if it is not (spec 1.3).

    `stalled` says why the instance cannot go on; `open_child` names a child that has not finished.
    """
    if stalled is not None:
        return InstanceStalled(row.instance_id, stalled)
    if not row.status.is_terminal:
        return InstanceExists(row.instance_id)
    if message.unique:
        return InstanceNotUnique(row.instance_id)
    if open_child is not None:
        return ChildNotFinished(row.instance_id, open_child)
    return None
