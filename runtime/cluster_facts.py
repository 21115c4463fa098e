"""What there is to say of the nodes of a cluster. A value module."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgpack

from perdure.placement.membership import ClusterView, NodeRecord
from perdure.placement.wire import NotUnderstood
from perdure.runtime.api.ports import NodeFacts
from perdure.runtime.workflow.registry import Registry
from perdure.runtime.workflow.workers.work import WORKERS

STATUS, DRAIN = b"status", b"drain"
"""What nodes ask of each other; told without a body, they look at the rows."""


def hosted_by(registry: Registry, *, serves_workers: bool = False) -> tuple[str, ...]:
    """What a node's code offers, as it stands in `nodes.hosted_types`."""
    workflows = {f"workflow:{definition.name}" for definition in registry.workflows()}
    activities = {f"activity:{definition.name}" for definition in registry.activities()}
    return (*sorted(workflows), *sorted(activities), *([WORKERS] if serves_workers else []))


def missing_on(node: NodeRecord, view: ClusterView) -> tuple[str, ...]:
    """The names of what other nodes of a node's app have and it lacks."""
    return tuple(hosted.partition(":")[2] for hosted in view.missing_on(node))


def facts_of(
    node: NodeRecord, view: ClusterView, own_words: Mapping[str, Any], *, is_self: bool
) -> NodeFacts:
    """A node as its row shows it, with what it says of itself, if it said anything."""
    identity = node.identity
    table = view.table(node.app_id)
    return NodeFacts(
        node_id=node.node_id,
        pid=identity.pid,
        address=identity.address,
        peer_address=identity.peer_address,
        app_id=node.app_id,
        state=node.state,
        generation=node.generation,
        slots=0 if table is None else len(table.owned_by(*node.membership)),
        activations=own_words.get("activations"),
        activities_running=own_words.get("running"),
        activities_waiting=own_words.get("waiting"),
        lease_age_seconds=own_words.get("lease_age"),
        workflows=_names(identity.hosted_types, "workflow"),
        activities=_names(identity.hosted_types, "activity"),
        missing=missing_on(node, view),
        is_self=is_self,
    )


def encode_words(words: Mapping[str, Any]) -> bytes:
    """What a node says of itself."""
    packed: bytes = msgpack.packb(dict(words))
    return packed


def decode_words(body: bytes) -> dict[str, Any]:
    """Raises `NotUnderstood`."""
    try:
        found = msgpack.unpackb(body)
    except (ValueError, msgpack.UnpackException) as error:
        raise NotUnderstood(f"what a node says of itself cannot be read: {error}") from error
    if not isinstance(found, dict):
        raise NotUnderstood("what a node says of itself has another form")
    return found


def _names(hosted: Sequence[str], kind: str) -> tuple[str, ...]:
    found = [name.partition(":") for name in hosted]
    return tuple(name for its_kind, _, name in found if its_kind == kind)
