"""The router: other apps, tells and hints, and what other nodes send."""

from __future__ import annotations

from typing import Any

import pytest

from perdure.actors.errors import (
    ActorTypeUnknown,
    MailboxFull,
    NotOwner,
)
from perdure.actors.identity import ActorRef
from perdure.actors.unit_of_work import Outgoing
from perdure.placement.errors import NodeUnreachable
from tests.support.virtual_time import virtually
from tests.unit.actors.given import FakeEnv
from tests.unit.placement.given import ILLEGIBLE, Line, record, routed, view
from tests.unit.placement.test_router import MINE, N1, N2, THEIRS, both

# ---- other apps


@virtually
async def test_a_call_may_go_to_an_actor_of_another_app(env: FakeEnv, line: Line) -> None:
    bank = record("n9", app_id="bank")
    there = routed(env, line, bank, "bank")
    here = routed(env, line, N1)
    found = view(1, N1, bank, owners=[N1])
    tables = {**found.tables, "bank": view(1, bank).tables["shop"]}
    for each in (here, there):
        each.router.adopt(type(found)(version=1, nodes=found.nodes, tables=tables))
    assert await here.router.call(MINE, "hello", app_id="bank") == "answer to hello"
    assert there.host.calls == [(MINE.id, "hello", False)]
    assert await here.router.call(MINE, "hello", app_id="shop") == "answer to hello"
    assert len(here.host.calls) == 1


@virtually
async def test_a_message_for_another_app_is_not_served_here(env: FakeEnv, line: Line) -> None:
    bank = record("n2", app_id="bank")
    there = routed(env, line, N2)
    there.router.adopt(view(1, N2))
    here = routed(env, line, N1)
    tables = {"bank": view(1, bank).tables["shop"]}
    found = view(1, N1)
    here.router.adopt(type(found)(version=1, nodes=(N1, bank), tables=tables))
    with pytest.raises(NotOwner, match="does not own"):
        await here.router.call(MINE, "hello", app_id="bank", seconds=0.01)
    assert there.host.calls == []


# ---- tells and hints


@virtually
async def test_a_tell_goes_to_the_local_host_or_is_left_to_recovery(
    env: FakeEnv, line: Line
) -> None:
    here, _ = both(env, line)
    here.host.refusals.append(MailboxFull("full"))
    here.router.tell(MINE, "lost")
    here.router.tell(MINE, "heard")
    assert [delivery.body for _, delivery in here.host.delivered] == ["heard"]
    here.router.shut()
    here.router.tell(MINE, "nobody there")
    assert len(here.host.delivered) == 1


@virtually
async def test_a_hint_has_the_message_at_home_and_nothing_but_the_address_abroad(
    env: FakeEnv, line: Line
) -> None:
    here, there = both(env, line)
    here.router.hint(Outgoing(MINE, "m1", b"row", "message"))
    ((_, delivery),) = here.host.delivered
    assert (delivery.body, delivery.message_id) == ("message", "m1")
    here.router.hint(Outgoing(THEIRS, "m2", b"row", "secret"))
    assert there.host.looked == [THEIRS]
    assert there.host.delivered == []
    ((_, sent),) = line.told
    assert b"secret" not in sent
    there.host.refusals += [NotOwner("moved"), ActorTypeUnknown("no such type")]
    for _ in range(2):
        here.router.hint(Outgoing(THEIRS, "m3", b"row", "message"))
    assert there.host.looked == [THEIRS]


@virtually
async def test_a_hint_for_what_nobody_owns_is_left_to_recovery(env: FakeEnv, line: Line) -> None:
    here = routed(env, line, N1)
    here.router.hint(Outgoing(MINE, "m1", b"row", "message"))
    here.router.adopt(view(1, N1))
    here.router.give_away([0])
    here.router.hint(Outgoing(MINE, "m1", b"row", "message"))
    assert (here.host.delivered, line.told) == ([], [])


# ---- what serves the node itself


class Stateless:
    def __init__(self) -> None:
        self.received: list[tuple[ActorRef, object]] = []
        self.bodies: list[bytes] = []

    def receive(self, target: ActorRef, message: object) -> None:
        self.received.append((target, message))

    def asked(self, body: bytes, answer: Any) -> None:
        self.bodies.append(body)
        answer(b"to " + body)


@virtually
async def test_messages_for_actors_without_state_go_to_whoever_serves_them(
    env: FakeEnv, line: Line
) -> None:
    here, there = both(env, line)
    mine, theirs = Stateless(), Stateless()
    here.router.serve("activity", mine)
    there.router.serve("activity", theirs)
    target = ActorRef("activity", "a::1")
    here.router.tell(target, "run")
    assert mine.received == [(target, "run")]
    assert await here.router.ask(N2, "activity", b"hello", 1.0) == b"to hello"
    here.router.tell_node(N2, ActorRef("activity", ""), b"by the way")
    assert theirs.bodies == [b"hello", b"by the way"]
    assert here.host.delivered == []


@virtually
async def test_a_node_that_does_not_serve_what_is_asked_cannot_answer(
    env: FakeEnv, line: Line
) -> None:
    here, there = both(env, line)
    there.router.shut()
    with pytest.raises(NodeUnreachable, match="n2"):
        await here.router.ask(N2, "activity", b"hello", 1.0)


# ---- what other nodes send


@virtually
async def test_a_message_that_cannot_be_read_is_answered_with_why(env: FakeEnv, line: Line) -> None:
    here, there = both(env, line)
    there.router.received(b"\xc1", None)
    with pytest.raises(NodeUnreachable, match="cannot read it: no text"):
        await here.router.call(THEIRS, ILLEGIBLE, seconds=0.002)
    assert there.host.calls == []


@virtually
async def test_an_actor_type_that_is_not_hosted_is_an_answer_too(env: FakeEnv, line: Line) -> None:
    here, there = both(env, line)
    there.host.refusals.append(ActorTypeUnknown("no such type"))
    with pytest.raises(ActorTypeUnknown, match="no such type"):
        await here.router.call(THEIRS, "hello")


@virtually
async def test_each_message_of_another_node_that_was_taken_is_told_of(
    env: FakeEnv, line: Line
) -> None:
    here, there = both(env, line)
    heard: list[object] = []
    there.router.on_foreign_call = heard.append
    there.host.failures.append(KeyError("not taken"))
    with pytest.raises(KeyError):
        await here.router.call(THEIRS, "refused")
    await here.router.call(THEIRS, "taken")
    await there.router.call(THEIRS, "of its own")
    assert heard == ["taken"]


@virtually
async def test_a_tell_of_another_node_is_a_reason_to_look_and_nothing_more(
    env: FakeEnv, line: Line
) -> None:
    here, there = both(env, line)
    here.router.tell_node(N2, THEIRS, b"do something")
    assert there.host.looked == [THEIRS]
    assert (there.host.calls, there.host.delivered) == ([], [])
