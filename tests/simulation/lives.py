"""One instance and its runs, as the rows of the store tell it. A value module."""

from __future__ import annotations

from dataclasses import dataclass, field

from perdure.runtime.workflow import history as h
from tests.simulation.sight import Sight

START_TIMER = 0


@dataclass(slots=True)
class Run:
    """One execution of an instance, as its history rows tell it."""

    number: int
    turns: list[h.Turn] = field(default_factory=list)
    tasks: dict[int, h.TaskScheduled] = field(default_factory=dict)
    timers: dict[int, int] = field(default_factory=dict)
    children: dict[int, str] = field(default_factory=dict)
    answered: set[int] = field(default_factory=set)
    requests: list[str] = field(default_factory=list)
    raised: list[h.EventRaised] = field(default_factory=list)
    highest_task: int = 0
    sight: Sight = field(default_factory=Sight)
    started: h.ExecutionStarted | None = None
    over: h.ExecutionCompleted | None = None
    taken_over: frozenset[int] = frozenset()
    """What was answered in another instance already, of which this one is run again."""

    def open_tasks(self) -> set[int]:
        return set(self.tasks) - self.answered

    @property
    def has_work(self) -> bool:
        """Whether it goes on without anything from outside."""
        is_due = START_TIMER not in self.timers or START_TIMER in self.answered
        return bool(self.open_tasks()) or self.sight.is_undecided(is_due=is_due)

    @property
    def fork(self) -> h.Fork | None:
        """Where its first turns come from, if they are not its own."""
        started = self.started
        return started.forks[-1] if started is not None and started.forks else None

    @property
    def forked(self) -> int:
        """How many turns these are."""
        return 0 if self.fork is None else self.fork.turns

    @property
    def is_past(self) -> bool:
        """Its last turn is one of these."""
        return len(self.turns) <= self.forked


@dataclass(slots=True)
class Life:
    """One instance from its creation to its purge."""

    key: int
    instance_id: str
    born: float
    status: h.Status = h.Status.PENDING
    execution: int = 0
    newest_start: str | None = None
    runs: dict[int, Run] = field(default_factory=dict)
    reminders: dict[str, int] = field(default_factory=dict)
    requests: set[str] = field(default_factory=set)
    """Start requests that opened a run."""
    is_gone: bool = False

    @property
    def run(self) -> Run:
        return self.runs[self.execution]

    @property
    def source(self) -> str | None:
        """The instance that it was run again of."""
        first = self.runs.get(1)
        return None if first is None or first.fork is None else first.fork.instance_id

    def has_seen(self, request: str) -> bool:
        """Whether an event with this request id has been accepted by this run or one before."""
        started = self.run.started
        return request in self.run.requests or (
            started is not None and request in started.seen_requests
        )
