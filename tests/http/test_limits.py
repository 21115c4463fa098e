"""What is odd, too much, too slow or no HTTP at all."""

from __future__ import annotations

import asyncio
import gzip
import json
import re

import aiohttp
import pytest
from aiohttp import web
from yarl import URL

from perdure.runtime.api.app import create_app
from tests.http.conftest import Serve
from tests.support.http_server import Server
from tests.support.http_service import FakeNode

BASE = "/v1.0/workflows/dapr"
START = f"{BASE}/order/start?instanceID=w1"
TOO_LARGE = "failed to read request body: http: request body too large (the limit is 1000 bytes)"


def head(target: str, *lines: str, method: str = "POST") -> bytes:
    first = f"{method} {target} HTTP/1.1\r\nHost: localhost\r\n"
    return (first + "".join(f"{line}\r\n" for line in lines) + "\r\n").encode()


async def test_a_body_of_the_largest_size_is_taken(serve: Serve) -> None:
    server, node = await serve(body_bytes_max=1000)
    assert (await server.post(START, b"x" * 1000)).status == 202
    assert node.service.views["w1"].input == "x" * 1000


@pytest.mark.parametrize("path", ["order/start", "w1/raiseEvent/paid", "w1/pause", "w1/purge"])
@pytest.mark.parametrize("size", [1001, 300_000])
async def test_a_larger_body_is_refused(serve: Serve, path: str, size: int) -> None:
    server, _ = await serve(body_bytes_max=1000)
    answer = await server.post(f"{BASE}/{path}", b" " * size)
    assert answer.error == (400, "ERR_BODY_READ", TOO_LARGE)


async def test_a_larger_body_is_refused_before_it_is_sent(serve: Serve) -> None:
    server, _ = await serve(body_bytes_max=1000)
    answer = await server.raw(head(START, "Content-Length: 1001", "Expect: 100-continue"))
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert b"Connection: close" in answer
    assert TOO_LARGE.encode() in answer


async def test_a_larger_body_in_chunks_is_refused(serve: Serve) -> None:
    server, node = await serve(body_bytes_max=1000)
    chunk = b"258\r\n" + b"x" * 600 + b"\r\n"
    content = head(START, "Transfer-Encoding: chunked") + chunk + chunk + b"0\r\n\r\n"
    answer = await server.raw(content)
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert TOO_LARGE.encode() in answer
    assert not node.service.calls


async def input_of(server: Server, instance_id: str) -> str:
    found = (await server.get(f"{BASE}/{instance_id}?wait=started")).json
    text: str = found["properties"]["dapr.workflow.input"]
    return text


async def test_a_body_in_chunks_is_put_together(server: Server) -> None:
    chunks = b"3\r\n[1,\r\n3\r\n 2]\r\n0\r\n\r\n"
    headers = ("Transfer-Encoding: chunked", "Connection: close")
    answer = await server.raw(head(START, *headers) + chunks)
    assert answer.startswith(b"HTTP/1.1 202 ")
    assert await input_of(server, "w1") == "[1, 2]"


@pytest.mark.parametrize("later", [False, True])
async def test_a_body_in_broken_chunks_is_refused_at_once(server: Server, later: bool) -> None:
    address = URL(server.url)
    reader, writer = await asyncio.open_connection(address.host, address.port)
    writer.write(head(START, "Transfer-Encoding: chunked", "Expect: 100-continue"))
    if later:
        assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        writer.write(b"3\r\n[1,\r\n")
    writer.write(b"no number\r\n")
    answer = (await reader.read()).removeprefix(b"HTTP/1.1 100 Continue\r\n\r\n")
    assert answer.startswith((b"HTTP/1.1 400 ", b"HTTP/1.0 400 "))
    error = json.loads(answer.partition(b"\r\n\r\n")[2])
    assert (error["errorCode"], error["message"].partition(": ")[0]) in (
        ("ERR_BODY_READ", "failed to read request body"),
        ("ERR_MALFORMED_REQUEST", "the request cannot be read"),
    )
    assert "did not arrive" not in error["message"]
    writer.close()
    await writer.wait_closed()
    assert (await server.get(f"{BASE}/w1")).status == 404


async def test_a_body_that_breaks_off_starts_nothing(server: Server) -> None:
    address = URL(server.url)
    reader, writer = await asyncio.open_connection(address.host, address.port)
    writer.write(head(START, "Content-Length: 10", "Expect: 100-continue"))
    assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
    writer.write(b"12345")
    writer.write_eof()
    await reader.read()
    writer.close()
    await writer.wait_closed()
    assert (await server.get(f"{BASE}/w1")).status == 404


async def test_a_body_that_does_not_come_is_not_waited_for_long(serve: Serve) -> None:
    server, node = await serve(body_seconds_max=0.01)
    answer = await server.raw(head(START, "Content-Length: 10"))
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert b"failed to read request body: the body did not arrive within 0.01 s" in answer
    assert not node.service.calls


async def test_a_head_that_does_not_end_is_not_waited_for_long(serve: Serve) -> None:
    server, _ = await serve(idle_seconds_max=0.05)
    assert await server.raw(b"GET /v1.0/healthz HTTP/1.1\r\nHost: loc") == b""


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "GZIP", "unknown"])
@pytest.mark.parametrize("path", ["order/start", "w1/pause"])
async def test_a_compressed_body_is_refused(server: Server, path: str, encoding: str) -> None:
    body = gzip.compress(b"x" * 100_000)
    answer = await server.post(f"{BASE}/{path}", body, {"Content-Encoding": encoding})
    assert answer.error[:2] == (415, "ERR_BODY_READ")
    assert encoding in answer.error[2]


async def test_an_identity_encoded_body_is_taken(server: Server) -> None:
    assert (await server.post(START, b"{}", {"Content-Encoding": "identity"})).status == 202


@pytest.mark.parametrize("path", ["order/start", "w1/raiseEvent/paid"])
@pytest.mark.parametrize(("body", "at"), [(b"\xff", "byte 0 is 0xff"), (b"ab\xed\xa0\x80", "2")])
async def test_a_body_that_is_no_text_is_refused(
    server: Server, path: str, body: bytes, at: str
) -> None:
    await server.given.running("w1")
    status, code, message = (await server.post(f"{BASE}/{path}", body)).error
    assert (status, code) == (400, "ERR_MALFORMED_REQUEST")
    assert message.startswith("failed deserializing HTTP body: the body is not UTF-8 text (byte ")
    assert at in message


async def test_a_deeply_nested_message_is_refused(server: Server) -> None:
    await server.given.running("w1")
    answer = await server.post(f"{BASE}/w1/pause", b'{"a":' * 100_000)
    assert answer.error[:2] == (400, "ERR_MALFORMED_REQUEST")


async def test_a_client_that_asks_first_is_told_to_go_on(server: Server) -> None:
    address = URL(server.url)
    reader, writer = await asyncio.open_connection(address.host, address.port)
    writer.write(head(START, "Content-Length: 2", "Expect: 100-continue"))
    assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
    writer.write(b"17")
    assert (await reader.readline()).startswith(b"HTTP/1.1 202 ")
    writer.close()
    await writer.wait_closed()
    assert await input_of(server, "w1") == "17"


async def test_another_expectation_is_refused(server: Server) -> None:
    answer = await server.raw(head(START, "Content-Length: 2", "Expect: a-miracle"))
    assert answer.startswith(b"HTTP/1.1 417 ")
    assert b"a-miracle" in answer


@pytest.mark.parametrize(
    "path",
    [
        "//v1.0/workflows/dapr/w1",
        "/v1.0//workflows///dapr/w1",
        "/v1.0/workflows/dapr/w1/",
        "/v1.0/workflows/dapr/w1//",
        "/v1.0/workflows/dapr/w1/?appID=shop",
    ],
)
async def test_slashes_too_many_do_not_count(server: Server, path: str) -> None:
    await server.given.running("w1")
    answer = await server.get(path)
    assert (answer.status, answer.json["instanceID"]) == (200, "w1")


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "//",
        "/v1.0",
        "/v1.1/workflows/dapr/w1",
        "/v1.0/workflows",
        "/v1.0/workflows/dapr/w1/unknown",
        "/v1.0/workflows/dapr/w1/raiseEvent",
        "/v1.0/workflows/dapr/w1/history/more",
        "/v1.0/workflows/./w1/..",
        "/v1.0/HEALTHZ",
        "/v1.0/%68ealthz",
        "/v1.0/openapi.json",
        "/v1.0/workflows/dapr/%FF",
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
async def test_where_nothing_is_there_is_nothing(server: Server, method: str, path: str) -> None:
    answer = await server.send(method, path)
    text = f"there is nothing at {path}; /openapi.json lists what there is"
    assert answer.error == (404, "ERR_NOT_FOUND", text)


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("POST", "/v1.0/workflows/dapr/w1", "GET"),
        ("POST", "/v1.0/workflows/dapr//start", "GET"),
        ("DELETE", "/v1.0/workflows/dapr/w1", "GET"),
        ("GET", "/v1.0/workflows/dapr/order/start", "POST"),
        ("PUT", "/v1.0-beta1/workflows/dapr/w1/raiseEvent/paid", "POST"),
        ("PATCH", "/v1.0/workflows/dapr", "GET"),
        ("OPTIONS", "/v1.0/metadata", "GET"),
        ("GET", "/v1.0/metadata/key", "PUT"),
        ("POST", "/v1.0/healthz", "GET"),
        ("QUERY", "/openapi.json", "GET"),
    ],
)
async def test_another_method_is_refused_and_the_right_one_named(
    server: Server, method: str, path: str, allowed: str
) -> None:
    answer = await server.send(method, path)
    assert answer.error[:2] == (405, "ERR_METHOD_NOT_ALLOWED")
    assert answer.headers["Allow"] == allowed


async def test_a_head_request_is_answered_without_a_body(server: Server) -> None:
    answer = await server.send("HEAD", "/v1.0/healthz")
    assert (answer.status, answer.body) == (405, b"")


@pytest.mark.parametrize(
    "content",
    [
        b"nonsense\r\n\r\n",
        b"GET /v1.0/healthz HTTP/9.9\r\n\r\n",
        b"GET /" + b"x" * 9_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET /v1.0/healthz HTTP/1.1\r\nHost: localhost\r\nX: " + b"x" * 9_000 + b"\r\n\r\n",
        b"GET /v1.0/healthz HTTP/1.1\r\nHost : localhost\r\n\r\n",
        head(START, "Content-Length: 1", "Content-Length: 2") + b"xx",
        head(START, "Content-Length: 1", "Transfer-Encoding: chunked") + b"0\r\n\r\n",
        head(START, "Content-Length: -1"),
    ],
)
async def test_what_is_no_http_is_refused_without_a_log(
    fake_server: Server, fake: FakeNode, caplog: pytest.LogCaptureFixture, content: bytes
) -> None:
    answer = await fake_server.raw(content)
    assert answer.startswith((b"HTTP/1.0 400 ", b"HTTP/1.1 400 "))
    assert b"\r\nServer: perdure\r\n" in answer
    error = json.loads(answer.partition(b"\r\n\r\n")[2])
    assert error["errorCode"] == "ERR_MALFORMED_REQUEST"
    assert re.fullmatch(r"the request cannot be read: .{5,}[^:]", error["message"])
    assert len(error["message"]) < 300
    assert not fake.service.calls
    assert not caplog.records


async def test_a_client_of_http_1_0_needs_no_host(server: Server) -> None:
    answer = await server.raw(b"GET /v1.0/healthz HTTP/1.0\r\n\r\n")
    assert answer.startswith(b"HTTP/1.0 204 ")


async def test_the_answer_does_not_tell_what_the_server_is_made_of(server: Server) -> None:
    for path in ("/v1.0/healthz", "/v1.0/metadata", "/nothing"):
        assert (await server.get(path)).headers["Server"] == "perdure"


async def test_tracing_headers_are_accepted(server: Server) -> None:
    headers = {"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}
    assert (await server.post(START, "1", {**headers, "tracestate": "a=b"})).status == 202


async def test_the_api_can_be_part_of_another_aiohttp_program(fake: FakeNode) -> None:
    runner = web.AppRunner(create_app(fake))
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        host, port = runner.addresses[0][:2]
        async with aiohttp.ClientSession() as session:
            async with session.post(f"http://{host}:{port}{START}", data=b"5") as response:
                assert (response.status, await response.json()) == (202, {"instanceID": "w1"})
            async with session.get(f"http://{host}:{port}/nothing") as response:
                assert json.loads(await response.text())["errorCode"] == "ERR_NOT_FOUND"
    finally:
        await runner.cleanup()
