"""The table of activations: who rests, who may go, and that no step looks at all of them."""

from __future__ import annotations

import asyncio

from perdure.actors.activation import Activation, ActivationState
from perdure.actors.live_actors import LiveActors
from perdure.actors.mailbox import Mailbox
from tests.unit.actors.given import ref


class Counting(Activation):
    """Counts how often anybody asks whether it may go."""

    asked = 0

    @property
    def may_go(self) -> bool:
        Counting.asked += 1
        return super().may_go


def _added(actors: LiveActors, name: str, kind: type[Activation] = Activation) -> Activation:
    activation = kind(ref(name), 0, 1, Mailbox(10))
    actors.add(activation)
    return activation


def test_more_at_work_than_may_rest_costs_nothing_for_each_that_is_added() -> None:
    actors = LiveActors(10)
    for number in range(1000):
        _added(actors, f"a{number}", Counting)
    assert Counting.asked < 1000
    assert len(actors) == 1000


def test_room_is_made_for_as_many_as_are_too_many() -> None:
    actors = LiveActors(2)
    first = [_added(actors, f"a{number}") for number in range(5)]
    for activation in first:
        actors.rest(activation)
    _added(actors, "b")
    assert len(actors) == 2
    assert [each.state for each in first[:4]] == [ActivationState.CLOSED] * 4
    assert actors.get(ref("a4")) is first[4]


def test_what_is_at_work_goes_when_it_rests() -> None:
    actors = LiveActors(10)
    activation = _added(actors, "a")
    assert not actors.release(ref("a"))
    actors.rest(activation)
    actors.begin(activation)
    assert not actors.release(ref("a"))
    actors.rest(activation)
    assert actors.release(ref("a"))
    assert actors.release(ref("a"))


async def test_calm_comes_when_the_last_one_rests_or_is_discarded() -> None:
    actors = LiveActors(10)
    one, other = _added(actors, "a"), _added(actors, "b")
    calm = asyncio.ensure_future(actors.calm())
    actors.rest(one)
    await asyncio.sleep(0)
    assert not calm.done()
    actors.discard(other)
    await calm
    assert repr(actors) == "<LiveActors 1/10 at_work=0>"
