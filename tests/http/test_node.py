"""Health, metadata and shutdown of a node."""

from __future__ import annotations

from dataclasses import replace
from importlib.metadata import version

import pytest

from perdure.runtime.api.operations import PREFIXES
from tests.http.conftest import Serve
from tests.support.http_server import Server
from tests.support.http_service import FakeNode


@pytest.mark.parametrize("prefix", PREFIXES)
@pytest.mark.parametrize("path", ["/healthz", "/healthz/outbound", "/healthz?appid=shop"])
async def test_a_ready_node_is_healthy(server: Server, prefix: str, path: str) -> None:
    answer = await server.get(prefix + path)
    assert (answer.status, answer.body) == (204, b"")


async def test_a_node_is_not_the_health_of_another_app(server: Server) -> None:
    answer = await server.get("/v1.0/healthz?appid=other")
    assert answer.error == (500, "ERR_HEALTH_APPID_NOT_MATCH", "dapr app-id does not match")


@pytest.mark.parametrize(
    ("unready", "outbound"), [(("app",), 204), (("store",), 500), (("app", "store"), 500)]
)
async def test_a_node_that_is_not_ready_names_what_is_missing(
    fake_server: Server, fake: FakeNode, unready: tuple[str, ...], outbound: int
) -> None:
    fake.now = replace(fake.now, unready=unready)
    answer = await fake_server.get("/v1.0/healthz")
    message = f"dapr is not ready: [{' '.join(unready)}]"
    assert answer.error == (500, "ERR_HEALTH_NOT_READY", message)
    answer = await fake_server.get("/v1.0/healthz/outbound")
    assert answer.status == outbound
    if outbound == 500:
        text = "dapr outbound is not ready"
        assert answer.error == (500, "ERR_OUTBOUND_HEALTH_NOT_READY", text)


@pytest.mark.parametrize("prefix", PREFIXES)
async def test_the_metadata_of_a_node_in_full(fake_server: Server, prefix: str) -> None:
    running = "1.18.0-perdure-0.1.0"
    active = [
        {"type": "dapr.internal.default.shop.activity", "count": 0},
        {"type": "cart", "count": 1},
        {"type": "dapr.internal.default.shop.workflow", "count": 2},
    ]
    answer = await fake_server.get(f"{prefix}/metadata")
    assert answer.status == 200
    assert answer.json == {
        "id": "shop",
        "runtimeVersion": running,
        "enabledFeatures": [],
        "actors": active,
        "components": [],
        "extended": {"daprRuntimeVersion": running},
        "subscriptions": [],
        "httpEndpoints": [],
        "actorRuntime": {
            "runtimeStatus": "RUNNING",
            "activeActors": active,
            "hostReady": True,
            "placement": "placement: connected",
        },
        "workflows": {"connectedWorkers": 1},
        "perdure": {
            "version": "0.1.0",
            "nodeID": "node-1",
            "store": "/data/orders.db",
            "durability": "full",
            "sqliteVersion": "3.51.3",
            "generation": 0,
            "nodes": 1,
            "slots": 0,
            "peers": 0,
            "placementVersion": 0,
        },
    }


async def test_the_metadata_of_a_real_node_is_about_itself(server: Server) -> None:
    await server.given.running("w1")
    found = (await server.get("/v1.0/metadata")).json
    assert found["id"] == "shop"
    assert found["runtimeVersion"] == found["extended"]["daprRuntimeVersion"]
    assert {"type": "dapr.internal.default.shop.workflow", "count": 1} in found["actors"]
    assert found["actorRuntime"]["hostReady"] is True
    facts = found["perdure"]
    assert facts["store"].endswith("shop.db")
    assert (facts["durability"], facts["version"]) == ("normal", version("perdure"))
    assert facts["nodeID"].startswith("shop-")
    assert "degraded" not in facts


async def test_the_metadata_tells_why_a_node_is_degraded(
    fake_server: Server, fake: FakeNode
) -> None:
    fake.now = replace(fake.now, unready=("store",), degraded="the disk is full", hosts_app=False)
    found = (await fake_server.get("/v1.0/metadata")).json
    assert found["perdure"]["degraded"] == "the disk is full"
    assert found["workflows"] == {"connectedWorkers": 0}
    assert found["actorRuntime"]["runtimeStatus"] == "INITIALIZING"
    assert found["actorRuntime"]["placement"] == "placement: disconnected"


async def test_a_metadata_entry_is_added_and_overwritten(fake_server: Server) -> None:
    for text in ("one", "two words"):
        answer = await fake_server.send("PUT", "/v1.0/metadata/my%2Fkey", text)
        assert (answer.status, answer.body) == (204, b"")
        extended = (await fake_server.get("/v1.0/metadata")).json["extended"]
        assert extended.pop("daprRuntimeVersion")
        assert extended == {"my/key": text}


async def test_the_metadata_entries_are_bounded(fake_server: Server) -> None:
    answer = await fake_server.send("PUT", "/v1.0/metadata/k", "x" * 65536)
    assert answer.error[:2] == (400, "ERR_BAD_REQUEST")
    for number in range(128):
        assert (await fake_server.send("PUT", f"/v1.0/metadata/k{number}", "x")).status == 204
    answer = await fake_server.send("PUT", "/v1.0/metadata/one-more", "x")
    assert answer.error[:2] == (400, "ERR_BAD_REQUEST")
    assert (await fake_server.send("PUT", "/v1.0/metadata/k0", "y")).status == 204


@pytest.mark.parametrize("prefix", PREFIXES)
async def test_a_shutdown_is_asked_for(fake_server: Server, fake: FakeNode, prefix: str) -> None:
    for value, force in [("", False), ("true", True), ("TRUE", True), ("1", False)]:
        answer = await fake_server.post(
            f"{prefix}/shutdown", headers={"dapr-force-shutdown": value}
        )
        assert (answer.status, answer.body) == (204, b"")
        assert fake.shutdowns.pop() is force
    await fake_server.post(f"{prefix}/shutdown")
    assert fake.shutdowns == [False]


async def test_a_server_that_has_ended_does_not_listen(serve: Serve) -> None:
    server, _ = await serve(host="localhost")
    assert server.url.startswith("http://127.0.0.1:") or server.url.startswith("http://[::1]:")
    assert (await server.get("/v1.0/healthz")).status == 204
