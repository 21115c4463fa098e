"""The clock and the store that the tests of the actor runtime share."""

from __future__ import annotations

import pytest

from tests.unit.actors.given import FakeEnv, ScriptedStore


@pytest.fixture
def env() -> FakeEnv:
    return FakeEnv()


@pytest.fixture
def store() -> ScriptedStore:
    return ScriptedStore()
