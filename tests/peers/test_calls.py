"""Calls and tells over one link, both ways."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from perdure.placement.errors import MessageTooLarge, NodeUnreachable
from perdure.placement.ports import Answer
from perdure.runtime.api.peers.calls import PendingCalls
from perdure.runtime.api.peers.frames import (
    ANSWER,
    CALL,
    TELL,
    body_bytes_max,
    decode,
    encode,
)
from tests.peers.given import PATIENCE, PeerNode, closed, dialled, linked, pair, until
from tests.support.virtual_time import virtually


async def test_both_ends_of_one_connection_call_each_other() -> None:
    async with pair() as (old, new):
        assert await new.ask(old, b"1") == b"re:1"
        assert await old.ask(new, b"2") == b"re:2"
        assert (old.received, new.received) == ([b"1"], [b"2"])
        assert (linked(old), linked(new)) == (True, True)


async def test_what_is_called_at_once_leaves_as_one_batch_and_is_answered_as_one() -> None:
    async with pair() as (old, new):
        requests = [b"%d" % number for number in range(1000)]
        answers = await asyncio.gather(*(new.ask(old, request) for request in requests))
        assert answers == [b"re:" + request for request in requests]
        assert old.received == requests
        for node in (old, new):
            numbers = node.links.statistics()
            assert (numbers.batches_sent, numbers.batches_received) == (1, 1)
            assert (numbers.messages_sent, numbers.messages_received) == (1000, 1000)


async def test_tells_arrive_in_order_before_a_later_call() -> None:
    async with pair() as (old, new):
        for number in range(10):
            new.links.tell(old.record, b"%d" % number)
        await new.ask(old, b"last")
        assert old.told == [b"%d" % number for number in range(10)]
        assert old.received == [b"last"]


async def test_an_answer_may_come_later_and_in_another_order() -> None:
    async with pair() as (old, new):
        old.holds = True
        first = asyncio.ensure_future(new.ask(old, b"1"))
        second = asyncio.ensure_future(new.ask(old, b"2"))
        await until(lambda: len(old.held) == 2)
        old.held[1](b"two")
        assert await second == b"two"
        assert not first.done()
        old.held[0](b"one")
        assert await first == b"one"


async def test_a_second_answer_is_nobodys() -> None:
    async with pair() as (old, new):
        old.holds = True
        waiting = asyncio.ensure_future(new.ask(old, b"1"))
        await until(lambda: len(old.held) == 1)
        old.held[0](b"first")
        old.held[0](b"second")
        assert await waiting == b"first"
        old.holds = False
        assert await new.ask(old, b"2") == b"re:2"


async def test_a_call_that_is_not_answered_in_time_has_an_unknown_outcome() -> None:
    async with pair() as (old, new):
        old.holds = True
        with pytest.raises(NodeUnreachable, match="in time"):
            await new.links.call(old.record, b"1", 0.01)
        assert new.links.statistics().calls_pending == 0
        await until(lambda: len(old.held) == 1)
        old.held[0](b"too late")
        old.holds = False
        assert await new.ask(old, b"2") == b"re:2"


async def test_a_cancelled_call_is_forgotten() -> None:
    async with pair() as (old, new):
        old.holds = True
        waiting = asyncio.ensure_future(new.ask(old, b"1"))
        await until(lambda: len(old.held) == 1)
        assert new.links.statistics().calls_pending == 1
        waiting.cancel()
        await asyncio.wait([waiting])
        assert new.links.statistics().calls_pending == 0
        old.held[0](b"to nobody")
        old.holds = False
        assert await new.ask(old, b"2") == b"re:2"


async def test_bodies_may_be_empty_and_as_large_as_a_message() -> None:
    size = 1 << 20
    async with pair(message_bytes_max=size) as (old, new):
        assert await new.ask(old, b"") == b"re:"
        old.holds = True
        largest = bytes(body_bytes_max(size))
        waiting = asyncio.ensure_future(new.ask(old, largest))
        await until(lambda: len(old.held) == 1)
        assert old.received[-1] == largest
        old.held[0](largest)
        assert await waiting == largest


async def test_many_large_bodies_at_once_all_arrive() -> None:
    async with pair(message_bytes_max=1 << 20) as (old, new):
        requests = [bytes([number]) * 400_000 for number in range(10)]
        answers = await asyncio.gather(*(new.ask(old, request) for request in requests))
        assert answers == [b"re:" + request for request in requests]


async def test_what_is_too_large_is_refused_on_either_way_and_the_link_stays() -> None:
    size = 1 << 15
    async with pair(message_bytes_max=size) as (old, new):
        with pytest.raises(MessageTooLarge):
            await new.ask(old, bytes(size))
        with pytest.raises(MessageTooLarge, match="answer"):
            await new.ask(old, bytes(body_bytes_max(size)))
        new.links.tell(old.record, bytes(size))
        assert await new.ask(old, b"1") == b"re:1"
        assert old.told == []
        assert new.links.statistics().tells_dropped == 1


async def test_an_answer_to_no_call_of_ours_is_ignored() -> None:
    async with PeerNode("old") as old:
        old.join()
        async with dialled(old) as socket:
            await socket.send(encode([(ANSWER, 7, b"?"), (CALL, 1, b"1")]))
            assert [tuple(frame) for frame in decode(await socket.receive())] == [
                (ANSWER, 1, b"re:1")
            ]


@pytest.mark.parametrize(
    "message",
    [b"", b"\xc1", b"\x91" * 5000, encode([(TELL, 0, b"")])[:-1], encode([(9, 0, b"")])],
)
async def test_a_malformed_message_closes_the_link_with_a_line(message: bytes) -> None:
    async with PeerNode("old") as old:
        old.join()
        async with dialled(old) as socket:
            await socket.send(message)
            await closed(socket)
        assert [line.levelname for line in old.log.records] == ["WARNING"]
        assert len(old.log.of("peer_malformed")) == 1
        await until(lambda: linked(old, 0))


async def test_a_text_message_closes_the_link() -> None:
    async with PeerNode("old") as old:
        old.join()
        async with dialled(old) as socket:
            await socket.web_socket.send_str("[]")
            await closed(socket)
        assert len(old.log.of("peer_malformed")) == 1


async def test_a_message_over_the_limit_closes_the_link() -> None:
    async with PeerNode("old", message_bytes_max=1 << 15) as old:
        old.join()
        async with dialled(old) as socket:
            await socket.send(bytes((1 << 15) + 1))
            assert await closed(socket) == 1009
        assert len(old.log.of("peer_malformed")) == 1


async def test_a_receiver_that_raises_is_logged_and_costs_the_link() -> None:
    async with pair() as (old, new):

        def broken(request: bytes, answer: Answer | None) -> None:
            raise RuntimeError("a bug")

        old._receive = broken  # type: ignore[method-assign]
        for link in old.links._links:
            link._receive = broken
        with pytest.raises(NodeUnreachable):
            await new.ask(old, b"1")
        (line,) = old.log.of("peer_message_failed")
        assert line.exc_info is not None


async def test_leaving_ends_what_is_pending_and_writes_what_waits() -> None:
    async with PeerNode("old", 1) as old:
        async with PeerNode("new", 2) as new:
            old.join(new)
            new.join(old)
            new.holds = old.holds = True
            of_old = asyncio.ensure_future(old.ask(new, b"1"))
            of_new = asyncio.ensure_future(new.ask(old, b"2"))
            await until(lambda: bool(new.held and old.held))
            new.held[0](b"at the last moment")
        assert await of_old == b"at the last moment"
        with pytest.raises(NodeUnreachable):
            await of_new
        old.held[0](b"to nobody")
        with pytest.raises(NodeUnreachable):
            await new.links.call(old.record, b"3", PATIENCE)


@virtually
async def test_deadlines_are_met_in_their_order_and_within_a_tick() -> None:
    loop = asyncio.get_running_loop()
    calls = PendingCalls("node")
    began = loop.time()
    waits = (30.0, 0.02, 0.5, 0.51, 2.0)
    ended: dict[float, float] = {}
    answers: list[asyncio.Future[Any]] = []
    for seconds in waits:
        number, answer = calls.open(seconds)

        def note(_: object, seconds: float = seconds, number: int = number) -> None:
            ended[seconds] = loop.time() - began
            calls.forget(number)

        answer.add_done_callback(note)
        answers.append(answer)
    await asyncio.wait(answers)
    assert all(isinstance(answer.exception(), NodeUnreachable) for answer in answers)
    assert list(ended) == sorted(waits)
    assert all(wanted <= ended[wanted] <= wanted + 0.06 for wanted in waits)
    assert len(calls) == 0
