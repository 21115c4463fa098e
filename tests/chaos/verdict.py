"""What is wrong with a round, in words and in numbers. A value module of the chaos rounds."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

LOST = "lost"
WRONG = "wrong"
STUCK = "stuck"
TWICE = "applied-twice"
UNEXPLAINED = "unexplained-repeats"
TAKEN = "false-take-overs"
ENDED = "nodes-failed"
KINDS = (LOST, WRONG, STUCK, TWICE, UNEXPLAINED, TAKEN, ENDED)


@dataclass(frozen=True)
class Problem:
    kind: str
    text: str


@dataclass
class Tally:
    """The findings of one round, or of many."""

    problems: list[Problem] = field(default_factory=list)
    cases: int = 0
    calls: int = 0
    """Tries of activities, each counted once."""
    repeats: int = 0
    """Runs of activities beyond the first of a try."""
    take_overs: int = 0
    faults: Counter[str] = field(default_factory=Counter)
    settled_after: float = 0.0
    """Seconds from the last fault or request to the last end of a workflow, at most."""
    slowest: float = 0.0
    """Seconds that the slowest request has taken, with all its attempts."""

    def add(self, other: Tally) -> None:
        self.problems += other.problems
        self.cases += other.cases
        self.calls += other.calls
        self.repeats += other.repeats
        self.take_overs += other.take_overs
        self.faults += other.faults
        self.settled_after = max(self.settled_after, other.settled_after)
        self.slowest = max(self.slowest, other.slowest)

    def numbers(self) -> str:
        found = Counter(problem.kind for problem in self.problems)
        bad = " ".join(f"{kind}={found[kind]}" for kind in KINDS)
        return (
            f"{bad} repeats={self.repeats} of {self.calls}, "
            f"slowest request {self.slowest:.1f} s, settled after {self.settled_after:.1f} s"
        )
