"""Following one instance to its end, and telling what happens on the way. An edge module."""

from __future__ import annotations

import time

import click

from perdure.actors.errors import Retryable
from perdure.runtime.cli.exits import ExitCode
from perdure.runtime.cli.output import (
    details_of,
    print_json,
    printable,
    state_document,
)
from perdure.runtime.cli.settings import Settings
from perdure.runtime.remote.state import WorkflowState
from perdure.runtime.remote.status import WorkflowStatus
from perdure.runtime.sync_client import SyncWorkflowClient

_LOOK_SECONDS = 2.0
"""How often to look for a new custom status; a change of status is told at once."""


def follow(
    client: SyncWorkflowClient, settings: Settings, instance_id: str, timeout: float | None
) -> ExitCode:
    """Wait for the end; changes go to stderr, the result to stdout. Ctrl-C ends the wait only."""
    try:
        state = _followed(client, instance_id, timeout)
    except KeyboardInterrupt:
        click.echo(f"\nstopped following. {_how_to_go_on(instance_id)}", err=True)
        return ExitCode.INTERRUPTED
    except Retryable:
        click.echo(f"lost sight of '{instance_id}'. {_how_to_go_on(instance_id)}", err=True)
        raise
    if not state.runtime_status.is_terminal:
        click.echo(
            f"workflow '{instance_id}' is still {state.runtime_status} after {timeout:g} s. "
            + _how_to_go_on(instance_id, state.runtime_status),
            err=True,
        )
        return ExitCode.TIMEOUT
    if settings.wants_json:
        print_json(state_document(state))
    elif state.runtime_status is WorkflowStatus.COMPLETED:
        click.echo(state.serialized_output or "null")
    if state.runtime_status is WorkflowStatus.COMPLETED:
        return ExitCode.OK
    reason = details_of(state) if state.failure_details else ""
    ended = f"perdure: workflow '{instance_id}' ended {state.runtime_status}"
    click.echo(f"{ended}: {printable(reason)}" if reason else ended, err=True)
    return ExitCode.FAILED


def _followed(client: SyncWorkflowClient, instance_id: str, timeout: float | None) -> WorkflowState:
    give_up_at = time.monotonic() + timeout if timeout else None
    told: tuple[str, str] | None = None
    status = WorkflowStatus.PENDING
    while True:
        left = _LOOK_SECONDS if give_up_at is None else give_up_at - time.monotonic()
        others = [other for other in WorkflowStatus if other not in (status, "UNKNOWN")]
        state = client.poll_workflow_state(
            instance_id, others, timeout_in_seconds=max(0.0, min(_LOOK_SECONDS, left))
        )
        status = state.runtime_status
        about = state.stalled_reason or state.waiting_reason or state.serialized_custom_status
        now = (str(status), about or "")
        if now != told:
            told = now
            click.echo(" ".join(filter(None, (instance_id, now[0], printable(now[1])))), err=True)
        if status.is_terminal or (give_up_at is not None and time.monotonic() >= give_up_at):
            return state


def _how_to_go_on(instance_id: str, status: WorkflowStatus | None = None) -> str:
    goes_on = "once its code fits again" if status is WorkflowStatus.STALLED else "without you"
    return f"It goes on {goes_on}; to follow it again: perdure workflow wait {instance_id}"
