"""The router: to whom a message goes, by the current table."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from perdure.actors.errors import MailboxFull, NotOwner
from perdure.actors.identity import ActorRef, slot_of
from perdure.actors.messages import Delivery
from perdure.actors.unit_of_work import Outgoing
from perdure.placement.router import Router
from perdure.placement.table import PlacementTable, SlotOwner
from tests.support.virtual_time import virtually
from tests.unit.actors.given import FENCE, FakeEnv, ref

SLOTS = 8


class LocalActors:
    def __init__(self) -> None:
        self.delivered: list[tuple[ActorRef, Delivery]] = []
        self.full = False

    def call(self, target: ActorRef, message: object, *, is_new: bool = False) -> Any:
        reply = asyncio.get_running_loop().create_future()
        self.deliver(target, Delivery(message, reply))
        reply.set_result(f"answer to {message}")
        return reply

    def deliver(self, target: ActorRef, delivery: Delivery, *, is_new: bool = False) -> None:
        if self.full:
            raise MailboxFull("full")
        self.delivered.append((target, delivery))


class Stateless:
    def __init__(self) -> None:
        self.received: list[tuple[ActorRef, object]] = []

    def receive(self, target: ActorRef, message: object) -> None:
        self.received.append((target, message))


def _table(version: int, *mine: int) -> PlacementTable:
    """A table in which this node owns these slots, at epoch 10 + the version."""
    owners = [
        SlotOwner("n1", 1, 10 + version) if slot in mine else SlotOwner("n2", 4, 1)
        for slot in range(SLOTS)
    ]
    return PlacementTable(version, tuple(owners))


@virtually
async def test_without_a_table_nothing_is_owned(env: FakeEnv) -> None:
    router = Router(LocalActors(), FENCE, env)
    assert router.owned("a") is None
    with pytest.raises(NotOwner, match="no node that this one can reach owns toy/a"):
        await router.call(ref("a"), "hello")


@virtually
async def test_a_call_goes_to_the_local_host_if_this_node_owns_the_slot(env: FakeEnv) -> None:
    local = LocalActors()
    router = Router(local, FENCE, env)
    router.adopt(_table(1, slot_of("a", SLOTS)))
    assert router.owned("a") == (slot_of("a", SLOTS), 11)
    assert await router.call(ref("a"), "hello") == "answer to hello"
    assert [target for target, _ in local.delivered] == [ref("a")]


@virtually
async def test_a_newer_table_replaces_an_older_one_and_never_the_other_way(env: FakeEnv) -> None:
    router = Router(LocalActors(), FENCE, env)
    everything = range(SLOTS)
    router.adopt(_table(5, *everything))
    router.adopt(_table(4))
    assert router.owned("a") is not None
    router.adopt(_table(6))
    assert router.owned("a") is None
    assert repr(router) == "<Router n1 table=6>"


@virtually
async def test_slots_of_a_former_membership_of_this_node_are_not_its_own(env: FakeEnv) -> None:
    router = Router(LocalActors(), FENCE, env)
    router.adopt(PlacementTable(1, tuple([SlotOwner("n1", 2, 1)] * SLOTS)))
    assert router.owned("a") is None


@virtually
async def test_messages_for_actors_without_state_go_to_whoever_serves_them(env: FakeEnv) -> None:
    local, stateless = LocalActors(), Stateless()
    router = Router(local, FENCE, env)
    router.serve("activity", stateless)
    target = ActorRef("activity", "a::1")
    router.tell(target, "run")
    assert stateless.received == [(target, "run")]
    assert local.delivered == []


@virtually
async def test_what_cannot_be_taken_now_is_left_to_recovery_and_a_call_hears_of_it(
    env: FakeEnv,
) -> None:
    local = LocalActors()
    router = Router(local, FENCE, env)
    router.adopt(_table(1, *range(SLOTS)))
    local.full = True
    router.tell(ref("a"), "lost")
    router.hint(Outgoing(ref("a"), "m1", b"", "lost"))
    with pytest.raises(MailboxFull):
        await router.call(ref("a"), "heard")
    local.full = False
    router.hint(Outgoing(ref("a"), "m1", b"", "row"))
    ((_, delivery),) = local.delivered
    assert (delivery.body, delivery.message_id) == ("row", "m1")
