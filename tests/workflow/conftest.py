"""Every scenario that asks for `world` runs three times: live, evicted, restarted."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest

from perdure.runtime.environment import SystemEnv
from tests.support.world import Mode, World


@pytest.fixture(params=list(Mode), ids=str)
async def world(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[World]:
    async for each in _checked(tmp_path, request.param):
        yield each


@pytest.fixture(params=[Mode.LIVE, Mode.EVICT], ids=str)
async def steady(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[World]:
    """A world whose node is only restarted by the test: activities run exactly once there."""
    async for each in _checked(tmp_path, request.param):
        yield each


@pytest.fixture
async def live(tmp_path: Path) -> AsyncIterator[World]:
    """A world that never replays by itself, for what has to do with live state alone."""
    async for each in _checked(tmp_path, Mode.LIVE):
        yield each


@pytest.fixture(params=list(Mode), ids=str)
async def shop(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[World]:
    """The app that calls `bank`, in the three modes."""
    async for each in _checked(tmp_path, request.param):
        yield each


@pytest.fixture
async def steady_shop(tmp_path: Path) -> AsyncIterator[World]:
    """The same, restarted by the test only."""
    async for each in _checked(tmp_path, Mode.LIVE):
        yield each


@pytest.fixture
async def bank(tmp_path: Path) -> AsyncIterator[World]:
    """Another app, on the file of all the others."""
    async for each in _checked(tmp_path, Mode.LIVE):
        yield each


class Clock:
    """The wall clock of all nodes in the test: no step of it has to be faster than a timer."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._monkeypatch = monkeypatch

    async def forward(self, world: World, by: timedelta) -> None:
        """Set it on. The node starts anew: one that runs notices at its next look for timers."""
        now_us, by_us = SystemEnv.now_us, by // timedelta(microseconds=1)
        self._monkeypatch.setattr(SystemEnv, "now_us", lambda env: now_us(env) + by_us)
        await world.restart()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


async def _checked(tmp_path: Path, mode: Mode) -> AsyncIterator[World]:
    async with World(tmp_path / "app.db", mode) as world:
        yield world
        if world.is_serving:
            await world.check_replays()
        await world.stop()
        assert world.leftovers() == {}
