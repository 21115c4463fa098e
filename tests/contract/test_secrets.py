"""The secret by which the nodes of a cluster know each other: kept with the data, or given."""

from __future__ import annotations

import pytest

from perdure.placement.errors import ClusterSecretWrong
from perdure.placement.ports import Joined, Secret
from tests.contract.conftest import Engine
from tests.contract.given import SLOTS, alive, gone, identity


async def join(engine: Engine, node_id: str, secret: Secret, *, others: bool = True) -> Joined:
    is_alive = alive if others else gone
    return await engine.store().join(
        identity(node_id, f"of {node_id}"), SLOTS, is_alive, secret=secret
    )


async def test_the_first_fresh_secret_is_kept_for_all(engine: Engine) -> None:
    joined = [await join(engine, f"n{n}", Secret(None, f"fresh {n}")) for n in range(3)]
    assert [each.secret for each in joined] == ["fresh 0"] * 3
    alone = await join(engine, "n9", Secret(None, "fresh 9"), others=False)
    assert alone.secret == "fresh 0"


async def test_a_secret_that_is_given_stands_nowhere_in_the_database(engine: Engine) -> None:
    for node_id in ("n1", "n2"):
        assert (await join(engine, node_id, Secret("given", "fresh"))).secret == "given"
    values = await engine.runner.read(lambda c: c.execute("SELECT value FROM meta").fetchall())
    assert not [value for (value,) in values if "given" in str(value) or value == "fresh"]


@pytest.mark.parametrize(
    ("first", "later"),
    [
        (Secret("given"), Secret("another")),
        (Secret("given"), Secret(None, "fresh")),
        (Secret(None, "fresh"), Secret("given")),
        (Secret(None, "fresh"), Secret("fresh")),
    ],
)
async def test_a_node_with_another_secret_than_those_that_live_is_refused(
    engine: Engine, first: Secret, later: Secret
) -> None:
    before = await join(engine, "n1", first)
    with pytest.raises(ClusterSecretWrong, match="PERDURE_CLUSTER_SECRET"):
        await join(engine, "n2", later)
    assert await engine.store().read_cluster() == before.view


@pytest.mark.parametrize(
    ("first", "later", "found"),
    [
        (Secret("given"), Secret("another"), "another"),
        (Secret("given"), Secret(None, "fresh"), "fresh"),
        (Secret(None, "fresh"), Secret("given"), "given"),
    ],
)
async def test_once_nobody_lives_any_more_another_secret_may_be_used(
    engine: Engine, first: Secret, later: Secret, found: str
) -> None:
    await join(engine, "n1", first)
    assert (await join(engine, "n2", later, others=False)).secret == found
    assert (await join(engine, "n3", later)).secret == found


async def test_secrets_are_in_no_repr(engine: Engine) -> None:
    secret = Secret("given", "fresh")
    joined = await join(engine, "n1", secret)
    assert "given" not in repr(secret)
    assert "fresh" not in repr(secret)
    assert "given" not in repr(joined)
