import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perdure.actors.identity import ActorRef, slot_of


def test_a_reference_is_its_type_and_id() -> None:
    assert ActorRef("workflow", "a") == ActorRef("workflow", "a")
    assert ActorRef("workflow", "a") != ActorRef("activity", "a")
    assert str(ActorRef("workflow", "a/b")) == "workflow/a/b"


@pytest.mark.parametrize(
    ("actor_id", "slots", "slot"), [("", 256, 0), ("abc", 256, 194), ("abc", 1, 0), ("ü", 7, 4)]
)
def test_the_slot_of_an_id_is_the_same_for_ever(actor_id: str, slots: int, slot: int) -> None:
    assert slot_of(actor_id, slots) == slot == zlib.crc32(actor_id.encode()) % slots


@given(st.text(st.characters(exclude_categories=["Cs"])), st.integers(1, 65_536))
def test_every_id_has_a_slot(actor_id: str, slots: int) -> None:
    assert 0 <= slot_of(actor_id, slots) < slots


def test_ids_that_are_numbered_spread_over_the_slots() -> None:
    counts = [0] * 256
    for number in range(25_600):
        counts[slot_of(f"order-{number}", 256)] += 1
    assert min(counts) > 40
    assert max(counts) < 200
