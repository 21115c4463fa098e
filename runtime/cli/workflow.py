"""`perdure workflow …`: starting and managing workflows on a node. An edge module.

Only declarations at the top: each command imports what it does when it runs.
"""

from __future__ import annotations

import json
from typing import Any

import click

from perdure.runtime.cli.exits import EPILOG
from perdure.runtime.cli.payloads import moment, payload, payload_options
from perdure.runtime.cli.settings import node_options, settings

_STATUSES = ("RUNNING", "COMPLETED", "FAILED", "TERMINATED", "PENDING", "SUSPENDED", "STALLED")


_timeout_option = click.option(
    "--timeout",
    type=click.FloatRange(min=0, min_open=True),
    metavar="SECONDS",
    help="Wait no longer than this.",
)
_no_children_option = click.option(
    "--no-children", is_flag=True, help="Leave the child workflows as they are."
)


@click.group(epilog=EPILOG)
@node_options
def workflow() -> None:
    """Start and manage workflows on a running node."""


@workflow.command()
@click.argument("name")
@payload_options("input", "the input")
@click.option("--id", "instance_id", metavar="ID", help="Instance id; without it one is made.")
@click.option("--start-at", metavar="TIME", callback=moment, help="Not to run before this time.")
@click.option("--wait", is_flag=True, help="Follow it to its end and print its result.")
@_timeout_option
@node_options
def run(
    name: str,
    wait: bool,
    timeout: float | None,
    **given: Any,
) -> None:
    """Start the workflow NAME and print its instance id.

    With --wait, what happens goes to stderr and the result, as JSON, to stdout. Ctrl-C then ends
    the waiting only; the workflow goes on.
    """
    from perdure.runtime.cli.following import follow
    from perdure.runtime.cli.output import print_json

    if timeout is not None and not wait:
        raise click.UsageError("--timeout needs --wait")
    body = payload(given["input"], given["input_file"], "input")
    with settings().client() as client:
        instance_id = client.schedule_new_workflow(
            name, input=body, instance_id=given["instance_id"], start_at=given["start_at"]
        )
        if wait:
            click.echo(f"started {instance_id}", err=True)
            raise click.exceptions.Exit(follow(client, settings(), instance_id, timeout))
    if settings().wants_json:
        print_json({"instanceID": instance_id})
    else:
        click.echo(instance_id)


@workflow.command()
@click.argument("instance_id", metavar="ID")
@_timeout_option
@node_options
def wait(instance_id: str, timeout: float | None) -> None:
    """Follow an instance to its end and print its result."""
    from perdure.runtime.cli.following import follow

    with settings().client() as client:
        raise click.exceptions.Exit(follow(client, settings(), instance_id, timeout))


@workflow.command()
@click.argument("instance_id", metavar="ID")
@node_options
def get(instance_id: str) -> None:
    """Show one instance."""
    from perdure.runtime.cli.output import print_json, print_state, state_document

    with settings().client() as client:
        state = client.get_workflow(instance_id)
    if settings().wants_json:
        print_json(state_document(state))
    else:
        print_state(state)


@workflow.command("list")
@click.option(
    "--status",
    "statuses",
    multiple=True,
    type=click.Choice(_STATUSES, case_sensitive=False),
    help="Only with this status; may be repeated.",
)
@click.option("--name", metavar="NAME", help="Only instances of this workflow.")
@click.option("--prefix", metavar="TEXT", help="Only ids that begin with this.")
@click.option(
    "--created-from", metavar="TIME", callback=moment, help="Only those created then or later."
)
@click.option(
    "--created-before", metavar="TIME", callback=moment, help="Only those created before then."
)
@click.option("--oldest-first", is_flag=True, help="In the order of creation, not the reverse.")
@click.option(
    "--limit",
    type=click.IntRange(1),
    default=100,
    show_default=True,
    help="Show at most so many.",
)
@click.option("--all", "everything", is_flag=True, help="Show all, however many.")
@click.option("--count", "only_count", is_flag=True, help="Show only how many, by status.")
@node_options
def list_command(
    limit: int, everything: bool, only_count: bool, oldest_first: bool, **chosen: Any
) -> None:
    """List instances, the newest first."""
    from perdure.runtime.cli import listing
    from perdure.runtime.remote.state import ListFilter

    wanted = ListFilter(
        newest_first=not oldest_first,
        page_size=1000 if everything else min(limit, 1000),
        **chosen,
    )
    with settings().client() as client:
        if only_count:
            listing.show_counts(client.count_workflows(wanted), settings())
        else:
            listing.show_instances(client, wanted, None if everything else limit, settings())


@workflow.command()
@click.argument("instance_id", metavar="ID")
@node_options
def history(instance_id: str) -> None:
    """Show the events of an instance's current run, in order."""
    from perdure.runtime.cli import listing

    with settings().client() as client:
        listing.show_events(client.get_workflow_history(instance_id), settings())


@workflow.command("raise-event")
@click.argument("instance_id", metavar="ID")
@click.argument("event_name", metavar="EVENT")
@payload_options("data", "the event's data")
@node_options
def raise_event(instance_id: str, event_name: str, data: str | None, data_file: str | None) -> None:
    """Send an event, which is kept until the workflow waits for it."""
    body = payload(data, data_file, "data")
    with settings().client() as client:
        client.raise_workflow_event(instance_id, event_name, data=body)
    _done(instance_id, f"event '{event_name}' raised on")


@workflow.command()
@click.argument("instance_id", metavar="ID")
@node_options
def suspend(instance_id: str) -> None:
    """Let an instance take no further step until it is resumed."""
    with settings().client() as client:
        client.pause_workflow(instance_id)
    _done(instance_id, "suspended")


@workflow.command()
@click.argument("instance_id", metavar="ID")
@node_options
def resume(instance_id: str) -> None:
    """Let a suspended instance go on, or a stalled one try again."""
    with settings().client() as client:
        client.resume_workflow(instance_id)
    _done(instance_id, "resumed")


@workflow.command()
@click.argument("instance_id", metavar="ID")
@_no_children_option
@node_options
def terminate(instance_id: str, no_children: bool) -> None:
    """End an instance now, and its child workflows."""
    with settings().client() as client:
        client.terminate_workflow(instance_id, recursive=not no_children)
    _done(instance_id, "terminated")


@workflow.command()
@click.argument("instance_id", metavar="ID")
@_no_children_option
@click.option("--force", is_flag=True, help="Whatever its status is; activities may still run.")
@node_options
def purge(instance_id: str, no_children: bool, force: bool) -> None:
    """Delete all of a finished instance and its child workflows."""
    with settings().client() as client:
        client.purge_workflow(instance_id, recursive=not no_children, force=force)
    _done(instance_id, "purged")


def _done(instance_id: str, what: str) -> None:
    if settings().wants_json:
        click.echo(json.dumps({"instanceID": instance_id}))
    else:
        click.echo(f"{what} {instance_id}", err=True)
