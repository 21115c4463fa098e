"""The implementations of the store that the suite runs over."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from perdure.runtime.storage.opening import MEMORY, open_runner
from perdure.runtime.storage.runner import Runner
from perdure.runtime.storage.sqlite import SqliteStore
from tests.contract import given

_TABLES = ("workflows", "history", "inbox", "reminders")


@dataclass(frozen=True, slots=True)
class Engine:
    """An empty database, and what the suite needs to know of it besides the ports."""

    runner: Runner

    def store(self, app_id: str = "shop") -> SqliteStore:
        return SqliteStore(self.runner, app_id)

    async def rows(self) -> dict[str, int]:
        """How many rows each table of actors has."""
        return await self.runner.read(
            lambda c: {
                table: c.execute(f"SELECT count(*) FROM {table}").fetchone()[0] for table in _TABLES
            }
        )


@pytest.fixture(params=["file", "memory"])
async def engine(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Engine]:
    path = MEMORY if request.param == "memory" else str(tmp_path / "shop.db")
    async with open_runner(path) as runner:
        yield Engine(runner)


@pytest.fixture
async def member(engine: Engine) -> given.Member:
    store = engine.store()
    return given.Member(store, await store.join(given.identity(), given.SLOTS, given.gone))
