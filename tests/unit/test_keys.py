"""Keys: each one once, in blocks, and always some in hand."""

from __future__ import annotations

import asyncio

import pytest

from perdure.actors.errors import Retryable, StoreUnavailable
from perdure.runtime.workflow.keys import Keys
from tests.support.virtual_time import virtually
from tests.unit.actors.given import ScriptedStore, running, settled


@virtually
async def test_every_key_is_given_once_and_they_grow() -> None:
    keys = Keys(ScriptedStore(), 5)
    await keys.reserve()
    taken = []
    async with running(keys.run()):
        for _ in range(40):
            taken.append(keys.take())
            await settled()
    assert taken == list(range(1, 41))


@virtually
async def test_without_a_spare_block_a_turn_is_told_to_try_again() -> None:
    keys = Keys(ScriptedStore(), 3)
    with pytest.raises(Retryable, match="no actor keys are left"):
        keys.take()
    await keys.reserve()
    for _ in range(6):
        keys.take()
    with pytest.raises(Retryable):
        keys.take()
    async with running(keys.run()):
        await settled()
        assert keys.take() == 7


@virtually
async def test_a_store_that_is_away_is_asked_again() -> None:
    store = ScriptedStore()
    keys = Keys(store, 2)
    await keys.reserve()
    async with running(keys.run()):
        store.key_blocks += [StoreUnavailable("away"), StoreUnavailable("away")]
        for _ in range(4):
            keys.take()
        await asyncio.sleep(5)
        assert keys.take() == 5
