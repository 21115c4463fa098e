"""Who may call: tokens, hosts, origins."""

from __future__ import annotations

import pytest

from tests.http.conftest import Serve
from tests.support.http_server import Server

OPEN = ["/v1.0/healthz", "/v1.0-beta1/healthz/outbound", "//v1.0//healthz/"]
CLOSED = [
    ("GET", "/v1.0/workflows/dapr/w1"),
    ("GET", "/v1.0/workflows/dapr"),
    ("GET", "/v1.0/workflows/dapr/w1/history"),
    ("POST", "/v1.0/workflows/dapr/order/start"),
    ("POST", "/v1.0-alpha1/workflows/dapr/w1/terminate"),
    ("GET", "/v1.0/metadata"),
    ("PUT", "/v1.0/metadata/key"),
    ("POST", "/v1.0/shutdown"),
    ("GET", "/openapi.json"),
    ("POST", "/v1.0/healthz"),
    ("GET", "/v1.0/healthz/other"),
    ("GET", "/nothing"),
]
WRONG = [None, "", "secre", "secret1", "SECRET", "s€cret", "\x80"]


@pytest.mark.parametrize(("method", "path"), CLOSED)
async def test_without_the_token_nothing_is_told_and_nothing_is_done(
    serve: Serve, method: str, path: str
) -> None:
    server, node = await serve(tokens=("secret",))
    for token in WRONG:
        headers = {} if token is None else {"dapr-api-token": token}
        answer = await server.send(method, path, headers=headers)
        assert (answer.status, answer.body) == (401, b"invalid api token\n"), token
        assert answer.headers["Content-Type"].startswith("text/plain")
    assert not node.service.calls
    assert not node.shutdowns


@pytest.mark.parametrize("path", OPEN)
async def test_the_health_needs_no_token(serve: Serve, path: str) -> None:
    server, _ = await serve(tokens=("secret",))
    for token in [*WRONG, "secret"]:
        headers = {} if token is None else {"dapr-api-token": token}
        assert (await server.get(path, headers)).status == 204, token


@pytest.mark.parametrize("name", ["dapr-api-token", "Dapr-Api-Token"])
@pytest.mark.parametrize("token", ["old", "new"])
async def test_each_of_two_tokens_is_good(serve: Serve, name: str, token: str) -> None:
    server, _ = await serve(tokens=("old", "new"))
    await server.given.running("w1")
    assert (await server.get("/v1.0/workflows/dapr/w1", {name: token})).status == 200
    assert (await server.get("/nothing", {name: token})).status == 404


@pytest.mark.parametrize(
    "host",
    ["localhost", "LOCALHOST:3500", "127.0.0.1", "127.0.0.1:80", "[::1]", "[::1]:3500"],
)
async def test_a_local_host_name_may_be_used(server: Server, host: str) -> None:
    assert (await server.get("/v1.0/metadata", {"Host": host})).status == 200


@pytest.mark.parametrize(
    "host",
    ["evil.example", "evil.example:3500", "localhost.evil.example", "127.0.0.1.evil.example", ""],
)
@pytest.mark.parametrize("path", ["/v1.0/metadata", "/v1.0/healthz", "/nothing"])
async def test_a_foreign_host_name_on_loopback_is_refused(
    server: Server, path: str, host: str
) -> None:
    status, code, message = (await server.get(path, {"Host": host})).error
    assert (status, code) == (403, "ERR_FORBIDDEN")
    assert repr(host) in message


async def test_a_foreign_host_name_may_be_allowed(serve: Serve) -> None:
    server, _ = await serve(allowed_hosts=frozenset({"My.Laptop"}))
    assert (await server.get("/v1.0/metadata", {"Host": "my.laptop:3500"})).status == 200


async def test_with_a_token_any_host_and_origin_is_good(serve: Serve) -> None:
    server, _ = await serve(tokens=("secret",))
    headers = {"Host": "shop.example", "Origin": "https://a.example", "dapr-api-token": "secret"}
    assert (await server.get("/v1.0/metadata", headers)).status == 200


async def test_a_node_that_listens_everywhere_has_no_host_name_of_its_own(serve: Serve) -> None:
    server, _ = await serve(host="0.0.0.0")
    local = Server(server.url.replace("0.0.0.0", "127.0.0.1"), server.given, server.session)
    assert (await local.get("/v1.0/metadata", {"Host": "shop.example"})).status == 200
    headers = {"Host": "shop.example", "Origin": "https://evil.example"}
    assert (await local.get("/v1.0/metadata", headers)).error[0] == 403


@pytest.mark.parametrize("origin", ["https://evil.example", "http://localhost:1", "null", ""])
async def test_a_page_of_another_origin_may_not_call(server: Server, origin: str) -> None:
    headers = {"Origin": origin, "Host": "localhost:3500"}
    answer = await server.post("/v1.0/workflows/dapr/order/start?instanceID=w1", headers=headers)
    assert answer.error[:2] == (403, "ERR_FORBIDDEN")
    assert (await server.get("/v1.0/workflows/dapr/w1")).status == 404


async def test_a_page_of_the_same_origin_may_call(server: Server) -> None:
    headers = {"Origin": "http://localhost:3500", "Host": "localhost:3500"}
    assert (await server.get("/v1.0/metadata", headers)).status == 200
