"""Who gets which slot: even shares, with the fewest moves, and every node the same answer."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from perdure.placement.balance import moves
from perdure.placement.membership import Membership

everybody = [Membership(f"n{number}", number + 1) for number in range(6)]
owners = st.lists(st.sampled_from(everybody), max_size=40)
members = st.lists(st.sampled_from(everybody), unique=True)


@given(owners, members)
def test_shares_differ_by_at_most_one(before: list[Membership], there: list[Membership]) -> None:
    after = {**dict(enumerate(before)), **moves(before, there)}
    if not there:
        assert list(after.values()) == before
        return
    held = Counter(after.values())
    counts = [held[member] for member in there]
    assert sum(counts) == len(before)
    assert max(counts) - min(counts) <= 1


@given(owners, members)
def test_nothing_moves_that_need_not(before: list[Membership], there: list[Membership]) -> None:
    found = moves(before, there)
    assert all(before[slot] != to for slot, to in found.items())
    if not there:
        return
    # With even shares the most that can stay: everybody keeps a share, and as many as have more
    # than that keep one of the larger shares.
    share, larger = divmod(len(before), len(there))
    held = Counter(before)
    stay = sum(min(held[member], share) for member in there)
    stay += min(larger, sum(held[member] > share for member in there))
    assert len(found) == len(before) - stay


@given(owners, members, st.randoms())
def test_every_node_comes_to_the_same_answer(
    before: list[Membership], there: list[Membership], chance: object
) -> None:
    shuffled = list(there)
    chance.shuffle(shuffled)  # type: ignore[attr-defined]
    assert moves(before, shuffled) == moves(before, there)
    assert list(moves(before, shuffled)) == list(moves(before, there))


@given(owners, members)
def test_what_has_been_moved_stays(before: list[Membership], there: list[Membership]) -> None:
    after = dict(enumerate(before)) | moves(before, there)
    assert moves([after[slot] for slot in range(len(before))], there) == {}


def test_a_later_stay_of_a_node_is_another_owner() -> None:
    before, again = Membership("n1", 1), Membership("n1", 2)
    assert moves([before, before], [again]) == {0: again, 1: again}
