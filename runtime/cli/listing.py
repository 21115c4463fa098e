"""Lists of instances and of events, printed. An edge module."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from itertools import zip_longest

import click

from perdure.runtime.cli.output import (
    details_of,
    event_details,
    event_document,
    exact_time,
    local_time,
    print_json,
    print_table,
    state_document,
)
from perdure.runtime.cli.settings import Settings
from perdure.runtime.remote.state import HistoryEvent, ListFilter, WorkflowState
from perdure.runtime.remote.status import WorkflowStatus
from perdure.runtime.sync_client import SyncWorkflowClient

_TURN_BEGINS = "WorkflowStarted"
"""Dapr's mark of a turn, not of a workflow."""


def show_instances(
    client: SyncWorkflowClient, chosen: ListFilter, limit: int | None, settings: Settings
) -> None:
    """At most `limit` instances, and on stderr whether there are more."""
    shown, more = _instances(client, chosen, limit)
    if settings.wants_json:
        print_json({"instances": [state_document(state) for state in shown], "more": more})
        return
    if not shown:
        click.echo("no workflow instances", err=True)
        return
    print_table(
        ("INSTANCE", "WORKFLOW", "STATUS", "CREATED", "UPDATED", "DETAILS"),
        [
            (
                state.instance_id,
                state.name,
                str(state.runtime_status),
                local_time(state.created_at),
                local_time(state.last_updated_at),
                details_of(state),
            )
            for state in shown
        ],
    )
    if more:
        click.echo(f"the first {limit} are shown; --limit N or --all shows more", err=True)


def _instances(
    client: SyncWorkflowClient, chosen: ListFilter, limit: int | None
) -> tuple[list[WorkflowState], bool]:
    """The first ones, and whether there are more; reads no page that is not needed."""
    found: list[WorkflowState] = []
    cursor: str | None = None
    while True:
        page = client.list_page(chosen, cursor)
        found += page.instances
        cursor = page.cursor
        if cursor is None or (limit is not None and len(found) >= limit):
            return found[:limit], cursor is not None or len(found) > (limit or len(found))


def show_counts(counts: Mapping[WorkflowStatus, int], settings: Settings) -> None:
    if settings.wants_json:
        print_json({"counts": {str(status): number for status, number in counts.items()}})
        return
    rows = [(str(status), str(number)) for status, number in sorted(counts.items())]
    print_table(("STATUS", "COUNT"), [*rows, ("total", str(sum(counts.values())))])


def show_events(events: Sequence[HistoryEvent], settings: Settings) -> None:
    if settings.wants_json:
        print_json({"events": [event_document(event) for event in events]})
        return
    # Whole: each value in the last column is short.
    print_table(("TURN", "TIME", "ID", "EVENT", "DETAILS"), _rows(events), cell_max=sys.maxsize)


def _rows(events: Sequence[HistoryEvent]) -> Iterator[tuple[str, ...]]:
    """A row for each event; that a turn begins is said by its number at the first one.

    The mark of its beginning has a row of its own only if it tells more than that.
    """
    turn, number = 0, ""
    for event, following in zip_longest(events, events[1:]):
        if event.type == _TURN_BEGINS:
            turn += 1
            number = str(turn)
            if not event.details and following is not None and following.type != _TURN_BEGINS:
                continue
        yield (
            number,
            exact_time(event.timestamp),
            str(event.event_id) if event.event_id >= 0 else "",
            event.type,
            event_details(event.details),
        )
        number = ""
