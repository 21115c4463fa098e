"""One run whose code is in a worker: events in, commands out once it has decided. An owner module.

Implements `Executor`. What has happened stands here in two parts: the steps that a worker has
decided, and the events since then, which wait for the next decision. Nothing of the code itself is
here: a worker gets it all told, or knows the beginning already.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import msgspec

from perdure.runtime.workflow import history as h
from perdure.runtime.workflow.executor import Outcome
from perdure.runtime.workflow.loop import FOREVER_US
from perdure.runtime.workflow.uuids import derived_uuid
from perdure.runtime.workflow.workers.numbers import first_task_id, next_round
from perdure.runtime.workflow.workers.work import Step, TurnDecided, TurnWork

CODE = "worker"
"""Stands in the history where the hash of local code would."""
START_TIMER = 0


@dataclass(frozen=True)
class WorkerRun:
    """Which run this is."""

    instance_id: str
    key: int
    execution: int
    name: str

    @cached_property
    def execution_id(self) -> str:
        """Tells it from all other runs under its instance id."""
        return derived_uuid(self.instance_id, self.key, self.execution)


class WorkerExecution:
    """Owned by one workflow actor."""

    code_hash = CODE

    def __init__(self, run: WorkerRun) -> None:
        self.run = run
        self.outcome: Outcome | None = None
        self.suspended = False
        self.custom_status: str | None = None
        self.started: h.ExecutionStarted | None = None
        self.terminated: h.ExecutionTerminated | None = None
        self.patches: list[str] = []
        """All that the code has met, in the order of its replay."""
        self.trace: bytes | None = None
        """What a worker has told of its span of the run."""
        self.steps: list[Step] = []
        self.decided = 0
        """How many incoming events the steps have."""
        self._waiting: list[h.Incoming] = []
        """What the code has not seen yet."""
        self._pending: dict[int, h.Outgoing] = {}
        """What was asked for and has not been answered, by task id."""
        self._timers: dict[int, int] = {}
        self._used: set[int] = set()
        self._is_due = False
        self._commands: tuple[h.Outgoing, ...] = ()
        self._new_patches: tuple[str, ...] = ()
        self._last_us = 0

    # ---- events in

    def begin_turn(self, at_us: int, is_replaying: bool) -> None:
        # A worker may be at a node whose clock is behind: a timer that has fired must be due there.
        self._last_us = max(self._last_us, at_us)

    def expects(self, task_id: int) -> bool:
        return task_id in self._pending or task_id in self._timers

    def due(self, task_id: int) -> int | None:
        return self._timers.get(task_id)

    def apply(self, event: h.Incoming) -> None:
        match event:
            case h.ExecutionStarted():
                self.started = event
                self._is_due = event.scheduled_us is None
                if event.scheduled_us is not None:
                    self._timers[START_TIMER] = event.scheduled_us
            case h.ExecutionSuspended():
                self.suspended = True
            case h.ExecutionResumed():
                self.suspended = False
            case h.ExecutionTerminated():
                # At once: there may be no worker, and what it would say is known.
                self.terminated = event
                self.outcome = h.ExecutionCompleted(h.Status.TERMINATED, event.output)
            case h.EventRaised():
                pass
            case _:
                if event.task_id == START_TIMER:
                    self._is_due = True
                self._pending.pop(event.task_id, None)
                self._timers.pop(event.task_id, None)
        self._waiting.append(event)

    @property
    def undecided(self) -> bool:
        return self._is_due and self.outcome is None and bool(self._waiting)

    @property
    def status(self) -> h.Status:
        if not self.decided and not (self.started is not None and self.started.continued):
            return h.Status.PENDING
        return h.Status.SUSPENDED if self.suspended else h.Status.RUNNING

    # ---- what a worker is to decide, and has decided

    def work(self) -> TurnWork:
        """The next decision, over all that has happened so far."""
        run = self.run
        started = self.started
        return TurnWork(
            run.instance_id,
            run.key,
            run.execution,
            run.execution_id,
            run.name,
            self.steps,
            len(self.steps),
            tuple(self._waiting),
            self.decided,
            self._last_us,
            None if started is None else started.propagated,
            self.trace,
        )

    def follows(self, decided: TurnDecided) -> bool:
        """Whether a decision is the next one, over events that have happened here."""
        run = self.run
        return (
            (decided.key, decided.execution, decided.after)
            == (
                run.key,
                run.execution,
                self.decided,
            )
            and self.undecided
            and self.decided < decided.covers <= self.decided + len(self._waiting)
        )

    def objection(self, decided: TurnDecided) -> str | None:
        """Why the run cannot go on by this decision."""
        if decided.stalled is not None:
            return decided.stalled
        if list(decided.patches[: len(self.patches)]) != self.patches:
            return (
                f"Patch mismatch. History patches: [{', '.join(self.patches)}], "
                f"current patches: [{', '.join(decided.patches)}]. "
            )
        return None

    def decide(self, decided: TurnDecided, at_us: int) -> h.Decided:
        """Let the code have seen and asked for all this. What it asked for is there to be taken."""
        self._commands = tuple([self._numbered(command) for command in decided.outgoing])
        self._new_patches = decided.patches[len(self.patches) :]
        self.custom_status = decided.custom_status or None
        seen = decided.covers - self.decided
        trace = None if decided.trace == self.trace else decided.trace
        header = h.Decided(decided.covers, decided.began_us, decided.version, trace)
        step = h.Turn(
            at_us,
            tuple(self._waiting[:seen]),
            self._commands,
            CODE,
            self._new_patches,
            header,
        )
        self._add(step, header)
        if decided.continued is not None:
            self.outcome = decided.continued
        elif self._commands and isinstance(self._commands[-1], h.ExecutionCompleted):
            self.outcome = self._commands[-1]
            self._commands = self._commands[:-1]
        return header

    def _numbered(self, command: h.Outgoing) -> h.Outgoing:
        """Under a number that has not been used; note what is to be answered."""
        if isinstance(command, h.ExecutionCompleted):
            return command
        task_id = first_task_id(command.task_id)
        while task_id in self._used:
            task_id = next_round(task_id)
        if task_id != command.task_id:
            command = msgspec.structs.replace(command, task_id=task_id)
        self._asked(command)
        return command

    def _asked(self, command: h.Outgoing) -> None:
        match command:
            case h.ExecutionCompleted():
                return
            case h.TimerCreated():
                if not is_for_ever(command):
                    self._timers[command.task_id] = command.fire_at_us
            case h.TaskScheduled() | h.ChildWorkflowInstanceCreated():
                self._pending[command.task_id] = command
        self._used.add(command.task_id)

    def _add(self, step: h.Turn, header: h.Decided) -> None:
        self.steps.append(Step(step))
        del self._waiting[: len(step.incoming)]
        self.decided = header.covers
        self.trace = header.trace or self.trace
        self.patches.extend(step.patches)
        self._last_us = max(self._last_us, header.began_us)

    def recall(self, turn: h.Turn) -> None:
        """Let a stored turn have happened."""
        self.begin_turn(turn.at_us, is_replaying=True)
        for event in turn.incoming:
            self.apply(event)
        header = turn.decided
        if header is None:
            return
        for command in turn.outgoing:
            self._asked(command)
        seen = tuple(self._waiting[: header.covers - self.decided])
        self._add(msgspec.structs.replace(turn, incoming=seen), header)

    def end_by_engine(self, at_us: int) -> h.Decided:
        """No worker decides the rest: the run is over."""
        return h.Decided(self.decided + len(self._waiting), max(at_us, self._last_us))

    # ---- commands out

    def take_commands(self) -> tuple[h.Outgoing, ...]:
        commands, self._commands = self._commands, ()
        return commands

    def take_cancelled_timers(self) -> list[int]:
        return []  # Workers never say so.

    def take_new_patches(self) -> tuple[str, ...]:
        patches, self._new_patches = self._new_patches, ()
        return patches

    def open_children(self) -> Sequence[h.ChildWorkflowInstanceCreated]:
        return [
            asked
            for asked in self._pending.values()
            if isinstance(asked, h.ChildWorkflowInstanceCreated)
        ]

    def open_timers(self) -> list[int]:
        return list(self._timers)

    def held_events(self) -> tuple[h.EventRaised, ...]:
        return tuple([event for event in self._waiting if isinstance(event, h.EventRaised)])

    def close(self) -> None:
        pass

    def __repr__(self) -> str:
        run = self.run
        return f"<WorkerExecution {run.name} of {run.instance_id} run {run.execution}>"


def is_for_ever(timer: h.TimerCreated) -> bool:
    """Whether a timer only stands for a wait without a timeout (spec 2.3)."""
    return timer.fire_at_us >= FOREVER_US


def steps_of(turns: Sequence[h.Turn]) -> list[h.Turn]:
    """The history as the code has seen it: each decision with the events that it was given.

    Stored turns hold events as they came; one that came while a decision was being made belongs to
    the next one.
    """
    found: list[h.Turn] = []
    waiting: list[h.Incoming] = []
    decided = 0
    for turn in turns:
        waiting += turn.incoming
        if turn.decided is not None:
            seen = turn.decided.covers - decided
            found.append(msgspec.structs.replace(turn, incoming=tuple(waiting[:seen])))
            del waiting[:seen]
            decided = turn.decided.covers
    return found
