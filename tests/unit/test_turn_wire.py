"""Turns on their way to the workers of another node, and the answers on their way back."""

from __future__ import annotations

from typing import Any

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from perdure.placement.membership import Membership
from perdure.placement.wire import NotUnderstood
from perdure.runtime.workflow import history as h
from perdure.runtime.workflow import messages as m
from perdure.runtime.workflow.codec import CorruptHistory
from perdure.runtime.workflow.executor import ContinuedAsNew
from perdure.runtime.workflow.workers import wire
from perdure.runtime.workflow.workers.lookout import Names
from perdure.runtime.workflow.workers.work import Step, Termination, TurnDecided, TurnWork
from tests.unit import events

NODE = Membership("n1", 7)
FAILURE = h.Failure("ValueError", "boom", "stack", h.Failure("KeyError", "k"))


def work(past: list[h.Turn], incoming: tuple[h.Incoming, ...], **more: Any) -> TurnWork:
    steps = [Step(turn) for turn in past]
    return TurnWork("o", 3, 2, "x", "order", steps, len(steps), incoming, 4, 5, **more)


def sent(given: TurnWork) -> TurnWork:
    """As the other node gets it."""
    verb, (giver, found) = wire.decode(wire.encode_decide(NODE, given))
    assert (verb, giver) == (wire.DECIDE, NODE)
    assert isinstance(found, TurnWork)
    return found


def plain(given: TurnWork) -> list[Any]:
    turns = [step.turn for step in given.past[: given.past_count]]
    names = [name for name in TurnWork.__struct_fields__ if name not in ("past", "past_count")]
    return [turns, *[getattr(given, name) for name in names]]


@given(st.lists(events.turns, max_size=3), st.lists(events.incoming, max_size=4))
def test_every_turn_comes_to_another_node_as_it_was(
    past: list[h.Turn], incoming: list[h.Incoming]
) -> None:
    given = work(past, tuple(incoming), propagated=b"\x08\x02")
    assert plain(sent(given)) == plain(given)


@pytest.mark.parametrize(
    "event",
    [
        h.ExecutionStarted("order", "1", parent=h.Parent(1, "p", 2, 3)),
        h.ExecutionStarted("order", "1", trace=h.Trace("00-a-b-01"), tags=(("a", "b"),)),
        h.TaskFailed(1, FAILURE),
        h.ChildWorkflowInstanceFailed(1, FAILURE),
    ],
    ids=lambda event: type(event).__name__,
)
def test_events_that_hold_values_of_their_own_come_through(event: h.Incoming) -> None:
    assert sent(work([], (event,))).incoming == (event,)


def test_only_the_past_of_the_turn_is_sent_though_more_has_been_decided_since() -> None:
    given = work([h.Turn(1, ())], ())
    assert isinstance(given.past, list)
    given.past.append(Step(h.Turn(2, ())))
    assert sent(given).past_count == 1


def test_room_and_the_loss_of_a_turn_are_told_of() -> None:
    names = Names(frozenset({"workflow:"}), frozenset({"activity:pay"}))
    assert wire.decode(wire.encode_room(NODE, 5, 2, names)) == (wire.ROOM, (NODE, 5, 2, names))
    given = work([], ())
    assert wire.decode(wire.encode_back(given)) == (wire.BACK, wire.id_of(given))


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\xc1",
        msgpack.packb(["dance"]),
        msgpack.packb([]),
        msgpack.packb(["room", "n1", 1]),
        msgpack.packb(["room", "n1", 1, "many", 2]),
        msgpack.packb(["back", "o", 1, 2]),
        msgpack.packb(["back", "o", None, 2, 3]),
        msgpack.packb(["decide", "n1", 1, "o"]),
        msgpack.packb(["decide", "n1", 1, "o", 3, 2, "x", "order", [b"no turn"], [], 4, 5, None]),
        msgpack.packb(["decide", "n1", 1, "o", 3, 2, "x", "order", [], [[99]], 4, 5, None]),
    ],
)
def test_what_cannot_be_read_is_not_understood(body: bytes) -> None:
    with pytest.raises(NotUnderstood):
        wire.decode(body)


DECISIONS = {
    "nothing": TurnDecided(1, 2, 3, 4, 5),
    "an end": TurnDecided(
        *(1, 2, 3, 4, 5),
        outgoing=(h.TaskScheduled(1, "pay", "1", "e"), h.ExecutionCompleted(h.Status.FAILED)),
    ),
    "a failure": TurnDecided(
        *(1, 2, 3, 4, 5), outgoing=(h.ExecutionCompleted(h.Status.FAILED, None, FAILURE),)
    ),
    "a new run": TurnDecided(
        *(1, 2, 3, 4, 5),
        continued=ContinuedAsNew("1", (h.EventRaised("go", None, "r"),), "v2"),
        patches=("a", "b"),
    ),
    "a stall": TurnDecided(1, 2, 3, 4, 5, stalled="it is too large"),
    "everything else": TurnDecided(
        *(1, 2, 3, 4, 5),
        custom_status="half",
        version="v1",
        terminations=(Termination("o", "why", False), Termination("p")),
        trace=b"\x0a\x00",
    ),
}


@pytest.mark.parametrize("decided", DECISIONS.values(), ids=DECISIONS)
def test_every_decision_comes_back_as_it_was(decided: TurnDecided) -> None:
    assert m.decode(m.encode(decided)) == decided


def test_a_decision_that_cannot_be_read_is_corrupt() -> None:
    with pytest.raises(CorruptHistory):
        m.decode(msgpack.packb([1, 8, 1, 2, 3]))
