"""How many may be under way, in all and by name, on one node and on several together."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perdure.actors.gate import Gate, Limits

names = st.dictionaries(st.sampled_from("abcdef"), st.integers(0, 20))
limits = st.builds(Limits, st.none() | st.integers(0, 50), names)


def test_without_limits_everybody_enters() -> None:
    gate = Gate()
    assert gate.is_open
    assert all(gate.enter("a") for _ in range(1000))
    assert (gate.count, gate.room()) == (1000, None)


def test_no_more_enter_than_is_allowed_in_all() -> None:
    gate = Gate(Limits(2))
    assert [gate.enter(name) for name in "abc"] == [True, True, False]
    assert (gate.count, gate.room(), gate.admits("a")) == (2, 0, False)
    gate.leave("a")
    assert gate.room() == 1
    assert gate.enter("c")


def test_no_more_enter_than_is_allowed_by_name() -> None:
    gate = Gate(Limits(None, {"a": 1, "never": 0}))
    assert not gate.is_open
    assert [gate.enter(name) for name in ("a", "a", "b", "b", "never")] == [
        True,
        False,
        True,
        True,
        False,
    ]
    gate.leave("a")
    assert gate.admits("a")


def test_who_is_inside_stays_when_the_limits_shrink() -> None:
    gate = Gate()
    for _ in range(3):
        gate.enter("a")
    gate.set(Limits(2))
    assert (gate.count, gate.room(), gate.admits("a")) == (3, 0, False)
    gate.leave("a")
    assert not gate.admits("a")
    gate.leave("a")
    assert gate.admits("a")
    gate.set(Limits())
    assert gate.is_open
    assert repr(gate) == "<Gate 1 inside, at most None, by name {}>"


@given(limits, st.integers(1, 7))
def test_the_shares_of_all_nodes_are_the_whole(whole: Limits, nodes: int) -> None:
    shares = [whole.share(rank, nodes) for rank in range(nodes)]
    if whole.total is None:
        assert all(share.total is None for share in shares)
    else:
        _share_fairly([share.total or 0 for share in shares], whole.total)
    for name, limit in whole.by_name.items():
        _share_fairly([share.by_name[name] for share in shares], limit)
    assert all(share.by_name.keys() == whole.by_name.keys() for share in shares)


def _share_fairly(parts: list[int], whole: int) -> None:
    assert sum(parts) == whole
    assert max(parts) - min(parts) <= 1


@given(limits, st.integers(2, 7))
def test_what_cannot_go_elsewhere_is_kept_out_nowhere(whole: Limits, nodes: int) -> None:
    for rank in range(nodes):
        share, least = whole.share(rank, nodes), whole.share(rank, nodes, at_least=1)
        assert least.total == (None if share.total is None else max(share.total, 1))
        assert least.by_name == {name: max(part, 1) for name, part in share.by_name.items()}


def test_limits_of_one_do_not_all_fall_to_the_same_node() -> None:
    whole = Limits(None, dict.fromkeys("abc", 1))
    assert [sum(whole.share(rank, 3).by_name.values()) for rank in range(3)] == [1, 1, 1]


@pytest.mark.parametrize(
    ("total", "own", "expected"),
    [(None, None, None), (None, 5, 5), (3, None, 3), (3, 5, 3), (5, 3, 3), (0, 5, 0)],
)
def test_of_two_limits_the_narrower_one_holds(
    total: int | None, own: int | None, expected: int | None
) -> None:
    assert Limits(total, {"a": 1}).within(own) == Limits(expected, {"a": 1})
