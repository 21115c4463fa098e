import msgspec
import pytest
from hypothesis import given, settings

from perdure.runtime.workflow import history as h
from perdure.runtime.workflow.records import Instance, ListQuery
from tests.unit import events


def test_the_statuses_have_durabletasks_numbers() -> None:
    assert {status.name: int(status) for status in h.Status} == {
        "RUNNING": 0,
        "COMPLETED": 1,
        "CONTINUED_AS_NEW": 2,
        "FAILED": 3,
        "CANCELED": 4,
        "TERMINATED": 5,
        "PENDING": 6,
        "SUSPENDED": 7,
        "STALLED": 8,
    }


def test_four_statuses_are_final() -> None:
    assert {status.name for status in h.Status if status.is_terminal} == {
        "COMPLETED",
        "FAILED",
        "CANCELED",
        "TERMINATED",
    }


@settings(max_examples=50)
@given(events.incoming | events.outgoing)
def test_events_are_values_that_can_be_compared_and_hashed(event: h.Event) -> None:
    twin = msgspec.structs.replace(event)
    assert twin == event
    assert hash(twin) == hash(event)
    with pytest.raises(AttributeError):
        event.at_us = 1  # type: ignore[union-attr]


def test_an_instance_does_not_change() -> None:
    row = Instance(
        key=1,
        instance_id="a",
        slot=0,
        name="wf",
        status=h.Status.RUNNING,
        created_us=1,
        updated_us=1,
        execution=0,
        next_seq=0,
    )
    assert not row.has_work
    with pytest.raises(AttributeError):
        row.status = h.Status.FAILED  # type: ignore[misc]


def test_a_list_shows_the_newest_first_by_default() -> None:
    assert ListQuery().newest_first
    assert ListQuery().limit == 100
