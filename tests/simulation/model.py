"""What a random program must come to. A value module: it knows the language and no engine."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import Any

from tests.simulation.programs import FAR, FAR_GEN, FAR_WORK, Program


@dataclass(frozen=True, slots=True)
class OneOf:
    """Either is right: it depends on the time."""

    answers: list[Any]


@dataclass(frozen=True, slots=True)
class AfterTries:
    """What comes of a call that is tried again.

    If it is run again from one of its tries, so many may be too few, or enough: those of both count
    together if they have the same execution id.
    """

    answer: Any
    other: Any


@dataclass(slots=True)
class Case:
    """A program with everything that a client has to know of it."""

    style: str
    program: Program
    rounds: int
    expected: Any = None
    fails: bool = False
    events: list[tuple[str, Any]] = field(default_factory=list)
    """Name and data of the events to be raised, in this order."""
    status: str | None = None
    """The custom status at the end, if the program sets one."""
    has_children: bool = False


def matches(expected: Any, found: Any, *, is_again: bool = False) -> bool:
    """Whether a result is what the model demands, of what is run again from an event perhaps."""
    if isinstance(expected, OneOf):
        return any(matches(answer, found, is_again=is_again) for answer in expected.answers)
    if isinstance(expected, AfterTries):
        return bool(found == expected.answer) or (is_again and bool(found == expected.other))
    if isinstance(expected, list):
        return (
            isinstance(found, list)
            and len(expected) == len(found)
            and all(matches(e, f, is_again=is_again) for e, f in zip(expected, found, strict=True))
        )
    return bool(expected == found)


class Author:
    """Makes up programs; every number comes from `rng`."""

    def __init__(self, rng: random.Random, *, has_workers: bool = False) -> None:
        self._rng = rng
        self._styles = ("main", "gen", *((FAR, FAR_GEN) if has_workers else ()))
        self._activities: tuple[str, ...] = ("work",) * 7 + ("work_in_thread",) * 3
        if has_workers:
            self._activities += (FAR_WORK,) * 6
        self._values = 0
        self._names = 0
        self._maybe: dict[str, list[Any]] = {}

    def case(self) -> Case:
        rng = self._rng
        style = rng.choice(self._styles)
        kind = rng.random()
        if kind < 0.12:
            return self._collector(style)
        if kind < 0.2:
            return self._endless_rounds(style)
        case = Case(style, [], 0)
        steps = [self._step(case, 0, style) for _ in range(rng.randint(1, 4))]
        case.program = ["seq", *steps]
        if rng.random() < 0.15:
            case.rounds = rng.randint(1, 4)
        if rng.random() < 0.08:
            case.program.append(["fail", "as it should"])
            case.fails, case.rounds = True, 0
        self._expect(case)
        return case

    def _expect(self, case: Case) -> None:
        """Runs the program in the mind, round after round."""
        rounds = []
        for _ in range(case.rounds + 1):
            case.status = None
            rounds.append(self._result(case.program, case))
        case.expected = rounds

    # ---- kinds

    def _collector(self, style: str) -> Case:
        """Takes one event a round and goes round by continue-as-new: none is lost, all in order."""
        rounds = self._rng.randint(2, 6)
        name = self._name()
        program: Program = ["event", name]
        if self._rng.random() < 0.5:
            program = ["seq", program, self._plain_call(10)]
        case = Case(style, program, rounds)
        self._expect(case)
        return case

    def _endless_rounds(self, style: str) -> Case:
        """More rounds than one turn may go through."""
        case = Case(style, ["status", "round"], self._rng.randint(15, 45))
        self._expect(case)
        return case

    def _step(self, case: Case, depth: int, style: str) -> Program:
        rng = self._rng
        verbs = ["call"] * 4 + ["flaky", "sleep", "status", "chance", "forget", "race", "maybe"]
        verbs += ["event", "event"] if depth == 0 else []
        verbs += ["child", "child", "all", "group", "detach"] if depth < 3 else []
        verbs += ["queue", "break"] if style in ("main", FAR) else []
        verbs += ["limit"] if style == "main" else []
        match rng.choice(verbs):
            case "call":
                return [
                    "call",
                    self._value(),
                    rng.choice((0, 5, 50, 900)),
                    0,
                    1,
                    rng.choice(self._activities),
                ]
            case "flaky":
                tries = rng.randint(1, 4)
                failing = rng.choice((-1, 1, 2, 3, 9))
                return ["call", self._value(), 3, failing, tries, rng.choice(self._activities)]
            case "sleep":
                return ["sleep", rng.choice((1, 20, 300, 2500, 7000))]
            case "status":
                return ["status", self._name()]
            case "forget":
                return ["forget", self._value(), rng.choice((0, 400)), rng.choice(self._activities)]
            case "race":
                inner = self._plain_call(rng.choice((0, 100)))
                return ["race", rng.choice((50, 100, 5000)), inner]
            case "maybe":
                return ["maybe", self._name(), rng.choice((0, 30, 2000))]
            case "event":
                return ["event", rng.choice("abC")]
            case "limit":
                return ["limit", self._value(), rng.choice((0.01, 0.3))]
            case "queue":
                return ["queue", rng.randint(2, 4)]
            case "break":
                sleepers = [["sleep", 3000 + n] for n in range(rng.randint(2, 4))]
                return ["break", self._value(), *sleepers]
            case "all" | "group" as verb:
                # An event in there would go to whoever asks first.
                steps = [self._step(case, max(depth, 1), style) for _ in range(rng.randint(2, 4))]
                return [verb, *steps]
            case "child":
                return self._child(case, depth)
            case "detach":
                return ["detach", self._plain_call(5), self._name(), rng.choice(self._styles)]
            case verb:
                return [verb]

    def _child(self, case: Case, depth: int) -> Program:
        rng = self._rng
        case.has_children = True
        style = rng.choice(self._styles)
        steps = [self._step(case, depth + 1, style) for _ in range(rng.randint(1, 2))]
        tries = 1
        if rng.random() < 0.2:
            steps.append(["fail", "a child"])
            tries = rng.choice((1, 1, 2))
        return ["child", ["seq", *steps], style, rng.choice((None, self._name())), tries]

    def _plain_call(self, milliseconds: int) -> Program:
        name = self._rng.choice(self._activities)
        return ["call", self._value(), milliseconds, 0, 1, name]

    def _value(self) -> str:
        self._values += 1
        return f"v{self._values}"

    def _name(self) -> str:
        self._names += 1
        return f"n{self._names}"

    # ---- results

    def _result(self, step: Program, case: Case, *, own: bool = True) -> Any:
        """`own` is false within a child: its status is not the parent's."""
        match step:
            case ["call", value, _, failing, tries, _]:
                if failing <= 0:
                    return "failed" if failing else value
                is_enough = failing < tries
                return AfterTries(*((value, "failed") if is_enough else ("failed", value)))
            case ["sleep", _]:
                return True
            case ["limit", *_]:
                return "failed"
            case ["seq", *steps]:
                return [self._result(each, case, own=own) for each in steps]
            case ["all" | "group", *steps]:
                before = case.status
                results = [self._result(each, case, own=own) for each in steps]
                if case.status != before:
                    case.status = "*"  # Who was the last one?
                return results
            case ["race", _, inner]:
                return OneOf([inner[1], "late"])
            case ["event", name]:
                data = self._value()
                raised = name.swapcase() if self._rng.random() < 0.3 else name
                case.events.append((raised, data))
                return data
            case ["maybe", name, _]:
                # One that comes too late in this round is there in the next.
                answers = self._maybe.setdefault(name, ["late"])
                if own and self._rng.random() < 0.5:
                    answers.append(self._value())
                    case.events.append((name, answers[-1]))
                return OneOf(answers)
            case ["child", program, _, _, _]:
                inner = self._result(program, case, own=False)
                return "failed" if program[-1][0] == "fail" else [inner]
            case ["break", *_]:
                return "broken"
            case ["queue", count]:
                return list(range(count))
            case ["status", text]:
                if own:
                    case.status = text
            case ["chance"] if own:
                case.status = "*"
        return step[0]
