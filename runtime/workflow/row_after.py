"""The row of an instance as a run begins with it, and as a turn leaves it. A value module."""

from __future__ import annotations

from collections.abc import Collection

import msgspec

from perdure.runtime.workflow import history as h
from perdure.runtime.workflow.executor import Executor
from perdure.runtime.workflow.records import ChangeKind, Instance, WorkflowChange, starts_after
from perdure.runtime.workflow.turn import TurnDraft


def row_of_run(
    before: Instance | None,
    event: h.ExecutionStarted,
    draft: TurnDraft,
    request_id: str | None,
    *,
    key: int,
) -> Instance:
    """Of a run that begins under the id of `before`, if that is not None."""
    parent = event.parent
    return Instance(
        key=key,
        instance_id=draft.ref.id,
        slot=draft.slot,
        name=event.name,
        version=event.version,
        status=h.Status.PENDING,
        created_us=before.created_us if before and event.continued else draft.at_us,
        updated_us=draft.at_us,
        parent_key=None if parent is None else parent.key,
        parent_id=None if parent is None else parent.instance_id,
        parent_execution=None if parent is None else parent.execution,
        parent_task=None if parent is None else parent.task_id,
        parent_app=None if parent is None else parent.app_id,
        execution=1 if before is None else before.execution + 1,
        next_seq=0,
        start_requests=starts_after(before, request_id),
    )


def row_after(
    row: Instance, draft: TurnDraft, execution: Executor | None, open_tasks: Collection[int]
) -> Instance:
    """`row` was before; `execution` is the live code, None if there is none any more."""
    status, output, failure = row.status, row.output, row.failure
    custom_status = row.custom_status
    if draft.outgoing and isinstance(draft.outgoing[-1], h.ExecutionCompleted):
        completed = draft.outgoing[-1]
        status, output, failure = completed.status, completed.output, completed.failure
    elif execution is not None:
        status = execution.status
    if execution is not None:
        custom_status = execution.custom_status
    return msgspec.structs.replace(
        row,
        status=status,
        output=output,
        failure=failure,
        custom_status=custom_status,
        updated_us=draft.at_us if draft.has_events else row.updated_us,
        next_seq=row.next_seq + 1 if draft.has_events else row.next_seq,
        has_work=bool(open_tasks) or (execution is not None and execution.undecided),
        attempts=0,
        stalled=None,
    )


def change_of(
    committed: Instance | None, written: Instance, draft: TurnDraft, blob: bytes, seq: int
) -> WorkflowChange:
    """What a turn changes in the store: `blob` is its history, number `seq` of the run."""
    return WorkflowChange(
        ChangeKind.CREATE if committed is None else ChangeKind.UPDATE,
        written,
        0 if committed is None else committed.execution,
        0 if committed is None else committed.next_seq,
        blob,
        seq,
        draft.is_new_run,
    )
