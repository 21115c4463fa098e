"""The server itself: its port, who may call, what cannot be read, and how it ends."""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
from collections.abc import AsyncIterator

import pytest

from perdure.runtime.rpc import taskhub_pb2 as pb
from perdure.runtime.rpc.dapr_service import DAPR
from perdure.runtime.rpc.methods import Caller, Streaming, Unary
from perdure.runtime.rpc.ports import RpcConfig
from perdure.runtime.rpc.server import RpcServer
from tests.rpc.serving import connected, ending, serving

STOPPING = ("UNAVAILABLE", "this node is shutting down and takes no more requests")
HELLO = pb.Empty()


def has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6) as made:
            made.bind(("::1", 0))
    except OSError:
        return False
    return True


needs_ipv6 = pytest.mark.skipif(not has_ipv6(), reason="this machine has no IPv6")


def streaming(closed: asyncio.Event | None = None) -> Streaming[pb.Empty]:
    """A method that gives one item and then nothing, until it is ended."""

    async def items(request: pb.Empty, caller: Caller) -> AsyncIterator[bytes]:
        try:
            yield b"first"
            await asyncio.Event().wait()
        finally:
            if closed is not None:
                closed.set()

    return Streaming(pb.Empty, items)


# ---- the port


async def test_it_answers_at_the_address_that_it_names() -> None:
    async with serving() as hub:
        host, _, port = hub.server.address.rpartition(":")
        assert host == "127.0.0.1"
        assert int(port) > 0
        assert await hub.client.raw("Hello") == b""


@needs_ipv6
@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
async def test_loopback_is_that_of_both_families(host: str) -> None:
    async with serving(host=host) as hub:
        port = hub.server.address.rpartition(":")[2]
        for address in (f"127.0.0.1:{port}", f"[::1]:{port}", f"localhost:{port}"):
            async with connected(address) as client:
                assert await client.raw("Hello") == b""


@needs_ipv6
async def test_a_host_of_one_family_stays_in_it() -> None:
    async with serving(host="::1") as hub:
        assert hub.server.address.startswith("[::1]:")
        assert await hub.client.raw("Hello") == b""
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", int(hub.server.address.rpartition(":")[2])))


@pytest.mark.parametrize("no_ipv6", [errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT])
async def test_a_machine_without_ipv6_is_served_by_ipv4(
    no_ipv6: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    bind = socket.socket.bind

    def bind_ipv4(made: socket.socket, address: tuple[str, int]) -> None:
        if made.family == socket.AF_INET6:
            raise OSError(no_ipv6, "no such thing")
        bind(made, address)

    monkeypatch.setattr(socket.socket, "bind", bind_ipv4)
    async with serving() as hub:
        assert await hub.client.raw("Hello") == b""


@pytest.mark.parametrize(
    ("family", "host"),
    [(socket.AF_INET, "127.0.0.1"), pytest.param(socket.AF_INET6, "::1", marks=needs_ipv6)],
)
async def test_a_port_in_use_is_refused_as_http_refuses_it(family: int, host: str) -> None:
    with socket.socket(family) as other:
        other.bind((host, 0))
        other.listen()
        port = other.getsockname()[1]
        server = RpcServer(RpcConfig(port=port), {})
        with pytest.raises(OSError, match="address already in use") as caught:
            await server.__aenter__()
    assert caught.value.errno == errno.EADDRINUSE
    assert f"to bind on address ('{host}', {port})" in str(caught.value)


async def test_the_port_is_its_own_before_it_is_open_and_nobody_is_kept_waiting() -> None:
    async with RpcServer(RpcConfig(port=0), {}) as server:
        port = int(server.address.rpartition(":")[2])
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port))
        with pytest.raises(OSError, match="in use"):
            await RpcServer(RpcConfig(port=port), {}).__aenter__()
    with socket.create_server(("127.0.0.1", port)):
        pass  # And it is free again, although it was never open.


async def test_a_closed_server_has_let_go_of_its_port() -> None:
    async with serving() as hub:
        port = int(hub.server.address.rpartition(":")[2])
        assert await hub.client.raw("Hello") == b""
    async with serving(port=port) as again:
        assert await again.client.raw("Hello") == b""


async def test_two_servers_share_a_port_if_they_are_told_to() -> None:
    async with serving(reuse_port=True) as hub:
        port = int(hub.server.address.rpartition(":")[2])
        async with serving(reuse_port=True, port=port) as other:
            assert await other.client.raw("Hello") == b""


# ---- who may call


@pytest.mark.parametrize("given", [(), (("dapr-api-token", "wrong"),), (("dapr-api-token", ""),)])
@pytest.mark.parametrize("name", ["Hello", "NoSuchMethod"])
async def test_without_the_token_nothing_is_answered(
    name: str, given: tuple[tuple[str, str], ...]
) -> None:
    async with serving(tokens=("old", "new")) as hub:
        refused = await ending(hub.client.raw(name, metadata=given))
    assert refused == ("UNAUTHENTICATED", "invalid api token")


@pytest.mark.parametrize("token", ["old", "new"])
async def test_either_token_lets_in(token: str) -> None:
    async with serving(tokens=("old", "new")) as hub:
        assert await hub.client.raw("Hello", metadata=(("dapr-api-token", token),)) == b""


async def test_a_stream_needs_the_token_too() -> None:
    async with serving({"GetWorkItems": streaming()}, tokens=("secret",)) as hub:
        refused = await ending(hub.client.stream("GetWorkItems").read())
    assert refused == ("UNAUTHENTICATED", "invalid api token")


async def test_more_connections_than_allowed_are_closed() -> None:
    async with serving(connections_max=1) as hub:
        assert await hub.client.raw("Hello") == b""
        port = int(hub.server.address.rpartition(":")[2])
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        assert await reader.read() == b""
        writer.close()
        assert await hub.client.raw("Hello") == b""


async def test_more_calls_than_allowed_are_told_to_come_again() -> None:
    async with serving({"GetWorkItems": streaming()}, connections_max=1) as hub:
        stream = hub.client.stream("GetWorkItems")
        assert await stream.read() == b"first"
        refused = await ending(hub.client.raw("Hello"))
        stream.cancel()
    assert refused == ("UNAVAILABLE", "this node has as many calls as it takes")


async def test_a_client_may_ping_without_calls() -> None:
    """By default gRPC sends whoever does that more than once in five minutes away."""
    settings, ping, goaway, ack = 4, 6, 7, 1
    async with serving() as hub:
        port = int(hub.server.address.rpartition(":")[2])
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(settings))
        acknowledged = 0
        async with asyncio.timeout(10):
            while acknowledged < 10:
                writer.write(frame(ping, bytes(8)))
                kind = None
                while kind != ping:
                    head = await reader.readexactly(9)
                    kind, flags = head[3], head[4]
                    await reader.readexactly(int.from_bytes(head[:3]))
                    assert kind != goaway
                acknowledged += flags & ack
        writer.close()
        await writer.wait_closed()


def frame(kind: int, payload: bytes = b"") -> bytes:
    """One of HTTP/2, of the whole connection."""
    return len(payload).to_bytes(3) + bytes([kind, 0]) + bytes(4) + payload


# ---- what cannot be read


@pytest.mark.parametrize("data", [b"", b"\xff\xff\xff", b"x" * 100_000])
async def test_an_unknown_method_is_named(data: bytes) -> None:
    async with serving(message_bytes_max=1000) as hub:
        assert await ending(hub.client.raw("Frobnicate", data)) == (
            "UNIMPLEMENTED",
            "unknown method Frobnicate for service TaskHubSidecarService",
        )
        assert await ending(hub.client.raw("StartWorkflow", data, service=DAPR)) == (
            "UNIMPLEMENTED",
            "unknown method StartWorkflow for service dapr.proto.runtime.v1.Dapr",
        )
        assert await ending(hub.client.raw("Check", data, service="grpc.health.v1.Health")) == (
            "UNIMPLEMENTED",
            "unknown service grpc.health.v1.Health (of the method /grpc.health.v1.Health/Check)",
        )


@pytest.mark.parametrize(
    "data",
    [b"\xff\xff\xff", b"\x0a\x05abc", b"\x0a\x02\xc3\x28", b"\x1a" * 33],
    ids=["no field", "cut off", "not UTF-8", "nonsense"],
)
async def test_a_message_that_cannot_be_read_names_its_method(data: bytes) -> None:
    async with serving() as hub:
        code, details = await ending(hub.client.raw("StartInstance", data))
        assert await hub.client.raw("Hello") == b""
    assert code == "INVALID_ARGUMENT"
    assert details.startswith("the request of StartInstance cannot be read: ")


async def test_a_stream_whose_request_cannot_be_read_names_its_method() -> None:
    async with serving() as hub:
        code, details = await ending(hub.client.stream("StreamInstanceHistory", b"\xff").read())
    assert code == "INVALID_ARGUMENT"
    assert details.startswith("the request of StreamInstanceHistory cannot be read: ")


async def test_a_message_may_be_as_long_as_the_limit_and_not_longer() -> None:
    async with serving(message_bytes_max=1000) as hub:
        assert await hub.client.raw("Hello", b"\x0a\xe5\x07" + b"x" * 997) == b""
        code, details = await ending(hub.client.raw("Hello", b"\x0a\xe6\x07" + b"x" * 998))
    assert code == "RESOURCE_EXHAUSTED"
    assert "larger than max (1001 vs. 1000)" in details


async def test_the_decision_of_a_worker_may_be_four_times_as_long() -> None:
    taken: list[int] = []

    async def take(request: pb.WorkflowResponse, caller: Caller) -> pb.Empty:
        taken.append(request.ByteSize())
        return pb.Empty()

    decision = Unary(pb.WorkflowResponse, take, is_large=True)
    async with serving({"CompleteWorkflowTask": decision}, message_bytes_max=1000) as hub:
        await hub.client.raw("CompleteWorkflowTask", b"\x0a\x9d\x1f" + b"x" * 3997)
        too_long = b"\x0a\x9e\x1f" + b"x" * 3998
        code, details = await ending(hub.client.raw("CompleteWorkflowTask", too_long))
    assert taken == [4000]
    assert (code, "larger than max (4001 vs. 4000)" in details) == ("RESOURCE_EXHAUSTED", True)


async def test_a_stream_is_asked_for_by_no_longer_a_request() -> None:
    async with serving(message_bytes_max=1000) as hub:
        long = b"\x0a\xe6\x07" + b"x" * 998
        code, _ = await ending(hub.client.stream("StreamInstanceHistory", long).read())
    assert code == "RESOURCE_EXHAUSTED"


async def test_an_error_of_ours_says_nothing_and_is_logged_with_its_method(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with serving() as hub:
        hub.service.failing = ZeroDivisionError("a secret")
        with caplog.at_level(logging.ERROR, logger="perdure.runtime.rpc.calls"):
            refused = await ending(hub.client.raw("GetInstance", b"\x0a\x01x"))
    assert refused == ("INTERNAL", "unexpected error; the log of the node says more")
    (record,) = caplog.records
    assert (record.__dict__["event"], record.__dict__["method"]) == (
        "rpc_request_failed",
        "GetInstance",
    )
    assert record.exc_info is not None
    assert isinstance(record.exc_info[1], ZeroDivisionError)


async def test_a_method_sees_who_calls() -> None:
    seen: list[Caller] = []

    async def answer(request: pb.Empty, caller: Caller) -> pb.Empty:
        seen.append(caller)
        return pb.Empty()

    async with serving({"Look": Unary(pb.Empty, answer)}) as hub:
        await hub.client.raw("Look", metadata=(("traceparent", "00-a"), ("x-bin", b"\x00")))
        await hub.client.raw("Look", timeout=60)
    assert seen[0].metadata["traceparent"] == "00-a"
    assert "x-bin" not in seen[0].metadata
    assert "grpc-python" in seen[0].metadata["user-agent"]
    assert seen[0].peer.startswith("ipv4:127.0.0.1:")
    assert seen[0].seconds_left() is None
    left = seen[1].seconds_left()
    assert left is not None
    assert 0 < left < 61


# ---- ends


async def test_a_stream_is_closed_when_its_client_goes() -> None:
    closed = asyncio.Event()
    async with serving({"GetWorkItems": streaming(closed)}) as hub:
        stream = hub.client.stream("GetWorkItems")
        assert await stream.read() == b"first"
        stream.cancel()
        async with asyncio.timeout(10):
            await closed.wait()


async def test_a_stream_is_closed_when_the_server_closes_and_its_client_is_told_why() -> None:
    closed = asyncio.Event()
    async with serving({"GetWorkItems": streaming(closed)}, drain_seconds=60) as hub:
        stream = hub.client.stream("GetWorkItems")
        assert await stream.read() == b"first"
        async with asyncio.timeout(10):
            ended, _ = await asyncio.gather(ending(stream.read()), hub.server.close())
    assert ended == STOPPING
    assert closed.is_set()


async def test_a_stream_that_its_client_does_not_read_does_not_hold_up_the_end() -> None:
    closed = asyncio.Event()

    async def items(request: pb.Empty, caller: Caller) -> AsyncIterator[bytes]:
        try:
            while True:
                yield b"x" * 100_000
        finally:
            closed.set()

    async with serving({"GetWorkItems": Streaming(pb.Empty, items)}, drain_seconds=0.1) as hub:
        stream = hub.client.stream("GetWorkItems")
        await stream.read()
        async with asyncio.timeout(10):
            await hub.server.close()
            await closed.wait()


async def test_a_call_that_changes_something_is_finished_before_the_end() -> None:
    begun, may_end = asyncio.Event(), asyncio.Event()

    async def change(request: pb.Empty, caller: Caller) -> pb.Empty:
        begun.set()
        await may_end.wait()
        return pb.Empty()

    async with serving({"Change": Unary(pb.Empty, change)}, drain_seconds=60) as hub:
        call = asyncio.ensure_future(hub.client.raw("Change"))
        await begun.wait()
        closing = asyncio.ensure_future(hub.server.close())
        await asyncio.sleep(0)
        may_end.set()
        assert await call == b""
        await closing


async def test_a_wait_is_broken_off_at_the_end_and_told_to_go_on_elsewhere() -> None:
    async with serving(drain_seconds=60) as hub:
        await hub.scenarios.running("order-1")
        call = asyncio.ensure_future(
            ending(hub.client.raw("WaitForInstanceCompletion", b"\x0a\x07order-1"))
        )
        async with asyncio.timeout(10):
            await hub.service.waiting.wait()
            await hub.server.close()
            assert await call == STOPPING


async def test_closing_twice_is_closing_once() -> None:
    async with serving() as hub:
        await hub.server.close()
        await hub.server.close()


async def test_many_clients_at_once_are_answered() -> None:
    async with serving() as hub:
        answers = await asyncio.gather(*[hub.client.raw("Hello") for _ in range(200)])
    assert answers == [b""] * 200
