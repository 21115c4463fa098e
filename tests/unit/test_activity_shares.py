"""What each node may run of what all nodes of its app may run together."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from perdure.actors.gate import Limits
from perdure.placement.membership import NodeIdentity, NodeRecord, NodeState
from perdure.runtime.workflow.activities.shares import share_of
from perdure.runtime.workflow.workers.work import WORKERS

NAMES = "abc"
limits = st.builds(
    Limits,
    st.none() | st.integers(1, 9),
    st.dictionaries(st.sampled_from(NAMES), st.integers(1, 9)),
)


def node(number: int, names: str, *more: str) -> NodeRecord:
    hosted = (*[f"activity:{name}" for name in names], *more)
    identity = NodeIdentity(
        node_id=f"n{number}",
        incarnation=f"i{number}",
        app_id="app",
        address="",
        pid=1,
        started=1,
        boot_id="",
        hosted_types=hosted,
    )
    return NodeRecord(identity=identity, generation=number, heartbeat=0, state=NodeState.UP)


def of_all(up: list[NodeRecord], whole: Limits) -> list[Limits]:
    return [share_of(each, up, whole) for each in up]


@given(limits, st.integers(1, 6))
def test_nodes_with_the_same_code_share_all_of_it(whole: Limits, count: int) -> None:
    shares = of_all([node(number, NAMES) for number in range(count)], whole)
    if whole.total is None:
        assert {share.total for share in shares} == {None}
    else:
        assert sum(share.total or 0 for share in shares) == whole.total
    for name, limit in whole.by_name.items():
        assert sum(share.by_name[name] for share in shares) == limit
        # Of what the name may have, something can begin somewhere.
        assert any(share.by_name[name] and share.total != 0 for share in shares)


@given(limits, st.lists(st.text(NAMES, max_size=3), min_size=1, max_size=5))
def test_no_share_of_a_name_goes_to_who_lacks_it(whole: Limits, code: list[str]) -> None:
    up = [node(number, "".join(sorted(set(names)))) for number, names in enumerate(code)]
    shares = of_all(up, whole)
    for name, limit in whole.by_name.items():
        parts = [share.by_name.get(name) for share in shares]
        assert sum(part or 0 for part in parts) in (0, limit)
        for names, part in zip(code, parts, strict=True):
            assert name in names or not part


def test_where_not_all_may_work_those_with_all_the_code_do() -> None:
    shares = of_all([node(1, ""), node(2, "ab"), node(3, "a")], Limits(1, {"b": 1}))
    assert [share.total for share in shares] == [0, 1, 0]
    assert [share.by_name["b"] for share in shares] == [0, 1, 0]


def test_a_name_that_nobody_has_is_not_held_back_on_its_way_to_its_failure() -> None:
    assert of_all([node(1, "a"), node(2, "a")], Limits(None, {"z": 1})) == [Limits(), Limits()]


def test_limits_of_one_do_not_all_fall_to_the_same_node() -> None:
    whole = Limits(None, dict.fromkeys(NAMES, 1))
    shares = of_all([node(number, NAMES) for number in range(3)], whole)
    assert [sum(share.by_name.values()) for share in shares] == [1, 1, 1]


def test_a_node_that_is_not_up_may_begin_nothing() -> None:
    assert share_of(node(2, "a"), [node(1, "a")], Limits(None, {"a": 1})).total == 0


def test_what_workers_run_falls_to_every_node_that_they_may_connect_to() -> None:
    up = [node(number, "a", WORKERS) for number in range(3)]
    shares = of_all(up, Limits(2, {"z": 4}))
    assert [share.by_name["z"] for share in shares] == [2, 1, 1]
    # A worker may be connected to any of them, and then has to get something.
    assert [share.total for share in shares] == [1, 1, 1]
    assert [share.by_name["z"] for share in of_all(up, Limits(None, {"z": 1}))] == [1, 1, 1]
