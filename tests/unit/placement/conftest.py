"""The clock, the line and the database that the tests of placement share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.unit.actors.given import FakeEnv
from tests.unit.placement.given import Line, World, database


@pytest.fixture
def env() -> FakeEnv:
    return FakeEnv()


@pytest.fixture
def line() -> Line:
    return Line()


@pytest.fixture
def world(env: FakeEnv) -> Iterator[World]:
    with database() as direct:
        yield World(env, direct)
