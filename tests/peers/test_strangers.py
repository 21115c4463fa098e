"""Who does not know the secret, or speaks another language, and how little that costs."""

from __future__ import annotations

import asyncio
import contextlib
import logging

import aiohttp
import pytest
from aiohttp import web

from perdure.runtime.api.peers import links
from perdure.runtime.api.peers.config import PeerConfig
from perdure.runtime.api.peers.dialer import Dialer, DialFailed, SecretRefused
from perdure.runtime.api.peers.handshake import (
    HANDSHAKE_BYTES_MAX,
    PEER_PATH,
    CloseCode,
    Credentials,
    PeerName,
    decode_challenge,
    decode_proof,
    encode_challenge,
    encode_proof,
    encode_welcome,
    new_challenge,
    new_proof,
)
from perdure.runtime.api.peers.listener import STRANGERS_MAX
from perdure.runtime.api.peers.refusals import REMEMBERED_MAX, RefusalLog
from tests.peers.given import PATIENCE, SECRET, Kept, PeerNode, Proxy, linked, record, until

ROGUE = Credentials(PeerName("rogue", "rogue-1"), "guessed")
UPGRADE = (
    f"GET {PEER_PATH} HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
).encode()


async def connected(node: PeerNode) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    host, _, port = node.links.address.rpartition(":")
    return await asyncio.open_connection(host, int(port))


async def rest(reader: asyncio.StreamReader) -> bytes:
    """What comes until the other end closes, or cuts."""
    try:
        async with asyncio.timeout(PATIENCE):
            return await reader.read()
    except ConnectionError:
        return b""


async def left(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with contextlib.suppress(ConnectionError):
        await writer.wait_closed()


# ---- the secret


async def test_a_wrong_secret_is_refused_and_said_once_by_each_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(links, "BACKOFF_SECONDS_MAX", 0.01)
    async with (
        PeerNode("old", 1) as old,
        PeerNode("new", 2) as new,
        Proxy(old.links.address) as between,
    ):
        old.join(new)
        new.links.admit(*new.name, "another")
        new.links.adopt([new.record, record(old.name, between.address)])
        await until(lambda: between.connections >= 4)
        assert (linked(old, 0), linked(new, 0)) == (True, True)
        for node, other in ((old, new), (new, old)):
            (line,) = node.log.records
            assert (line.levelname, line.event) == ("WARNING", "peer_refused")  # type: ignore[attr-defined]
            assert line.node_id == other.name.node_id  # type: ignore[attr-defined]
        # Mended, it is linked without anybody's help; a later refusal would be news.
        new.links.admit(*new.name, SECRET)
        assert await new.links.call(record(old.name, between.address), b"1", PATIENCE) == b"re:1"


async def test_a_member_that_cannot_be_reached_is_told_of_once_when_that_lasts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(links, "BACKOFF_SECONDS_MAX", 0.01)
    monkeypatch.setattr(links, "UNREACHABLE_SECONDS", 0.05)
    tries = 0

    async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal tries
        tries += 1
        await left(writer)

    server = await asyncio.start_server(hang_up, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()
    async with server, PeerNode("new", 2) as new:
        new.links.admit(*new.name, SECRET)
        new.links.adopt([new.record, record(PeerName("old", "old-1"), f"{host}:{port}")])
        await until(lambda: bool(new.log.of("peer_unreachable")))
        assert tries > 1  # At first it may just have died.
        told_at = tries
        await until(lambda: tries > told_at + 3)
        (line,) = new.log.records
        assert (line.levelname, line.node_id) == ("WARNING", "old")  # type: ignore[attr-defined]


async def test_a_flood_of_wrong_secrets_fills_neither_log_nor_memory() -> None:
    kept = Kept()
    log = logging.Logger("flood")
    log.addHandler(kept)
    refusals = RefusalLog(log)
    for number in range(3 * REMEMBERED_MAX):
        refusals.refused(f"n{number}", "10.0.0.1", "wrong")
        refusals.refused("n0", "10.0.0.1", "wrong")
    assert len(kept.records) == REMEMBERED_MAX + 1
    refusals.accepted("n0", "10.0.0.1")
    refusals.refused("n0", "10.0.0.1", "wrong")
    assert len(kept.records) == REMEMBERED_MAX + 2


async def test_a_dialer_without_the_secret_gets_nothing_proven() -> None:
    async with PeerNode("old") as old, Dialer(PeerConfig()) as dialer:
        old.join()
        for _ in range(3):
            with pytest.raises(SecretRefused):
                await dialer.dial(old.links.address, old.name, ROGUE)
        assert len(old.log.records) == 1
        assert old.links.statistics().links_open == 0


async def test_a_proof_that_was_overheard_is_worth_nothing() -> None:
    async with PeerNode("old") as old, aiohttp.ClientSession() as session:
        old.join()
        friend = Credentials(PeerName("friend", "friend-1"), SECRET)
        url = f"http://{old.links.address}{PEER_PATH}"
        async with session.ws_connect(url) as first:
            overheard = encode_proof(
                new_proof(friend, decode_challenge(await first.receive_bytes()))
            )
            await first.send_bytes(overheard)
            await first.receive_bytes()
            assert linked(old)
        async with session.ws_connect(url) as second:
            await second.receive_bytes()
            await second.send_bytes(overheard)
            assert (await second.receive()).type is aiohttp.WSMsgType.CLOSE
            assert second.close_code == CloseCode.REFUSED
        assert len(old.log.of("peer_refused")) == 1


async def test_a_listener_that_sends_the_proof_back_is_no_node_and_learns_no_secret() -> None:
    heard: list[bytes] = []

    async def pretend(request: web.BaseRequest) -> web.StreamResponse:
        web_socket = web.WebSocketResponse()
        await web_socket.prepare(request)
        await web_socket.send_bytes(encode_challenge(new_challenge(victim)))
        heard.append(await web_socket.receive_bytes())
        await web_socket.send_bytes(encode_welcome(decode_proof(heard[0]).mac))
        await web_socket.receive()
        return web_socket

    victim = PeerName("old", "old-1")
    server = web.Server(pretend)
    listening = await asyncio.get_running_loop().create_server(server, "127.0.0.1", 0)
    host, port = listening.sockets[0].getsockname()
    async with Dialer(PeerConfig()) as dialer:
        with pytest.raises(SecretRefused):
            await dialer.dial(f"{host}:{port}", victim, Credentials(PeerName("new", "1"), SECRET))
    listening.close()
    await server.shutdown(1)
    assert b"new" in heard[0]
    assert SECRET.encode() not in heard[0]


# ---- those who are no nodes


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", 404),
        (b"GET /v1.0/healthz HTTP/1.1\r\nHost: x\r\n\r\n", 404),
        (b"POST /peer/1 HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n", 404),
        (b"GET /peer/1 HTTP/1.1\r\nHost: x\r\n\r\n", 400),
        (UPGRADE.replace(b"Version: 13", b"Version: 12"), 400),
        (UPGRADE.replace(b"AAAA", b"A"), 400),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400),
        (b"no HTTP at all\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: -5\r\n\r\n", 400),
    ],
)
async def test_what_is_no_upgrade_at_the_one_path_gets_a_short_answer(
    request_: bytes, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    async with PeerNode("old") as old:
        old.join()
        reader, writer = await connected(old)
        writer.write(request_)
        head, _, body = (await rest(reader)).partition(b"\r\n\r\n")
        await left(writer)
    assert head.startswith(b"HTTP/1.1 %d " % status) or head.startswith(b"HTTP/1.0 %d " % status)
    assert body == b""
    assert b"aiohttp" not in head
    assert b"Python" not in head
    assert not caplog.records
    assert not old.log.records


async def test_the_upgrade_tells_no_versions() -> None:
    async with PeerNode("old") as old:
        old.join()
        reader, writer = await connected(old)
        writer.write(UPGRADE)
        head = await reader.readuntil(b"\r\n\r\n")
        await left(writer)
    assert head.startswith(b"HTTP/1.1 101 ")
    assert b"aiohttp" not in head
    assert b"Extensions" not in head  # No compression.


@pytest.mark.parametrize("said", [b"", b"GET / HT", UPGRADE, UPGRADE + b"\x82\xff"])
async def test_a_silent_client_is_cut_when_its_time_is_over(said: bytes) -> None:
    async with PeerNode("old", connect_seconds=0.05) as old:
        old.join()
        reader, writer = await connected(old)
        writer.write(said)
        await rest(reader)
        await left(writer)
        await until(lambda: not old.links._listener._strangers)


async def test_one_stranger_too_many_costs_the_oldest_its_place() -> None:
    async with PeerNode("old", connect_seconds=PATIENCE) as old, PeerNode("new", 2) as new:
        old.join()
        crowd = [await connected(old) for _ in range(STRANGERS_MAX + 5)]
        for reader, _ in crowd[:5]:
            await rest(reader)
        await until(lambda: len(old.links._listener._strangers) == STRANGERS_MAX)
        # A node finds its way through the crowd, and counts no longer.
        new.join(old)
        assert await new.ask(old, b"1") == b"re:1"
        assert len(old.links._listener._strangers) == STRANGERS_MAX - 1
        for _, writer in crowd:
            await left(writer)


@pytest.mark.parametrize(
    "said",
    [
        b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * HANDSHAKE_BYTES_MAX,
        UPGRADE + b"\x82\xff\x00\x00\x00\x00\x00\x10\x00\x00" + bytes(1 << 20),
    ],
)
async def test_a_stranger_that_says_too_much_is_cut(said: bytes) -> None:
    async with PeerNode("old", connect_seconds=PATIENCE) as old:
        old.join()
        reader, writer = await connected(old)
        writer.write(said)
        await rest(reader)
        await left(writer)
        await until(lambda: not old.links._listener._strangers)


async def test_a_malformed_proof_is_refused_and_said_once_per_address() -> None:
    async with PeerNode("old") as old, aiohttp.ClientSession() as session:
        old.join()
        for said in (b"", b"\xc1", b"\x94\xa1a\xa1b\xc4\x00\xc4\x00", bytes(10_000)):
            async with session.ws_connect(f"http://{old.links.address}{PEER_PATH}") as socket:
                await socket.receive_bytes()
                await socket.send_bytes(said)
                assert (await socket.receive()).type is aiohttp.WSMsgType.CLOSE
                assert socket.close_code == CloseCode.MALFORMED
        async with session.ws_connect(f"http://{old.links.address}{PEER_PATH}") as socket:
            await socket.receive_bytes()
            await socket.send_str("let me in")
            assert (await socket.receive()).type is aiohttp.WSMsgType.CLOSE
        assert len(old.log.records) == 1


async def test_before_it_has_joined_a_node_says_try_again() -> None:
    async with PeerNode("old") as old, aiohttp.ClientSession() as session:
        async with session.ws_connect(f"http://{old.links.address}{PEER_PATH}") as socket:
            assert (await socket.receive()).type is aiohttp.WSMsgType.CLOSE
            assert socket.close_code == CloseCode.NOT_YET
        assert not old.log.records


async def test_nobody_passes_for_the_node_itself() -> None:
    async with PeerNode("old") as old:
        old.join()
        async with (
            aiohttp.ClientSession() as session,
            session.ws_connect(f"http://{old.links.address}{PEER_PATH}") as socket,
        ):
            challenge = decode_challenge(await socket.receive_bytes())
            twin = Credentials(PeerName("old", "old-9"), SECRET)
            await socket.send_bytes(encode_proof(new_proof(twin, challenge)))
            assert (await socket.receive()).type is aiohttp.WSMsgType.CLOSE
        assert linked(old, 0)


async def test_a_listener_that_never_speaks_is_given_up() -> None:
    connections: list[asyncio.StreamWriter] = []

    async def silent(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.append(writer)

    server = await asyncio.start_server(silent, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()
    async with Dialer(PeerConfig(connect_seconds=0.05)) as dialer:
        with pytest.raises(DialFailed, match="too long"):
            await dialer.dial(f"{host}:{port}", PeerName("old", "1"), ROGUE)
    server.close()
    for writer in connections:
        await left(writer)


async def test_a_dialer_is_not_sent_elsewhere() -> None:
    async def redirect(request: web.BaseRequest) -> web.StreamResponse:
        url = f"http://{old.links.address}{PEER_PATH}"
        return web.Response(status=307, headers={"Location": url})

    server = web.Server(redirect)
    listening = await asyncio.get_running_loop().create_server(server, "127.0.0.1", 0)
    host, port = listening.sockets[0].getsockname()
    async with PeerNode("old") as old, Dialer(PeerConfig()) as dialer:
        old.join()
        own = Credentials(PeerName("new", "1"), SECRET)
        with pytest.raises(DialFailed, match="307"):
            await dialer.dial(f"{host}:{port}", old.name, own)
        assert linked(old, 0)
    listening.close()
    await server.shutdown(1)
