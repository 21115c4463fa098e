"""What an instance waits for that only a person can bring: a worker. An edge module."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from perdure.actors.errors import Fault
from perdure.runtime.workflow.codec import decode_turn
from perdure.runtime.workflow.ports import WorkflowReads
from perdure.runtime.workflow.records import Instance
from perdure.runtime.workflow.restore import open_tasks
from perdure.runtime.workflow.workers.lookout import ACTIVITY_NAME, WORKFLOW_NAME


async def why_waiting(row: Instance, missing: Collection[str], reads: WorkflowReads) -> str | None:
    """Why an instance does not go on, if that is for want of a worker of these names."""
    if not missing or not row.has_work or row.status.is_terminal:
        return None
    if f"{WORKFLOW_NAME}{row.name}" in missing:
        return f"no connected worker runs workflow '{row.name}'"
    found = await reads.history(row.instance_id)
    return None if found is None else _waits_for_activities(found[1], missing)


def _waits_for_activities(history: Sequence[bytes], missing: Collection[str]) -> str | None:
    """Why the activities that an instance waits for are not run, if that is the reason."""
    try:
        tasks = open_tasks([decode_turn(blob) for blob in history])
    except Fault:
        return None  # A damaged history says other things, elsewhere.
    names = sorted({t.name for t in tasks.values() if f"{ACTIVITY_NAME}{t.name}" in missing})
    if not names:
        return None
    shown = ", ".join(f"'{name}'" for name in names)
    return f"no connected worker runs {'activity' if len(names) == 1 else 'activities'} {shown}"
