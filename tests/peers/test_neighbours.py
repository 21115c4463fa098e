"""Who is linked to whom while nodes come, go and start again."""

from __future__ import annotations

import asyncio

import pytest

from perdure.actors.errors import MailboxFull
from perdure.placement.errors import NodeUnreachable
from perdure.placement.membership import NodeState
from perdure.runtime.api.peers import links
from perdure.runtime.api.peers.dialer import DialFailed
from perdure.runtime.api.peers.handshake import CloseCode, PeerName
from tests.peers.given import (
    PATIENCE,
    SECRET,
    PeerNode,
    Proxy,
    dialled,
    linked,
    pair,
    record,
    until,
)

NOBODY = record(PeerName("nobody", "nobody-1"), "127.0.0.1:1")


async def test_the_newcomer_dials_and_the_others_need_not_know_it() -> None:
    async with PeerNode("old", 1) as old, PeerNode("new", 2) as new:
        old.join()
        new.join(old)
        await until(lambda: linked(new))
        assert await new.ask(old, b"1") == b"re:1"
        assert await old.ask(new, b"2") == b"re:2"


async def test_the_older_node_does_not_dial() -> None:
    async with (
        PeerNode("old", 1) as old,
        PeerNode("new", 2) as new,
        Proxy(new.links.address) as before_new,
    ):
        old.links.admit(*old.name, SECRET)
        old.links.adopt([old.record, record(new.name, before_new.address, 2)])
        new.join(old)
        assert await old.ask(new, b"1") == b"re:1"
        assert before_new.connections == 0


async def test_three_nodes_are_linked_in_pairs() -> None:
    async with PeerNode("a", 1) as a, PeerNode("b", 2) as b, PeerNode("c", 3) as c:
        nodes = [a, b, c]
        for node in nodes:
            node.join(*(other for other in nodes if other is not node))
        for node in nodes:
            await until(lambda node=node: linked(node, 2))  # type: ignore[misc]
        for node in nodes:
            for other in nodes:
                if other is not node:
                    assert await node.ask(other, b"1") == b"re:1"


async def test_a_call_waits_for_the_link_to_come_up() -> None:
    async with PeerNode("old", 1) as old, PeerNode("new", 2) as new:
        old.join(new)
        waiting = [asyncio.ensure_future(old.ask(new, b"%d" % n)) for n in range(3)]
        await until(lambda: old.links.statistics().calls_pending == 3)
        new.join(old)
        assert await asyncio.gather(*waiting) == [b"re:0", b"re:1", b"re:2"]
        assert new.received == [b"0", b"1", b"2"]


async def test_a_call_to_a_node_without_a_link_ends_at_its_timeout() -> None:
    async with PeerNode("old", 1) as old:
        for nodes in ([], [old.record, NOBODY]):
            old.links.admit(*old.name, SECRET)
            old.links.adopt(nodes)
            with pytest.raises(NodeUnreachable, match="no link"):
                await old.links.call(NOBODY, b"1", 0.01)
            old.links.tell(NOBODY, b"lost")
        assert old.links.statistics().calls_pending == 0


async def test_no_more_calls_wait_for_a_link_than_may() -> None:
    async with PeerNode("old", 1, calls_max=2) as old:
        waiting = [asyncio.ensure_future(old.links.call(NOBODY, b"", PATIENCE)) for _ in range(2)]
        await until(lambda: old.links.statistics().calls_pending == 2)
        with pytest.raises(MailboxFull):
            await old.links.call(NOBODY, b"", PATIENCE)
        for call in waiting:
            call.cancel()
        await asyncio.wait(waiting)


async def test_nobody_is_let_in_before_the_node_has_joined_but_soon_after() -> None:
    async with PeerNode("old", 1) as old, PeerNode("new", 2) as new:
        async with Proxy(old.links.address) as before_old:
            new.links.admit(*new.name, SECRET)
            new.links.adopt([new.record, record(old.name, before_old.address)])
            await until(lambda: before_old.connections == 2)
            assert linked(new, 0)
            old.join()
            assert await new.ask(old, b"1") == b"re:1"
        assert not new.log.records
        assert not old.log.records


async def test_what_is_adopted_before_the_node_is_admitted_counts_then() -> None:
    async with PeerNode("old", 1) as old, PeerNode("new", 2) as new:
        old.join()
        new.links.adopt([new.record, old.record])
        new.links.admit(*new.name, SECRET)
        assert await new.ask(old, b"1") == b"re:1"


async def test_a_link_that_breaks_fails_its_calls_and_comes_back() -> None:
    async with (
        PeerNode("old", 1) as old,
        PeerNode("new", 2) as new,
        Proxy(old.links.address) as between,
    ):
        there = record(old.name, between.address)
        old.join(new)
        new.links.admit(*new.name, SECRET)
        new.links.adopt([new.record, there])
        old.holds = new.holds = True
        calls = [
            asyncio.ensure_future(new.links.call(there, b"1", PATIENCE)),
            asyncio.ensure_future(old.ask(new, b"2")),
        ]
        await until(lambda: bool(old.held and new.held))
        between.cut()
        for call in calls:
            with pytest.raises(NodeUnreachable):
                await call
        old.held[0](b"too late")
        old.holds = new.holds = False
        await until(lambda: between.connections == 2 and linked(old) and linked(new))
        assert await new.links.call(there, b"3", PATIENCE) == b"re:3"
        assert await old.ask(new, b"4") == b"re:4"


async def test_a_node_that_is_no_member_any_more_loses_its_link_and_its_calls() -> None:
    async with pair() as (old, new):
        new.holds = True
        pending = asyncio.ensure_future(old.ask(new, b"1"))
        await until(lambda: len(new.held) == 1)
        gone = record(new.name, new.links.address, 2, NodeState.DEAD)
        old.links.adopt([old.record, gone])
        with pytest.raises(NodeUnreachable):
            await pending
        assert linked(old, 0)
        with pytest.raises(NodeUnreachable, match="no member"):
            await old.links.call(NOBODY if old is new else gone, b"2", PATIENCE)


async def test_who_waits_for_a_node_that_leaves_is_told_at_once() -> None:
    async with PeerNode("old", 1) as old, PeerNode("new", 2) as new:
        old.join(new)
        waiting = asyncio.ensure_future(old.ask(new, b"1"))
        await until(lambda: old.links.statistics().calls_pending == 1)
        old.join()
        with pytest.raises(NodeUnreachable, match="no member"):
            await waiting


async def test_nobody_dials_a_node_that_has_left() -> None:
    async with (
        PeerNode("old", 1) as old,
        PeerNode("new", 2) as new,
        Proxy(old.links.address) as between,
    ):
        new.links.admit(*new.name, SECRET)
        there = record(old.name, between.address)
        new.links.adopt([new.record, there])
        await until(lambda: between.connections >= 1)  # It is refused: `old` has not joined.
        task = new.links._neighbours[old.name].dialling
        assert task is not None
        new.links.adopt([new.record])
        await asyncio.wait([task])
        assert task.cancelled()


async def test_a_process_that_was_started_again_is_another_one() -> None:
    async with PeerNode("old", 1) as old:
        async with PeerNode("new", 2) as first:
            old.join(first)
            first.join(old)
            assert await old.ask(first, b"1") == b"re:1"
            ended = first.record
        async with PeerNode("new", 3) as again:
            again.join(old)
            old.join(again)
            assert await old.ask(again, b"2") == b"re:2"
            with pytest.raises(NodeUnreachable):
                await old.links.call(ended, b"3", PATIENCE)
            assert again.received == [b"2"]


async def test_another_process_at_the_address_is_not_taken_for_the_node() -> None:
    async with PeerNode("old", 5) as there, PeerNode("new", 9) as new:
        there.join()
        async with Proxy(there.links.address) as between:
            new.links.admit(*new.name, SECRET)
            before = record(PeerName("old", "old-4"), between.address, 4)
            new.links.adopt([new.record, before])
            await until(lambda: between.connections == 2)
            with pytest.raises(NodeUnreachable):
                await new.links.call(before, b"1", 0.01)
        assert there.received == []
        assert not there.log.records


async def test_a_node_that_rejoins_keeps_its_links() -> None:
    async with pair() as (old, new):
        for node, generation in ((old, 3), (new, 2)):
            node.links.admit(*node.name, SECRET)
            node.links.adopt([record(old.name, old.links.address, 3), new.record])
            assert node.generation in (1, generation)
        assert await old.ask(new, b"1") == b"re:1"
        assert await new.ask(old, b"2") == b"re:2"
        numbers = old.links.statistics(), new.links.statistics()
        assert [each.messages_sent for each in numbers] == [2, 2]


async def test_a_node_under_another_name_makes_its_links_anew() -> None:
    async with pair() as (old, new):
        before = new.record
        new.name = PeerName("new", "new-again")
        new.links.admit(*new.name, SECRET)
        assert await old.ask(new, b"1") == b"re:1"  # Over a link that `old` did not ask for.
        old.join(new)
        with pytest.raises(NodeUnreachable, match="no member"):
            await old.links.call(before, b"2", PATIENCE)


@pytest.mark.parametrize("names", [("a", "b"), ("b", "a")])
async def test_of_two_links_that_both_have_dialled_the_same_one_stays(
    names: tuple[str, str],
) -> None:
    async with PeerNode(names[0], 1) as one, PeerNode(names[1], 1) as two:
        # Each is in a view without itself: so both dial.
        for node, other in ((one, two), (two, one)):
            node.links.admit(*node.name, SECRET)
            node.links.adopt([other.record])

        def agree() -> bool:
            links = [*one.links._links, *two.links._links]
            return len(links) == 2 and links[0].dialer == links[1].dialer

        async def answered(asker: PeerNode, other: PeerNode) -> bytes:
            while True:
                try:
                    return await asker.ask(other, b"1")
                except NodeUnreachable:  # It went over the link that did not stay.
                    await until(agree)

        assert await answered(one, two) == b"re:1"
        assert await answered(two, one) == b"re:1"
        await until(agree)
        assert linked(one)
        assert linked(two)


async def test_a_link_made_again_by_the_same_process_takes_the_others_place() -> None:
    async with PeerNode("old") as old:
        old.join()
        async with dialled(old) as first, dialled(old):
            await until(lambda: first.transport.is_closing() or not linked(old, 0))
            await until(lambda: len(old.links._links) == 1)
            assert linked(old)


async def test_the_lesser_names_link_is_refused_while_the_greater_ones_stands() -> None:
    async with PeerNode("b", 2) as b, PeerNode("a", 1) as a:
        a.join(b)
        b.join(a)
        await until(lambda: linked(a) and linked(b))
        (kept,) = b.links._links
        with pytest.raises(DialFailed, match=str(CloseCode.DUPLICATE.value)):
            async with dialled(b, "a"):
                pass
        assert b.links._links == {kept}


async def test_a_stranger_is_kept_for_a_while_and_then_must_be_in_the_view(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with PeerNode("old") as old:
        old.join()
        async with dialled(old):
            await until(lambda: linked(old))
            old.join()
            assert linked(old)
            monkeypatch.setattr(links, "STRANGER_SECONDS", 0.0)
            old.join()
            assert linked(old, 0)


async def test_a_failing_address_harms_nobody_else() -> None:
    async with PeerNode("old", 1) as old, PeerNode("new", 2) as new:
        old.join()
        new.links.admit(*new.name, SECRET)
        wrong = [
            record(PeerName(f"w{number}", "1"), address)
            for number, address in enumerate(
                ("nowhere", "127.0.0.1:1", "127.0.0.1:99999999", "http://x", "[::", "\x00", "")
            )
        ]
        new.links.adopt([new.record, *wrong, old.record])
        assert await new.ask(old, b"1") == b"re:1"
