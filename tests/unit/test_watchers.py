"""Watchers: who waits hears of every change, the latest first of all."""

from __future__ import annotations

import asyncio

import pytest

from perdure.actors.errors import NodeStopping
from perdure.actors.identity import ActorRef
from perdure.runtime.workflow.history import Status
from perdure.runtime.workflow.records import Instance
from perdure.runtime.workflow.watchers import Watchers
from tests.support.virtual_time import virtually
from tests.unit.actors.given import settled

REF = ActorRef("workflow", "o")


def _row(status: Status) -> Instance:
    return Instance(
        key=1,
        instance_id="o",
        slot=0,
        name="order",
        status=status,
        created_us=1,
        updated_us=1,
        execution=1,
        next_seq=1,
    )


@virtually
async def test_all_who_wait_for_an_instance_hear_of_its_change() -> None:
    watchers = Watchers()
    with watchers.watching("o") as first, watchers.watching("o") as second:
        waiting = [asyncio.ensure_future(each.next()) for each in (first, second)]
        await settled()
        watchers.announce(ActorRef("workflow", "other"), _row(Status.FAILED))
        await settled()
        assert not any(task.done() for task in waiting)
        watchers.announce(REF, _row(Status.COMPLETED))
        assert [row and row.status for row in await asyncio.gather(*waiting)] == [
            Status.COMPLETED,
            Status.COMPLETED,
        ]


@virtually
async def test_news_that_came_before_the_wait_are_not_missed_and_the_latest_counts() -> None:
    watchers = Watchers()
    with watchers.watching("o") as watcher:
        watchers.announce(REF, _row(Status.RUNNING))
        watchers.announce(REF, _row(Status.COMPLETED))
        row = await watcher.next()
        assert row is not None
        assert row.status is Status.COMPLETED


@virtually
async def test_a_purge_is_news_too() -> None:
    watchers = Watchers()
    with watchers.watching("o") as watcher:
        watchers.announce(REF, object())
        assert await watcher.next() is None


@virtually
async def test_nobody_is_kept_waiting_by_a_node_that_stops() -> None:
    watchers = Watchers()
    with watchers.watching("o") as watcher:
        waiting = asyncio.ensure_future(watcher.next())
        await settled()
        watchers.close()
        with pytest.raises(NodeStopping):
            await waiting
    with watchers.watching("o") as late, pytest.raises(NodeStopping):
        await late.next()


@virtually
async def test_nothing_is_kept_of_those_who_have_gone() -> None:
    watchers = Watchers()
    with watchers.watching("o"), watchers.watching("o"), watchers.watching("p"):
        assert len(watchers) == 2
    assert len(watchers) == 0
