"""The cluster, as both clients ask for it."""

from __future__ import annotations

from typing import Any

import pytest

from perdure.runtime.remote.cluster import ClusterNode, ClusterStatus
from perdure.runtime.remote.errors import NodeNotFound
from tests.client.conftest import Client, Scripted

SILENT: dict[str, Any] = {
    "nodeId": "shop-12",
    "pid": 12,
    "address": "http://127.0.0.1:3500",
    "peerAddress": "127.0.0.1:40002",
    "appId": "shop",
    "state": "draining",
    "generation": 4,
    "slots": 0,
    "workflows": [],
    "activities": ["charge"],
    "missing": ["order"],
    "self": False,
}
TALKING: dict[str, Any] = SILENT | {
    "activations": 0,
    "activitiesRunning": 2,
    "activitiesWaiting": 1,
    "leaseAgeSeconds": 0.25,
    "self": True,
}


async def test_the_status_of_the_cluster_is_typed(node: Scripted, client: Client) -> None:
    fields = {"clusterId": "c1", "version": 7, "leaseSeconds": 5.0, "nodes": [SILENT, TALKING]}
    node.answers(200, fields)
    silent: dict[str, Any] = {
        "node_id": "shop-12",
        "pid": 12,
        "address": "http://127.0.0.1:3500",
        "peer_address": "127.0.0.1:40002",
        "app_id": "shop",
        "state": "draining",
        "generation": 4,
        "slots": 0,
        "activities": ("charge",),
        "missing": ("order",),
    }
    talking = silent | {
        "activations": 0,
        "activities_running": 2,
        "activities_waiting": 1,
        "lease_age_seconds": 0.25,
        "is_self": True,
    }
    assert await client.call("cluster_status") == ClusterStatus(
        cluster_id="c1",
        version=7,
        lease_seconds=5.0,
        nodes=(ClusterNode(**silent), ClusterNode(**talking)),
    )
    assert (node.seen[0].method, node.seen[0].target) == ("GET", "/v1.0/cluster")


async def test_a_drain_names_the_node_in_the_path(node: Scripted, client: Client) -> None:
    node.answers(202, {})
    await client.call("drain_node", "a/b")
    assert (node.seen[0].method, node.seen[0].target) == (
        "POST",
        "/v1.0/cluster/nodes/a%2Fb/drain",
    )


async def test_a_drain_is_repeated_when_its_answer_is_lost(node: Scripted, client: Client) -> None:
    node.hangs_up()
    node.answers(202, {})
    await client.call("drain_node", "shop-12")
    assert len(node.seen) == 2


async def test_a_node_that_is_not_there_is_an_error_of_its_own(
    node: Scripted, client: Client
) -> None:
    node.answers(404, {"errorCode": "ERR_NODE_NOT_FOUND", "message": "no node 'x'"})
    with pytest.raises(NodeNotFound, match="no node 'x'"):
        await client.call("drain_node", "x")
    with pytest.raises(ValueError, match="the node id"):
        await client.call("drain_node", "")
