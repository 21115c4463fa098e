"""A short round; `make chaos` runs many long ones."""

from __future__ import annotations

from tests.chaos.rounds import Size, run


async def test_a_cluster_under_faults_loses_nothing_and_does_nothing_twice() -> None:
    happened: list[str] = []
    tally, place = await run(4, Size(66, 3, ("kill", "freeze", "drain")), happened.append)

    about = [f"{problem.kind}: {problem.text}" for problem in tally.problems]
    assert not about, "\n".join([*about, f"evidence: {place}", *happened])
    assert tally.cases == 66
    assert tally.faults == {"kill": 1, "freeze": 1, "drain": 1}
    assert tally.calls > tally.cases
