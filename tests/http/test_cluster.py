"""The cluster's status, draining a node, and what the metadata say of a node's place in it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from perdure.placement.membership import NodeState
from perdure.runtime.api.operations import PREFIXES
from perdure.runtime.api.ports import ClusterStatus, NodeFacts
from tests.http.conftest import Serve
from tests.support.http_server import Server
from tests.support.http_service import FakeNode

HERE = NodeFacts(
    node_id="shop-11",
    pid=11,
    address="http://127.0.0.1:3500",
    peer_address="127.0.0.1:40001",
    app_id="shop",
    state=NodeState.UP,
    generation=3,
    slots=128,
    activations=0,
    activities_running=2,
    activities_waiting=0,
    lease_age_seconds=0.25,
    workflows=("order",),
    activities=("charge", "pack"),
    is_self=True,
)
SILENT = NodeFacts(
    node_id="shop-12",
    pid=12,
    address="http://127.0.0.1:3500",
    peer_address="127.0.0.1:40002",
    app_id="shop",
    state=NodeState.DRAINING,
    generation=4,
    slots=0,
    activities=("charge",),
    missing=("order", "pack"),
)
CLUSTER = ClusterStatus(
    cluster_id="c1",
    version=7,
    lease_seconds=5.0,
    nodes=(HERE, SILENT),
    missing_workers=("workflow:ship",),
)


@pytest.mark.parametrize("prefix", PREFIXES)
async def test_the_status_of_a_cluster_in_full(
    fake_server: Server, fake: FakeNode, prefix: str
) -> None:
    fake.members = CLUSTER
    answer = await fake_server.get(f"{prefix}/cluster")
    assert answer.status == 200
    assert answer.json == {
        "clusterId": "c1",
        "version": 7,
        "leaseSeconds": 5.0,
        "missingWorkers": ["workflow:ship"],
        "nodes": [
            {
                "nodeId": "shop-11",
                "pid": 11,
                "address": "http://127.0.0.1:3500",
                "peerAddress": "127.0.0.1:40001",
                "appId": "shop",
                "state": "up",
                "generation": 3,
                "slots": 128,
                "activations": 0,
                "activitiesRunning": 2,
                "activitiesWaiting": 0,
                "leaseAgeSeconds": 0.25,
                "workflows": ["order"],
                "activities": ["charge", "pack"],
                "missing": [],
                "self": True,
            },
            {
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
                "missing": ["order", "pack"],
                "self": False,
            },
        ],
    }


@pytest.mark.parametrize("prefix", PREFIXES)
async def test_a_node_is_drained(fake_server: Server, fake: FakeNode, prefix: str) -> None:
    fake.members = CLUSTER
    answer = await fake_server.post(f"{prefix}/cluster/nodes/shop-12/drain")
    assert (answer.status, answer.json) == (202, {})
    assert fake.drained == ["shop-12"]


async def test_a_node_that_is_not_there_cannot_be_drained(
    fake_server: Server, fake: FakeNode
) -> None:
    fake.members = CLUSTER
    answer = await fake_server.post("/v1.0/cluster/nodes/shop-13/drain")
    assert answer.error == (404, "ERR_NODE_NOT_FOUND", "no node 'shop-13' is in this cluster")
    assert fake.drained == []


async def test_a_node_that_does_not_answer_may_be_asked_again(
    fake_server: Server, fake: FakeNode
) -> None:
    fake.members = CLUSTER
    fake.unreachable = True
    answer = await fake_server.post("/v1.0/cluster/nodes/shop-12/drain")
    text = "error draining node 'shop-12': node-2 did not answer"
    assert answer.error == (503, "ERR_DRAIN_NODE", text)
    assert answer.headers["Retry-After"] == "1"


@pytest.mark.parametrize(
    ("method", "target"), [("GET", "/cluster"), ("POST", "/cluster/nodes/shop-12/drain")]
)
async def test_the_cluster_is_guarded_by_the_token(serve: Serve, method: str, target: str) -> None:
    server, node = await serve(tokens=("secret",))
    node.members = CLUSTER
    assert (await server.send(method, f"/v1.0{target}")).status == 401
    assert node.drained == []
    answer = await server.send(method, f"/v1.0{target}", headers={"dapr-api-token": "secret"})
    assert answer.status in (200, 202)


async def test_the_metadata_tell_a_nodes_place_in_the_cluster(
    fake_server: Server, fake: FakeNode
) -> None:
    fake.now = replace(
        fake.now,
        cluster_id="c1",
        generation=3,
        nodes=2,
        slots=128,
        peers=1,
        placement_version=7,
        missing=("refund",),
    )
    found = (await fake_server.get("/v1.0/metadata")).json["perdure"]
    assert {
        "clusterId": "c1",
        "generation": 3,
        "nodes": 2,
        "slots": 128,
        "peers": 1,
        "placementVersion": 7,
        "missing": ["refund"],
    }.items() <= found.items()


async def test_two_servers_share_a_port_if_they_are_told_to(serve: Serve) -> None:
    first, _ = await serve(reuse_port=True)
    port = int(first.url.rpartition(":")[2])
    second, _ = await serve(reuse_port=True, port=port)
    assert second.url == first.url
    with pytest.raises(OSError, match="in use"):
        await serve(port=port)
