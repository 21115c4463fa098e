"""Group commit: every unit is told its outcome once, and only durable ones hear of success."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import pytest

from perdure.actors.committer import Committer, CommitterConfig
from perdure.actors.errors import (
    CommitUnknown,
    NodeFenced,
    NodeStopping,
    StoreDamaged,
    StoreUnavailable,
    TurnConflict,
)
from tests.support.virtual_time import virtually
from tests.unit.actors.given import FENCE, FakeEnv, ScriptedStore, running, settled, unit


@asynccontextmanager
async def _committing(
    store: ScriptedStore, env: FakeEnv, **settings: Any
) -> AsyncIterator[Committer]:
    committer = Committer(store, FENCE, env, CommitterConfig(**settings))
    async with running(committer.run()):
        yield committer


class Told:
    """The outcomes of units, by name, in the order in which they were told."""

    def __init__(self, committer: Committer) -> None:
        self._committer = committer
        self.outcomes: list[tuple[str, Exception | None]] = []

    def submit(self, *names: str, size: int = 1) -> None:
        for name in names:
            self._committer.submit(unit(name, size), partial(self._note, name))

    def _note(self, name: str, outcome: Exception | None) -> None:
        self.outcomes.append((name, outcome))


@virtually
async def test_a_unit_hears_of_success_after_its_commit(store: ScriptedStore, env: FakeEnv) -> None:
    async with _committing(store, env) as committer:
        told = Told(committer)
        store.hold = asyncio.Event()
        told.submit("a")
        await settled()
        assert told.outcomes == []
        store.hold.set()
        await committer.drained()
        assert told.outcomes == [("a", None)]


@virtually
async def test_what_comes_during_a_commit_goes_into_the_next_one_together(
    store: ScriptedStore, env: FakeEnv
) -> None:
    async with _committing(store, env) as committer:
        told = Told(committer)
        store.hold = asyncio.Event()
        told.submit("a")
        await settled()
        told.submit("b", "c", "d")
        assert committer.backlog == 3
        store.hold.set()
        await committer.drained()
        written = [[each.ref.id for each in batch] for batch in store.batches if batch]
        assert written == [["a"], ["b", "c", "d"]]
        assert [name for name, _ in told.outcomes] == ["a", "b", "c", "d"]


@virtually
async def test_units_wait_for_others_that_are_near_to_share_a_transaction(
    store: ScriptedStore, env: FakeEnv
) -> None:
    committer = Committer(store, FENCE, env, CommitterConfig(), lambda: 0.005)
    async with running(committer.run()):
        told = Told(committer)
        began = asyncio.get_running_loop().time()
        told.submit("a")
        await settled()
        told.submit("b")
        await committer.drained()
        assert [len(batch) for batch in store.batches if batch] == [2]
        assert asyncio.get_running_loop().time() - began == pytest.approx(0.005)


@virtually
async def test_many_units_and_the_end_wait_for_nobody(store: ScriptedStore, env: FakeEnv) -> None:
    committer = Committer(store, FENCE, env, CommitterConfig(), lambda: 60.0)
    async with running(committer.run()):
        told = Told(committer)
        began = asyncio.get_running_loop().time()
        told.submit("a")
        await settled()
        told.submit(*"bcdefgh")
        await committer.drained()
        told.submit("i")
        await settled()
        committer.close()
        await committer.drained()
        assert [len(batch) for batch in store.batches if batch] == [8, 1]
        assert asyncio.get_running_loop().time() == began


@virtually
async def test_a_batch_is_bounded_in_units_and_in_bytes(store: ScriptedStore, env: FakeEnv) -> None:
    async with _committing(store, env, batch_units=2, batch_bytes=100) as committer:
        told = Told(committer)
        told.submit("a", "b", "c", size=1)
        await committer.drained()
        assert [len(batch) for batch in store.batches if batch] == [2, 1]
        store.batches.clear()
        told.submit("d", "e", size=60)
        told.submit("f", size=5000)
        await committer.drained()
        assert [len(batch) for batch in store.batches if batch] == [1, 1, 1]


@virtually
async def test_one_bad_unit_does_not_fail_its_neighbours(
    store: ScriptedStore, env: FakeEnv
) -> None:
    conflict = TurnConflict("meanwhile")
    async with _committing(store, env) as committer:
        await settled()
        store.commits.append({"b": conflict})
        told = Told(committer)
        told.submit("a", "b", "c")
        await committer.drained()
        assert told.outcomes == [("a", None), ("b", conflict), ("c", None)]


@virtually
async def test_a_doubtful_commit_is_doubtful_for_all_of_it_and_nobody_else(
    store: ScriptedStore, env: FakeEnv
) -> None:
    doubt = CommitUnknown("who knows")
    async with _committing(store, env) as committer:
        await settled()
        store.commits.append(doubt)
        told = Told(committer)
        told.submit("a", "b")
        await committer.drained()
        told.submit("c")
        await committer.drained()
        assert told.outcomes == [("a", doubt), ("b", doubt), ("c", None)]
        assert committer.degraded is None


@virtually
async def test_a_store_that_cannot_write_refuses_what_waits_and_is_probed_until_it_can(
    store: ScriptedStore, env: FakeEnv
) -> None:
    full = StoreUnavailable("disk full")
    async with _committing(store, env) as committer:
        await settled()
        store.commits += [full, full, full]
        told = Told(committer)
        told.submit("a")
        await settled()
        assert told.outcomes == [("a", full)]
        assert committer.degraded is full
        told.submit("b")
        await asyncio.sleep(0.6)
        assert told.outcomes[1:] == [("b", full)]
        await asyncio.sleep(5)
        assert committer.degraded is None
        told.submit("c")
        await committer.drained()
        assert told.outcomes[2:] == [("c", None)]


@virtually
async def test_an_idle_node_commits_an_empty_batch_as_its_heartbeat(
    store: ScriptedStore, env: FakeEnv
) -> None:
    async with _committing(store, env, heartbeat_seconds=1.0) as committer:
        await asyncio.sleep(5.5)
        assert store.batches == [[]] * 5
        assert committer.lease_age <= 1.0


@virtually
async def test_the_age_of_the_lease_counts_from_the_beginning_of_the_last_success(
    store: ScriptedStore, env: FakeEnv
) -> None:
    async with _committing(store, env, heartbeat_seconds=1.0) as committer:
        await asyncio.sleep(1.5)
        store.hold = asyncio.Event()
        await asyncio.sleep(6)
        assert committer.lease_age == pytest.approx(6.5)
        store.hold.set()


@pytest.mark.parametrize("error", [NodeFenced("taken"), StoreDamaged("corrupt")], ids=str)
@virtually
async def test_a_node_that_must_not_go_on_refuses_everything_and_ends(
    store: ScriptedStore, env: FakeEnv, error: Exception
) -> None:
    committer = Committer(store, FENCE, env, CommitterConfig())
    told = Told(committer)
    store.hold = asyncio.Event()
    store.commits.append(error)
    told.submit("a")
    running = asyncio.ensure_future(committer.run())
    await settled()
    told.submit("b")
    store.hold.set()
    with pytest.raises(type(error), match=str(error)):
        await running
    assert [name for name, _ in told.outcomes] == ["a", "b"]
    # A fenced node comes back: who asked may ask again. One with a damaged database stops.
    expected = NodeFenced if isinstance(error, NodeFenced) else NodeStopping
    assert all(type(outcome) is expected for _, outcome in told.outcomes)
    await committer.drained()


@virtually
async def test_closing_writes_what_is_pending_and_ends(store: ScriptedStore, env: FakeEnv) -> None:
    committer = Committer(store, FENCE, env, CommitterConfig())
    told = Told(committer)
    told.submit("a", "b")
    committer.close()
    await committer.run()
    assert told.outcomes == [("a", None), ("b", None)]


@virtually
async def test_closing_an_idle_or_degraded_committer_ends_it_too(
    store: ScriptedStore, env: FakeEnv
) -> None:
    for trouble in ([], [StoreUnavailable("full")] * 3):
        store.commits[:] = trouble
        committer = Committer(store, FENCE, env, CommitterConfig())
        told = Told(committer)
        async with asyncio.TaskGroup() as group:
            task = group.create_task(committer.run())
            await settled()
            told.submit("a")
            committer.close()
            async with asyncio.timeout(60):
                await task
        assert len(told.outcomes) == 1


@virtually
async def test_a_node_may_act_until_its_last_heartbeat_is_too_old(
    store: ScriptedStore, env: FakeEnv
) -> None:
    async with _committing(store, env, heartbeat_seconds=1.0, self_stop_seconds=3.0) as committer:
        await asyncio.sleep(60)
        assert committer.is_current
        heard: list[bool] = []
        store.hold = asyncio.Event()
        await asyncio.sleep(1.5)
        committer.when_current(lambda: heard.append(committer.is_current))
        assert committer.is_current
        await asyncio.sleep(2.5)
        assert not committer.is_current
        assert heard == []
        store.hold.set()
        await settled()
        assert heard == [False]  # The commit that took so long began so long ago.
        await asyncio.sleep(1)
        assert committer.is_current
        await asyncio.sleep(10)
        assert len(heard) == 1


@virtually
async def test_while_nobody_can_write_nobody_can_take_over(
    store: ScriptedStore, env: FakeEnv
) -> None:
    async with _committing(store, env) as committer:
        await settled()
        store.commits += [StoreUnavailable("disk full")] * 20
        await asyncio.sleep(6)
        assert committer.lease_age > 3
        assert committer.degraded is not None
        assert committer.is_current
