"""All that descends from an instance, of whatever app. An edge module."""

from __future__ import annotations

from perdure.runtime.workflow.errors import NotCompleted
from perdure.runtime.workflow.ports import WorkflowReads
from perdure.runtime.workflow.records import Child, Instance


async def descendants_of(root: Instance, reads: WorkflowReads, *, force: bool) -> list[Child]:
    """Children and theirs, parents before their children.

    Raises `NotCompleted` if a child is still to begin, unless it is to be done by `force`.
    """
    found: list[Child] = []
    keys = [root.key]
    for key in keys:
        # In this order: a child that begins in between is among the children.
        unborn = await reads.unborn(key)
        if unborn is not None and not force:
            raise NotCompleted(unborn)
        children = await reads.children(key)
        found += children
        keys += [child.row.key for child in children]
    return found
