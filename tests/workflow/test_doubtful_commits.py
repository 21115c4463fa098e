"""A commit of which nobody hears whether it took effect, though it did."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest

import perdure
from perdure import WorkflowContext
from perdure.actors.errors import CommitUnknown
from perdure.actors.ports import Fence
from perdure.actors.unit_of_work import UnitOfWork
from perdure.runtime.storage.sqlite import SqliteStore
from perdure.runtime.workflow.fork import Rerun
from perdure.runtime.workflow.records import WorkflowChange
from tests.support.world import PATIENCE, World


@pytest.fixture
def doubtful_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first answer of the store about the end of an instance is lost."""
    commit = SqliteStore.commit
    doubted: set[str] = set()

    async def doubt(self: SqliteStore, fence: Fence, units: Sequence[UnitOfWork]) -> Any:
        outcomes = await commit(self, fence, units)
        for unit in units:
            change = unit.change
            assert change is None or isinstance(change, WorkflowChange)
            is_end = change is not None and change.row.status.is_terminal
            if is_end and unit.ref.id not in doubted:
                doubted.add(unit.ref.id)
                raise CommitUnknown("the answer was lost")
        return outcomes

    monkeypatch.setattr(SqliteStore, "commit", doubt)


@pytest.fixture
def doubtful_forks(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Of each instance that begins with a past, the first answer of the store is lost."""
    commit = SqliteStore.commit
    doubted: list[str] = []

    async def doubt(self: SqliteStore, fence: Fence, units: Sequence[UnitOfWork]) -> Any:
        outcomes = await commit(self, fence, units)
        for unit in units:
            change = unit.change
            if isinstance(change, WorkflowChange) and change.past and unit.ref.id not in doubted:
                doubted.append(unit.ref.id)
                raise CommitUnknown("the answer was lost")
        return outcomes

    monkeypatch.setattr(SqliteStore, "commit", doubt)
    return doubted


async def test_a_run_from_an_event_whose_commit_was_doubtful_is_made_once(
    live: World, doubtful_forks: list[str]
) -> None:
    ran: list[int] = []

    @perdure.activity
    def note(number: int) -> int:
        ran.append(number)
        return number

    @perdure.workflow
    async def notes(ctx: WorkflowContext) -> list[int]:
        return [await ctx.call_activity(note, input=number) for number in (1, 2)]

    await live.serve(notes, note)
    assert await (await live.start("notes", instance_id="a")).result() == [1, 2]
    async with asyncio.timeout(PATIENCE):
        made = await live.service.rerun("a", Rerun(event_id=2, new_id="b"))
    assert doubtful_forks == [made] == ["b"]
    assert await live.handle("b").result() == [1, 2]
    assert ran == [1, 2, 2]


@pytest.mark.usefixtures("doubtful_ends")
async def test_whoever_waits_for_the_end_hears_of_it_though_its_commit_was_doubtful(
    live: World,
) -> None:
    @perdure.workflow
    async def naps(ctx: WorkflowContext) -> str:
        await ctx.create_timer(timedelta(milliseconds=1))
        return "awake"

    await live.serve(naps)
    async with asyncio.timeout(PATIENCE):
        view = await live.service.run("naps")
    assert view.row.output == '"awake"'
