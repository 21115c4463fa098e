"""The router: to whom a message goes by the view in use, and how it follows its actor."""

from __future__ import annotations

import asyncio

import pytest

from perdure.actors.errors import (
    MailboxFull,
    NodeFenced,
    NodeStopping,
    NotOwner,
)
from perdure.actors.ports import Fence
from perdure.placement.errors import NodeUnreachable
from perdure.placement.membership import NodeRecord, NodeState
from tests.support.virtual_time import virtually
from tests.unit.actors.given import FakeEnv
from tests.unit.placement.given import SLOTS, Line, Routed, record, ref_in, routed, view

N1, N2, N3 = record("n1"), record("n2"), record("n3")
MINE, THEIRS = ref_in(0), ref_in(1)
"""By the first view of `both` slots go to n1 and n2 in turn."""


def both(env: FakeEnv, line: Line) -> tuple[Routed, Routed]:
    here, there = routed(env, line, N1), routed(env, line, N2)
    for each in (here, there):
        each.router.adopt(view(1, N1, N2))
    return here, there


# ---- who owns what


@virtually
async def test_without_a_view_nothing_is_owned_and_a_call_gives_up_at_its_deadline(
    env: FakeEnv, line: Line
) -> None:
    here = routed(env, line, N1)
    assert here.router.owned(MINE.id) is None
    assert here.router.owner_of(MINE.id) is None
    began = asyncio.get_running_loop().time()
    with pytest.raises(NotOwner, match=f"no node that can be reached owns {MINE}"):
        await here.router.call(MINE, "hello")
    assert asyncio.get_running_loop().time() - began == pytest.approx(15)
    with pytest.raises(NotOwner):
        await here.router.call(MINE, "hello", seconds=1)
    assert asyncio.get_running_loop().time() - began == pytest.approx(16)


@virtually
async def test_a_node_owns_the_slots_of_its_present_stay_alone(env: FakeEnv, line: Line) -> None:
    here = routed(env, line, N1)
    here.router.adopt(view(3, N1, N2))
    assert here.router.owned_slots == {0: 3, 2: 3, 4: 3, 6: 3}
    assert here.router.owned(MINE.id) == (0, 3)
    assert here.router.is_self(N1)
    later = record("n1", 2)
    here.router.adopt(view(4, later, N2))
    assert here.router.owned_slots == {}
    assert not here.router.is_self(later)
    assert repr(here.router) == "<Router view=4 owns=0>"


@virtually
async def test_a_node_that_has_died_owns_nothing(env: FakeEnv, line: Line) -> None:
    here = routed(env, line, N1)
    dead = record("n2", state=NodeState.DEAD)
    here.router.adopt(view(1, N1, dead))
    assert here.router.owner_of(THEIRS.id) is None
    assert here.router.owner_of(MINE.id) == N1


@virtually
async def test_what_is_given_away_is_not_served_and_ends_with_the_membership(
    env: FakeEnv, line: Line
) -> None:
    here = routed(env, line, N1)
    here.router.adopt(view(1, N1))
    here.router.give_away([0, 1])
    assert set(here.router.owned_slots) == set(range(SLOTS)) - {0, 1}
    assert here.router.owned(MINE.id) is None
    # Fenced in the midst of a hand-over, it comes back with a new generation.
    here.router.shut()
    assert here.router.owned_slots == {}
    again = record("n1", 2)
    here.router.adopt(view(2, again))
    line.routers.clear()
    here.router.open(here.host, _fence_of(again))
    assert set(here.router.owned_slots) == set(range(SLOTS))


def _fence_of(node: NodeRecord) -> Fence:
    return Fence(node.node_id, node.identity.incarnation, node.generation)


# ---- calls


@virtually
async def test_a_call_goes_to_the_local_host_if_this_node_owns_the_slot(
    env: FakeEnv, line: Line
) -> None:
    here, there = both(env, line)
    assert await here.router.call(MINE, "hello") == "answer to hello"
    assert here.host.calls == [(MINE.id, "hello", False)]
    assert (there.host.calls, line.called) == ([], [])
    assert (here.router.calls_local, here.router.calls_forwarded) == (1, 0)


@virtually
async def test_a_call_goes_to_the_node_that_owns_the_slot(env: FakeEnv, line: Line) -> None:
    here, there = both(env, line)
    assert await here.router.call(THEIRS, "hello") == "answer to hello"
    assert there.host.calls == [(THEIRS.id, "hello", False)]
    assert (here.router.calls_local, here.router.calls_forwarded) == (0, 1)


@virtually
async def test_what_the_actor_answers_with_is_raised_at_the_caller(
    env: FakeEnv, line: Line
) -> None:
    here, there = both(env, line)
    there.host.failures.append(KeyError("no such thing"))
    with pytest.raises(KeyError, match="no such thing"):
        await here.router.call(THEIRS, "hello")
    there.host.refusals.append(MailboxFull("busy"))
    with pytest.raises(MailboxFull, match="busy"):
        await here.router.call(THEIRS, "hello")
    assert len(line.called) == 2


@virtually
async def test_a_call_follows_its_actor_to_a_new_owner(env: FakeEnv, line: Line) -> None:
    here, there = both(env, line)
    third = routed(env, line, N3)
    newer = view(2, N1, N2, N3, owners=[N1, N3])
    third.router.adopt(newer)
    there.router.adopt(newer)
    here.on_refresh = lambda: here.router.adopt(newer)
    assert await here.router.call(THEIRS, "hello") == "answer to hello"
    assert line.called == ["n2", "n3"]
    assert third.host.calls == [(THEIRS.id, "hello", False)]
    assert here.refreshed == 1


@virtually
async def test_a_call_comes_home_when_its_slot_does(env: FakeEnv, line: Line) -> None:
    here, there = both(env, line)
    there.router.give_away([1])
    here.on_refresh = lambda: here.router.adopt(view(2, N1, N2, owners=[N1]))
    assert await here.router.call(THEIRS, "hello") == "answer to hello"
    assert here.host.calls == [(THEIRS.id, "hello", False)]


@virtually
async def test_a_new_view_ends_the_wait_of_a_call_at_once(env: FakeEnv, line: Line) -> None:
    here = routed(env, line, N1)
    loop = asyncio.get_running_loop()
    waiting = asyncio.ensure_future(here.router.call(MINE, "hello"))
    await asyncio.sleep(9.9)
    began = loop.time()
    here.router.adopt(view(1, N1))
    assert await waiting == "answer to hello"
    assert loop.time() == began


@virtually
async def test_a_call_whose_answer_is_lost_is_made_again_as_a_repeat(
    env: FakeEnv, line: Line
) -> None:
    here, there = both(env, line)
    line.lost_answers = 1
    assert await here.router.call(THEIRS, "hello") == "answer to hello"
    assert there.host.calls == [(THEIRS.id, "hello", False), (THEIRS.id, "hello", True)]
    assert here.refreshed == 1


@virtually
async def test_a_repeat_is_told_as_one_wherever_the_actor_is_by_then(
    env: FakeEnv, line: Line
) -> None:
    here, _ = both(env, line)
    line.lost_answers = 1
    here.on_refresh = lambda: here.router.adopt(view(2, N1))
    await here.router.call(THEIRS, "hello")
    assert here.host.calls == [(THEIRS.id, "hello", True)]


@virtually
async def test_a_node_that_stays_silent_is_told_of_at_the_deadline(
    env: FakeEnv, line: Line
) -> None:
    here, _ = both(env, line)
    del line.routers["n2"]
    loop = asyncio.get_running_loop()
    began = loop.time()
    with pytest.raises(NodeUnreachable, match="no way to n2"):
        await here.router.call(THEIRS, "hello", seconds=3)
    assert loop.time() - began == pytest.approx(3, abs=0.1)


@virtually
async def test_so_much_that_it_was_not_even_sent_is_for_the_caller_to_know(
    env: FakeEnv, line: Line
) -> None:
    here, there = both(env, line)
    line.troubles.append(MailboxFull("too much waits"))
    with pytest.raises(MailboxFull, match="too much waits"):
        await here.router.call(THEIRS, "hello")
    assert there.host.calls == []


@virtually
async def test_a_call_goes_on_when_this_node_is_fenced_in_the_midst_of_it(
    env: FakeEnv, line: Line
) -> None:
    """Its last commit may stand: whoever takes the call then must know of it."""
    here, there = both(env, line)
    there.router.adopt(view(2, N2))
    here.host.failures.append(NodeFenced("declared dead"))
    calling = asyncio.ensure_future(here.router.call(MINE, "hello"))
    await asyncio.sleep(0)
    here.router.shut()
    here.router.adopt(view(2, N2))
    assert await calling == "answer to hello"
    assert there.host.calls == [(MINE.id, "hello", True)]


@virtually
async def test_until_a_newer_view_comes_a_fenced_node_sends_nothing_to_its_former_self(
    env: FakeEnv, line: Line
) -> None:
    here, there = both(env, line)
    there.router.adopt(view(2, N2))
    here.router.shut()
    calling = asyncio.ensure_future(here.router.call(MINE, "hello"))
    await asyncio.sleep(1)
    assert line.called == []
    assert not calling.done()
    here.router.adopt(view(2, N2))
    assert await calling == "answer to hello"


@virtually
async def test_a_local_owner_that_has_just_gone_was_not_asked_at_all(
    env: FakeEnv, line: Line
) -> None:
    here, there = both(env, line)
    newer = view(2, N2)
    there.router.adopt(newer)
    here.host.failures += [NotOwner("on its way"), NotOwner("gone")]
    here.on_refresh = lambda: here.router.adopt(newer)
    assert await here.router.call(MINE, "hello", is_new=True) == "answer to hello"
    assert there.host.calls == [(MINE.id, "hello", False)]


@pytest.mark.parametrize("error", [NodeStopping("bye"), NodeFenced("declared dead")], ids=str)
@virtually
async def test_an_owner_that_ends_in_the_midst_of_a_call_has_perhaps_carried_it_out(
    env: FakeEnv, line: Line, error: Exception
) -> None:
    here, there = both(env, line)
    there.host.failures.append(error)
    here.on_refresh = lambda: here.router.adopt(view(2, N1))
    assert await here.router.call(THEIRS, "hello") == "answer to hello"
    assert here.host.calls == [(THEIRS.id, "hello", True)]


@virtually
async def test_an_answer_that_cannot_be_read_is_no_answer(env: FakeEnv, line: Line) -> None:
    here, there = both(env, line)
    line.garbled = [b"\xc1", b"\x92\x02\xc4\x02\xff\xfe"]
    with pytest.raises(NodeUnreachable, match="cannot read it"):
        await here.router.call(THEIRS, "hello", seconds=0.01)
    assert there.host.calls == []
    line.garbled = [b"\xc1"]
    with pytest.raises(NodeUnreachable, match="no usable answer"):
        await here.router.call(THEIRS, "hello", seconds=0.001)
