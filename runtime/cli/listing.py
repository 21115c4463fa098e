"""Lists of instances and of events, printed. An edge module."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import click

from perdure.runtime.cli.output import (
    details_of,
    event_details,
    event_document,
    local_time,
    print_json,
    print_table,
    state_document,
)
from perdure.runtime.cli.settings import Settings
from perdure.runtime.remote.state import HistoryEvent, ListFilter, WorkflowState
from perdure.runtime.remote.status import WorkflowStatus
from perdure.runtime.sync_client import SyncWorkflowClient


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
    print_table(
        ("TIME", "ID", "EVENT", "DETAILS"),
        [
            (
                local_time(event.timestamp),
                str(event.event_id) if event.event_id >= 0 else "",
                event.type,
                event_details(event.details),
            )
            for event in events
        ],
    )
