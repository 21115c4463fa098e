"""What is bounded, and what becomes of what is beyond."""

from __future__ import annotations

import asyncio
import contextlib

import pytest

from perdure.actors.errors import MailboxFull
from perdure.placement.errors import NodeUnreachable
from perdure.runtime.api.peers import listener, socket
from perdure.runtime.api.peers.config import PeerConfig
from perdure.runtime.api.peers.frames import (
    ANSWER,
    BUSY,
    CALL,
    LOST,
    TELL,
    TOO_LARGE,
    Frame,
    decode,
    encode,
)
from perdure.runtime.api.peers.handshake import PeerName
from perdure.runtime.api.peers.link import PeerLink
from perdure.runtime.api.peers.socket import PeerSocket
from tests.peers.given import (
    PATIENCE,
    SECRET,
    PeerNode,
    dialled,
    linked,
    pair,
    record,
    until,
)


async def test_no_more_calls_wait_for_an_answer_than_may() -> None:
    async with pair(calls_max=3) as (old, new):
        old.holds = True
        calls = [asyncio.ensure_future(new.ask(old, b"%d" % number)) for number in range(3)]
        await until(lambda: len(old.held) == 3)
        with pytest.raises(MailboxFull):
            await new.ask(old, b"3")
        old.held[0](b"done")
        assert await calls[0] == b"done"
        calls.append(asyncio.ensure_future(new.ask(old, b"4")))
        await until(lambda: len(old.held) == 4)
        assert old.received == [b"0", b"1", b"2", b"4"]
        for answer in old.held[1:]:
            answer(b"done")
        assert await asyncio.gather(*calls) == [b"done"] * 4


async def test_to_a_peer_that_does_not_read_only_so_much_is_kept_until_it_is_closed() -> None:
    body = bytes(100_000)
    async with PeerNode("old", buffer_bytes_max=1_000_000, stuck_seconds=0.1) as old:
        old.join()
        async with dialled(old) as socket:
            socket.transport.pause_reading()
            await until(lambda: linked(old))
            (link,) = old.links._links
            calls: list[asyncio.Future[bytes]] = []
            # The kernel takes some, then the transport, then our buffer is full.
            while link.unsent_bytes < 1_000_000:
                calls.append(asyncio.ensure_future(link.call(body, PATIENCE)))
                await asyncio.sleep(0)
            with pytest.raises(MailboxFull):
                await link.call(body, PATIENCE)
            link.tell(body)
            assert old.links.statistics().tells_dropped == 1
            assert link.unsent_bytes < 1_200_000
            for call in calls:
                with pytest.raises(NodeUnreachable):
                    await call
            await link.ended.wait()
        assert len(old.log.of("peer_stuck")) == 1
        assert linked(old, 0)


async def test_a_peer_that_asks_and_does_not_read_is_refused_and_then_closed() -> None:
    async with PeerNode(
        "old", buffer_bytes_max=100_000, message_bytes_max=1 << 17, stuck_seconds=PATIENCE
    ) as old:
        old.join()
        async with dialled(old) as socket:
            socket.transport.pause_reading()
            request = encode([(CALL, number, bytes(10_000)) for number in range(10)])
            (link,) = await _links(old)
            with contextlib.suppress(OSError):
                while not link.ended.is_set():
                    await socket.send(request)
                    await asyncio.sleep(0)
            await link.ended.wait()
        assert len(old.log.of("peer_stuck")) == 1
        taken = len(old.received)
        assert old.links.statistics().messages_received > taken


async def test_while_answers_wait_requests_are_refused_and_taken_again_later() -> None:
    async with PeerNode("old", buffer_bytes_max=30_000, message_bytes_max=1 << 16) as old:
        old.join()
        async with dialled(old) as socket:
            requests = [(CALL, number, bytes(10_000)) for number in range(6)]
            await socket.send(encode(requests))
            answers = await _frames(socket, 6)
            kinds = [kind for kind, _, _ in answers]
            assert kinds == [ANSWER] * 3 + [BUSY] * 3
            await socket.send(encode([(CALL, 9, b"again")]))
            assert await _frames(socket, 1) == [(ANSWER, 9, b"re:again")]


async def test_an_answer_without_room_is_lost_and_told_so() -> None:
    async with PeerNode("old", buffer_bytes_max=1_000, message_bytes_max=1 << 15) as old:
        old.join()
        old.holds = True
        async with dialled(old) as socket:
            await socket.send(encode([(CALL, number, b"") for number in range(4)]))
            await until(lambda: len(old.held) == 4)
            for answer in old.held:
                answer(bytes(30_000))
            frames = await _frames(socket, 4)
            assert [(kind, call) for kind, call, _ in frames] == [
                (ANSWER, 0),
                (ANSWER, 1),
                (LOST, 2),
                (LOST, 3),
            ]


@pytest.mark.parametrize(
    ("kind", "error"), [(BUSY, MailboxFull), (LOST, NodeUnreachable), (TOO_LARGE, Exception)]
)
async def test_a_refusal_of_the_other_end_ends_the_call(kind: int, error: type[Exception]) -> None:
    async with PeerNode("old") as old:
        old.join()
        async with dialled(old) as socket:
            (link,) = await _links(old)
            call = asyncio.ensure_future(link.call(b"1", PATIENCE))
            ((_, number, _),) = decode(await socket.receive())
            await socket.send(encode([(kind, number, b"")]))
            with pytest.raises(error, match="rogue"):
                await call


async def test_a_flood_of_tells_does_not_wait_for_anybody() -> None:
    async with pair(buffer_bytes_max=10_000) as (old, new):
        for _ in range(1000):
            new.links.tell(old.record, bytes(100))
        await until(lambda: new.links.statistics().unsent_bytes == 0)
        assert await new.ask(old, b"1") == b"re:1"
        dropped = new.links.statistics().tells_dropped
        assert len(old.told) + dropped == 1000
        assert 900 < dropped < 1000


async def test_a_peer_that_is_silent_and_answers_no_ping_is_taken_for_dead(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert 1.5 * socket.HEARTBEAT_SECONDS < 5  # Within a lease.
    monkeypatch.setattr(listener, "HEARTBEAT_SECONDS", 0.02)
    async with PeerNode("old") as old:
        old.join()
        async with dialled(old):
            (link,) = await _links(old)
            with pytest.raises(NodeUnreachable):
                await link.call(b"1", PATIENCE)
            await link.ended.wait()
    assert not old.log.records


async def test_leaving_leaves_no_task_behind() -> None:
    async with PeerNode("old", 1) as old, PeerNode("new", 2) as new:
        nobody = record(PeerName("nobody", "1"), "127.0.0.1:1")
        host, _, port = old.links.address.rpartition(":")
        _, silent = await asyncio.open_connection(host, int(port))
        old.join(new)
        new.links.admit(*new.name, SECRET)
        new.links.adopt([new.record, old.record, nobody])
        assert await new.ask(old, b"1") == b"re:1"
        new.links.tell(old.record, b"2")
    silent.close()
    with contextlib.suppress(ConnectionError):
        await silent.wait_closed()
    assert asyncio.all_tasks() == {asyncio.current_task()}
    assert not old.links._links | new.links._links


async def test_nothing_is_left_of_links_that_are_gone() -> None:
    async with PeerNode("old") as old:
        old.join()
        for number in range(20):
            async with dialled(old, f"n{number}") as socket:
                await socket.send(encode([(TELL, 0, b"1")]))
                await until(lambda number=number: len(old.told) == number + 1)  # type: ignore[misc]
        await until(lambda: not old.links._neighbours)
        assert not old.links._links
        assert old.links.statistics().links_open == 0


def test_limits_that_cannot_be_kept_are_refused() -> None:
    for wrong in (
        {"message_bytes_max": 100},
        {"calls_max": 0},
        {"buffer_bytes_max": 0},
        {"connect_seconds": 0},
        {"stuck_seconds": -1},
    ):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            PeerConfig(**wrong)  # type: ignore[arg-type]


async def _links(node: PeerNode) -> list[PeerLink]:
    await until(lambda: linked(node))
    return list(node.links._links)


async def _frames(socket: PeerSocket, count: int) -> list[Frame]:
    frames: list[Frame] = []
    async with asyncio.timeout(PATIENCE):
        while len(frames) < count:
            frames += [(kind, call, body) for kind, call, body in decode(await socket.receive())]
    return frames
