"""`perdure cluster …`: the nodes of a cluster, as one of them sees them. An edge module.

Only declarations at the top: each command imports what it does when it runs.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

from perdure.runtime.cli.exits import EPILOG
from perdure.runtime.cli.settings import node_options, settings

if TYPE_CHECKING:
    from perdure.runtime.remote.cluster import ClusterNode, ClusterStatus

_HEADINGS = ("NODE", "PID", "ADDRESS", "APP", "STATE", "SLOTS", "ACTIVATIONS", "LEASE")


@click.group(epilog=EPILOG)
@node_options
def cluster() -> None:
    """Look at the nodes of a cluster, and drain one."""


@cluster.command()
@node_options
def status() -> None:
    """Show the nodes of the cluster.

    ACTIVATIONS are the instances that are live on a node. LEASE is how long ago it renewed its
    lease, and how long that lasts. The node that has answered is marked `*`. A `-` stands for what
    a node did not answer in time.
    """
    from perdure.runtime.cli.output import print_json, print_table, printable

    with settings().client() as client:
        found = client.cluster_status()
    if settings().wants_json:
        print_json(_document(found))
        return
    print_table(_HEADINGS, [_row(node, found.lease_seconds) for node in found.nodes])
    for node in found.nodes:
        if node.missing:
            click.echo(printable(f"{node.node_id} lacks {', '.join(node.missing)}"))
    if found.missing_workers:
        click.echo(printable(f"no connected worker runs {', '.join(found.missing_workers)}"))


@cluster.command()
@click.argument("node_id", metavar="NODE")
@node_options
def drain(node_id: str) -> None:
    """Have a node hand over its work to the others and end.

    Running activities get the time of its --drain. It is not started again, by --workers neither.
    """
    with settings().client() as client:
        client.drain_node(node_id)
    if settings().wants_json:
        click.echo(json.dumps({"nodeId": node_id}))
    else:
        click.echo(f"draining {node_id}", err=True)


def _row(node: ClusterNode, lease_seconds: float) -> list[str]:
    age = "-" if node.lease_age_seconds is None else f"{node.lease_age_seconds:.1f}"
    return [
        node.node_id + (" *" if node.is_self else ""),
        str(node.pid),
        node.address,
        node.app_id,
        node.state,
        str(node.slots),
        "-" if node.activations is None else str(node.activations),
        f"{age} of {lease_seconds:g} s",
    ]


def _document(found: ClusterStatus) -> dict[str, object]:
    """The cluster as JSON, as in the HTTP API."""
    document: dict[str, object] = {
        "clusterId": found.cluster_id,
        "version": found.version,
        "leaseSeconds": found.lease_seconds,
        "nodes": [_node_document(node) for node in found.nodes],
        "missingWorkers": list(found.missing_workers),
    }
    return {name: value for name, value in document.items() if value is not None}


def _node_document(node: ClusterNode) -> dict[str, object]:
    fields: dict[str, object] = {
        "nodeId": node.node_id,
        "pid": node.pid,
        "address": node.address,
        "peerAddress": node.peer_address,
        "appId": node.app_id,
        "state": node.state,
        "generation": node.generation,
        "slots": node.slots,
        "activations": node.activations,
        "activitiesRunning": node.activities_running,
        "activitiesWaiting": node.activities_waiting,
        "leaseAgeSeconds": node.lease_age_seconds,
        "workflows": list(node.workflows),
        "activities": list(node.activities),
        "missing": list(node.missing),
        "self": node.is_self,
    }
    return {name: value for name, value in fields.items() if value is not None}
