"""Printing: tables for people, JSON for programs. An edge module.

What comes from workflows (names, statuses, error texts) may hold anything: control characters are
shown, never sent to the terminal.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

import click

from perdure.runtime.remote.state import HistoryEvent, WorkflowState, rfc3339

_CELL_MAX = 60
_VALUE_MAX = 60
"""Of one field of an event."""
_COLOURS = {
    "COMPLETED": "green",
    "RUNNING": "cyan",
    "PENDING": "blue",
    "SUSPENDED": "yellow",
    "STALLED": "red",
    "FAILED": "red",
    "TERMINATED": "magenta",
    "CANCELED": "magenta",
}


def print_json(document: object) -> None:
    click.echo(json.dumps(document, ensure_ascii=False, indent=2))


def printable(text: str) -> str:
    """`text` on one line, with every control character visible."""
    return "".join(
        character if character.isprintable() else repr(character)[1:-1] for character in text
    )


def print_table(
    headings: Sequence[str], rows: Iterable[Sequence[str]], *, cell_max: int = _CELL_MAX
) -> None:
    """Aligned columns; with colours if rich is installed and somebody looks."""
    cells = [[_shortened(cell, cell_max) for cell in row] for row in rows]
    if not (sys.stdout.isatty() and _print_rich(headings, cells)):
        _print_plain(headings, cells)


def _print_plain(headings: Sequence[str], rows: list[list[str]]) -> None:
    lines = [list(headings), *rows]
    widths = [max(len(line[column]) for line in lines) for column in range(len(headings))]
    for line in lines:
        padded = [cell.ljust(width) for cell, width in zip(line, widths, strict=True)]
        click.echo("  ".join(padded).rstrip())


def _print_rich(headings: Sequence[str], rows: list[list[str]]) -> bool:
    try:
        from rich.console import Console
        from rich.table import Table
        from rich.text import Text
    except ImportError:
        return False
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in headings:
        table.add_column(heading, overflow="fold")
    for row in rows:
        table.add_row(*[Text(cell, style=_COLOURS.get(cell, "")) for cell in row])
    Console().print(table)
    return True


def _shortened(text: str, length: int) -> str:
    shown = printable(text)
    return shown if len(shown) <= length else shown[: length - 1] + "…"


def payload_value(text: str | None) -> Any:
    """The value of a payload; one that is not JSON (Dapr allows it) is its own text."""
    if text is None:
        return None
    try:
        return json.loads(text)
    except ValueError:
        return text


def state_document(state: WorkflowState) -> dict[str, Any]:
    """An instance as JSON, with the names of the HTTP API; fields without a value are left out."""
    failure = state.failure_details
    fields: dict[str, Any] = {
        "instanceID": state.instance_id,
        "workflowName": state.name or None,
        "runtimeStatus": str(state.runtime_status),
        "createdAt": _rfc3339(state.created_at),
        "lastUpdatedAt": _rfc3339(state.last_updated_at),
        "parentInstanceID": state.parent_instance_id,
        "input": payload_value(state.serialized_input),
        "output": payload_value(state.serialized_output),
        "customStatus": payload_value(state.serialized_custom_status),
        "stalledReason": state.stalled_reason,
        "waitingReason": state.waiting_reason,
    }
    if failure is not None:
        fields["failure"] = {
            "errorType": failure.error_type,
            "errorMessage": failure.message,
            "stackTrace": failure.stack_trace,
        }
    return {name: value for name, value in fields.items() if value is not None}


def print_state(state: WorkflowState) -> None:
    """One instance for people, one fact a line."""
    failure = state.failure_details
    facts = {
        "instance": state.instance_id,
        "workflow": state.name,
        "status": str(state.runtime_status),
        "created": local_time(state.created_at),
        "updated": local_time(state.last_updated_at),
        "input": state.serialized_input,
        "output": state.serialized_output,
        "custom status": state.serialized_custom_status,
        "stalled": state.stalled_reason,
        "waiting": state.waiting_reason,
        "failure": failure and f"{failure.error_type}: {failure.message}",
    }
    width = max(map(len, facts)) + 2
    for name, value in facts.items():
        if value:
            click.echo(f"{name.ljust(width)}{printable(value)}")
    if failure is not None and failure.stack_trace:
        for line in failure.stack_trace.rstrip().splitlines():
            click.echo(f"  {printable(line)}")


def details_of(state: WorkflowState) -> str:
    """What is most worth knowing of an instance besides its status."""
    if state.failure_details is not None:
        return f"{state.failure_details.error_type}: {state.failure_details.message}"
    return state.stalled_reason or state.waiting_reason or state.serialized_custom_status or ""


def event_document(event: HistoryEvent) -> dict[str, Any]:
    return {
        "eventId": event.event_id,
        "timestamp": _rfc3339(event.timestamp),
        "type": event.type,
        **event.details,
    }


def event_details(details: Mapping[str, Any]) -> str:
    """The fields of an event in a row, `name=value`; a long value leaves room for the others."""
    shown = {
        name: value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        for name, value in details.items()
    }
    return " ".join(f"{name}={_shortened(value, _VALUE_MAX)}" for name, value in shown.items())


def local_time(moment: datetime | None) -> str:
    """A time for people: in their zone, to the second."""
    return "" if moment is None else moment.astimezone().strftime("%Y-%m-%d %H:%M:%S")


def exact_time(moment: datetime | None) -> str:
    """The same to the millisecond: steps may be short."""
    return "" if moment is None else moment.astimezone().isoformat(" ", "milliseconds")[:23]


def _rfc3339(moment: datetime | None) -> str | None:
    return None if moment is None else rfc3339(moment)
