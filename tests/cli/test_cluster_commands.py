"""`perdure cluster …` against a scripted node."""

from __future__ import annotations

import json
from typing import Any

from tests.cli.conftest import Perdure, Scripted

HERE: dict[str, Any] = {
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
    "activities": ["charge"],
    "missing": [],
    "self": True,
}
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
    "missing": ["order", "pa\x1bck"],
    "self": False,
}
CLUSTER: dict[str, Any] = {
    "version": 7,
    "leaseSeconds": 5.0,
    "nodes": [HERE, SILENT],
    "missingWorkers": ["workflow:ship"],
}


def test_the_status_is_a_table_with_what_is_missing_below(node: Scripted, perdure: Perdure) -> None:
    node.answers(200, CLUSTER)
    result = perdure("cluster", "status")
    assert (result.exit_code, node.seen) == (0, [("GET /v1.0/cluster", "")])
    head, first, second, lacks, missing = result.stdout.splitlines()
    assert head.split() == [
        *("NODE", "PID", "ADDRESS", "APP", "STATE", "SLOTS", "ACTIVATIONS", "LEASE")
    ]
    assert first.split() == [
        *("shop-11", "*", "11", "http://127.0.0.1:3500", "shop", "up", "128", "0"),
        *("0.2", "of", "5", "s"),
    ]
    assert second.split() == [
        *("shop-12", "12", "http://127.0.0.1:3500", "shop", "draining", "0", "-"),
        *("-", "of", "5", "s"),
    ]
    assert lacks == "shop-12 lacks order, pa\\x1bck"
    assert missing == "no connected worker runs workflow:ship"


def test_the_status_as_json_is_that_of_the_api(node: Scripted, perdure: Perdure) -> None:
    node.answers(200, {**CLUSTER, "clusterId": "c1"})
    result = perdure("cluster", "status", "-o", "json")
    assert json.loads(result.stdout) == {**CLUSTER, "clusterId": "c1"}


def test_a_node_is_drained_by_its_id(node: Scripted, perdure: Perdure) -> None:
    result = perdure("cluster", "drain", "shop-12")
    assert (result.exit_code, result.stdout, result.stderr) == (0, "", "draining shop-12\n")
    assert node.seen == [("POST /v1.0/cluster/nodes/shop-12/drain", "")]
    assert json.loads(perdure("cluster", "drain", "shop-12", "-o", "json").stdout) == {
        "nodeId": "shop-12"
    }


def test_a_node_that_is_not_there_has_exit_code_3(node: Scripted, perdure: Perdure) -> None:
    text = "no node 'shop-13' is in this cluster"
    node.answers(404, {"errorCode": "ERR_NODE_NOT_FOUND", "message": text})
    result = perdure("cluster", "drain", "shop-13")
    assert result.exit_code == 3
    assert text in result.stderr
    assert "perdure cluster status" in result.stderr
