"""What the store and the workflow engine tell each other about an instance. A value module."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import IntEnum

import msgspec

from perdure.runtime.workflow.history import Failure, Parent, Status


class Instance(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One row of `workflows`: what is known of an instance without reading its history."""

    key: int
    instance_id: str
    slot: int
    name: str
    version: str | None = None
    status: Status
    created_us: int
    updated_us: int
    custom_status: str | None = None
    output: str | None = None
    failure: Failure | None = None
    parent_key: int | None = None
    parent_id: str | None = None
    parent_execution: int | None = None
    parent_task: int | None = None
    parent_app: str | None = None
    """The parent's app, if it is another one than this instance's."""
    execution: int
    """Counts the runs under this id; part of every message id, compare-and-set and fence."""
    next_seq: int
    """The sequence number of the next history row of this run."""
    has_work: bool = False
    """Activities are in flight: recovery must look at it. Never so while it is stalled."""
    start_requests: str | None = None
    """Request ids of the last starts under this id, newest first, one a line.

    More than one, because a start whose commit was in doubt may be told again after the run that it
    opened has ended and another start has opened the next one.
    """
    attempts: int = 0
    """Unclean deaths of its node since its last committed turn."""
    stalled: str | None = None
    """Why it cannot go on, while its status is STALLED."""

    @property
    def parent(self) -> Parent | None:
        """The call that this instance answers, if it is a child."""
        if self.parent_key is None:
            return None
        assert self.parent_id is not None
        assert self.parent_execution is not None
        assert self.parent_task is not None
        return Parent(
            self.parent_key,
            self.parent_id,
            self.parent_execution,
            self.parent_task,
            self.parent_app,
        )


STARTS_MAX = 8
"""Starts under one id that are recognised when they are told again."""


def starts_after(before: Instance | None, request_id: str | None) -> str | None:
    """`start_requests` of the next run; continue-as-new opens one without a request."""
    known = [] if before is None else (before.start_requests or "").split("\n")
    added = [] if request_id is None else [request_id]
    return "\n".join([*added, *filter(None, known)][:STARTS_MAX]) or None


class ChangeKind(IntEnum):
    CREATE = 0
    UPDATE = 1
    DELETE = 2


@dataclass(slots=True)
class WorkflowChange:
    """The state change of one turn of a workflow actor.

    CREATE inserts the row, which must not exist (by instance id). UPDATE and DELETE compare and
    set: the row must still have `(expected_execution, expected_seq)`. DELETE removes the row, its
    history and its reminders; unread messages stay for whoever has that id next. `turn` is the
    encoded history row, stored at `(row.execution, turn_seq)`. With `drop_history` (the execution
    number has grown) all history rows and reminders of earlier executions are removed first.
    `past` are the first history rows of an instance that is created with a past.
    """

    kind: ChangeKind
    row: Instance
    expected_execution: int = 0
    expected_seq: int = 0
    turn: bytes | None = None
    turn_seq: int = 0
    drop_history: bool = False
    past: Sequence[bytes] = ()


@dataclass(slots=True)
class StoredWorkflow:
    """`Snapshot.state` of a workflow: its row and the history rows of its current execution.

    Terminal instances without work come without history: nothing is ever replayed there.
    `open_child` names a child, direct or indirect, that is not finished (looked up for terminal
    instances only). `damage` says why the row cannot be trusted: only its key, id and position
    are then what they seem; the instance is stalled, and its row must not be written again.
    """

    row: Instance
    history: list[tuple[int, bytes]] = field(default_factory=list)
    open_child: str | None = None
    damage: str | None = None


@dataclass(frozen=True, slots=True)
class Child:
    """A child of an instance, which may be of another app."""

    app_id: str
    row: Instance


@dataclass(frozen=True, slots=True, kw_only=True)
class ListQuery:
    """Which instances to list. Times are microseconds since the epoch."""

    statuses: tuple[Status, ...] = ()
    name: str | None = None
    created_from_us: int | None = None
    created_before_us: int | None = None
    id_prefix: str | None = None
    newest_first: bool = True
    after_key: int | None = None
    """Go on after this key, in the chosen order (the cursor of the page before)."""
    limit: int = 100


@dataclass(frozen=True, slots=True)
class Page:
    """One page of a list; `next_key` is the cursor of the next page, None on the last one."""

    rows: list[Instance]
    next_key: int | None
