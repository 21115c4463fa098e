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
