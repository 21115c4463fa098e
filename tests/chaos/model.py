"""What is started in a round, and what must become of it: a model that knows no engine.

The same seed gives the same plan.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from typing import Any

COMPLETED, FAILED, TERMINATED = "COMPLETED", "FAILED", "TERMINATED"


@dataclass(frozen=True)
class Ending:
    """How one instance must end. `output` is a value, not its text."""

    status: str
    output: Any = None


@dataclass(frozen=True, kw_only=True)
class Case:
    """One workflow that a client starts, and all that comes of it."""

    instance_id: str
    kind: str
    input: Any
    ending: Ending
    calls: Counter[str] = field(default_factory=Counter)
    """Tries of activities of the instance itself, by name; repeats after a fault do not count."""
    calls_may_miss: bool = False
    """It is ended from outside: it may not have come to them."""
    children: dict[str, Ending] = field(default_factory=dict)
    children_may_miss: bool = False
    events: tuple[str, ...] = ()
    """The data of what is raised, in order."""
    event_name: str = "news"


def plan(count: int, random: Random) -> list[Case]:
    """Workflows of all kinds, mixed."""
    makers: list[Callable[[str, Random], Case]] = [
        *(_chain, _fan, _family, _sleeper, _patient, _stubborn),
        *(_doomed, _again, _paused, _endless, _purged, _remote),
    ]
    cases = []
    for number in range(count):
        make = makers[number % len(makers)]
        cases.append(make(f"{make.__name__[1:]}-{number:03}", random))
    random.shuffle(cases)
    return cases


def _case(instance_id: str, input: Any, ending: Ending, **more: Any) -> Case:
    return Case(
        instance_id=instance_id,
        kind=instance_id.partition("-")[0],
        input=input,
        ending=ending,
        **more,
    )


def _events(instance_id: str, count: int) -> tuple[str, ...]:
    return tuple(f"{instance_id}/{number}" for number in range(count))


def _chain(instance_id: str, random: Random) -> Case:
    number = random.randrange(1, 100)
    return _case(instance_id, number, Ending(COMPLETED, 16 * number), calls=Counter(double=4))


def _fan(instance_id: str, random: Random) -> Case:
    width = random.randrange(4, 16)
    numbers = range(width)
    output = [sum(2 * n for n in numbers), sum(n + 1 for n in numbers), width]
    calls = Counter(double=width, in_thread=width, slow=1)
    return _case(instance_id, width, Ending(COMPLETED, output), calls=calls)


def _family(instance_id: str, random: Random) -> Case:
    number = random.randrange(1, 100)
    outputs = [16 * (number + n) for n in range(3)]
    children = {f"{instance_id}-c{n}": Ending(COMPLETED, outputs[n]) for n in range(3)}
    return _case(instance_id, number, Ending(COMPLETED, outputs), children=children)


def _sleeper(instance_id: str, random: Random) -> Case:
    number = random.randrange(1, 100)
    ending = Ending(COMPLETED, [number + 1, True, True])
    return _case(instance_id, number, ending, calls=Counter(double=2, in_thread=1))


def _patient(instance_id: str, random: Random) -> Case:
    events = _events(instance_id, random.randrange(2, 6))
    count = len(events)
    ending = Ending(COMPLETED, list(events))
    return _case(instance_id, count, ending, events=events, calls=Counter(double=count))


def _stubborn(instance_id: str, random: Random) -> Case:
    number = random.randrange(1, 100)
    return _case(instance_id, number, Ending(COMPLETED, number), calls=Counter(fails_twice=3))


def _doomed(instance_id: str, random: Random) -> Case:
    return _case(instance_id, random.randrange(100), Ending(FAILED), calls=Counter(fails=2))


def _again(instance_id: str, random: Random) -> Case:
    events = _events(instance_id, random.randrange(2, 5))
    ending = Ending(COMPLETED, list(events))
    calls = Counter(in_thread=len(events))
    return _case(instance_id, [len(events), []], ending, events=events, calls=calls)


def _paused(instance_id: str, random: Random) -> Case:
    number = random.randrange(1, 100)
    events = _events(instance_id, 1)
    ending = Ending(COMPLETED, [2 * number, events[0]])
    calls = Counter(slow=1, double=1)
    return _case(instance_id, number, ending, events=events, event_name="go", calls=calls)


def _endless(instance_id: str, random: Random) -> Case:
    return _case(
        instance_id,
        random.randrange(100),
        Ending(TERMINATED, "enough"),
        calls=Counter(double=1),
        calls_may_miss=True,
        children={f"{instance_id}-c0": Ending(TERMINATED, ...)},
        children_may_miss=True,
    )


def _remote(instance_id: str, random: Random) -> Case:
    """Of the workers."""
    number = random.randrange(1, 100)
    ending = Ending(COMPLETED, 8 * number)
    return _case(instance_id, number, ending, calls=Counter(remote_double=3))


def _purged(instance_id: str, random: Random) -> Case:
    number = random.randrange(1, 100)
    return _case(instance_id, number, Ending(COMPLETED, 2 * number), calls=Counter(double=1))
