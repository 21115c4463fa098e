"""The simulator itself: what a killed, a stopped and a slow process may and may not do."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from tests.simulation.world import Violation, World


@pytest.fixture
def world() -> Iterator[World]:
    world = World(1)
    yield world
    world.close()


def test_time_passes_only_by_what_happens(world: World) -> None:
    seen = []

    async def sleeper() -> None:
        await asyncio.sleep(3600)
        seen.append(world.now)

    world.loop("a").create_task(sleeper())
    world.run(10_000, lambda: False)
    assert seen == [3600]


def test_kill_runs_no_finally(world: World) -> None:
    seen = []

    async def careful() -> None:
        try:
            await asyncio.sleep(10)
        finally:
            seen.append("cleaned up")

    loop = world.loop("a")
    loop.create_task(careful())
    world.at(5, loop.kill)
    world.run(100, lambda: False)
    assert not seen


def test_a_stopped_process_does_nothing_until_it_is_continued(world: World) -> None:
    seen = []

    async def ticker() -> None:
        while True:
            await asyncio.sleep(1)
            seen.append(world.now)

    loop = world.loop("a")
    loop.create_task(ticker())
    world.at(2.5, loop.freeze)
    world.at(7.5, loop.thaw)
    world.run(9, lambda: False)
    assert seen == [1, 2, 7.5, 8.5]


def test_within_a_process_the_order_is_asyncio_s(world: World) -> None:
    seen: list[int] = []
    loop = world.loop("a")
    for number in range(20):
        loop.call_soon(seen.append, number)
    world.run(1, lambda: False)
    assert seen == list(range(20))


def test_between_processes_the_order_is_the_seed_s() -> None:
    def order(seed: int) -> str:
        seen: list[str] = []
        world = World(seed)
        for name in "abcd":
            loop = world.loop(name)
            for _ in range(3):
                loop.call_soon(seen.append, name)
        world.run(1, lambda: False)
        return "".join(seen)

    assert order(1) == order(1)
    assert len({order(seed) for seed in range(10)}) > 5


def test_an_error_that_nobody_awaits_ends_the_run(world: World) -> None:
    def broken() -> None:
        raise ValueError("boom")

    world.loop("a").call_soon(broken)
    with pytest.raises(Violation, match="boom"):
        world.run(1, lambda: False)
