"""One run of a workflow's code: events in, commands out. An owner module, without any I/O.

Used live (the events of a turn are applied as they arrive) and for replay (the events of the stored
turns are applied again, and what the code asks for is held against what it asked for then).
INVARIANT: after each single event the code runs until it is blocked, live exactly as in replay, so
that both see the same order.
"""

from __future__ import annotations

import asyncio
import contextvars
import inspect
import logging
import zlib
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from perdure.runtime.workflow import history as h
from perdure.runtime.workflow import payload
from perdure.runtime.workflow.calls import ActivityCall, Call, ChildCall, RetryCall, TimerCall
from perdure.runtime.workflow.context import WorkflowContext
from perdure.runtime.workflow.errors import NonDeterminismError
from perdure.runtime.workflow.executor import ContinuedAsNew, Outcome
from perdure.runtime.workflow.external_events import ExternalEvents
from perdure.runtime.workflow.failure import failure_of
from perdure.runtime.workflow.generator_style import drive
from perdure.runtime.workflow.loop import FOREVER_US, EndlessTurn, WorkflowLoop
from perdure.runtime.workflow.payload import DEFAULT_LIMITS, PayloadLimits
from perdure.runtime.workflow.refusals import refusal_of
from perdure.runtime.workflow.registry import Registry, WorkflowDefinition
from perdure.runtime.workflow.source import source_line
from perdure.runtime.workflow.task import Task
from perdure.runtime.workflow.uuids import derived_uuid

START_TIMER = 0
"""Task id of the timer that a delayed start waits for; the code's own ids begin at 1."""


@dataclass(frozen=True, slots=True)
class Run:
    """Which run this is: of which code, of which instance, in whose surroundings."""

    definition: WorkflowDefinition
    instance_id: str
    execution: int
    registry: Registry
    log: logging.Logger
    limits: PayloadLimits = DEFAULT_LIMITS
    app_id: str = "default"
    forks: tuple[h.Fork, ...] = ()
    """Whose turns it begins with: what follows from a run's identity is as it was there."""

    @property
    def seed(self) -> str:
        """Tells the chance of this run from that of all others."""
        first = self.forks[0] if self.forks else self
        return f"{first.instance_id}\n{first.execution}"

    def identity(self, turn: int) -> tuple[str, int]:
        """The instance and run that turn number `turn`, counted from 1, was first taken by."""
        for fork in self.forks:
            if turn <= fork.turns:
                return fork.instance_id, fork.execution
        return self.instance_id, self.execution


class Execution:
    """Owned by one workflow actor. `apply` events, then `take_commands` at the turn's end."""

    undecided = False
    """Implements `Executor`, and has decided as soon as an event is there."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self.instance_id = run.instance_id
        self.outcome: Outcome | None = None
        self.suspended = False
        self.begun = False
        self.custom_status: str | None = None
        self.patches: list[str] = []
        """Names for which `is_patched` answered True, in the order of the first answers."""
        self.new_patches: list[str] = []
        self.is_replaying = False
        self.recorded_patches: frozenset[str] = frozenset()
        self.terminated: h.ExecutionTerminated | None = None
        self.started: h.ExecutionStarted | None = None
        salt = zlib.crc32(run.seed.encode()) << 8
        self.loop = WorkflowLoop(self, salt)  # type: ignore[abstract]  # What it leaves out is refused.
        self._start_due = False
        self._held: deque[h.Incoming] = deque()
        self._arrived: set[int] = set()
        self._pending: dict[int, Call] = {}
        self._commands: dict[int, h.Outgoing] = {}
        self._cancelled_timers: list[int] = []
        self._timers: dict[int, int] = {}
        self._ids = 0
        self._derived = 0
        self._turns = 0
        self._born_us: int | None = None
        self._external = ExternalEvents()
        self._refused_patches: set[str] = set()
        self._main: asyncio.Task[Any] | None = None
        self._continue: tuple[str | None, bool] | None = None

    # ---- events in

    def begin_turn(self, at_us: int, is_replaying: bool) -> None:
        """The logical time of the events that follow."""
        if self._born_us is None:
            self._born_us = at_us
        self._turns += 1
        self.loop.now_us = at_us
        self.loop.is_replaying = self.is_replaying = is_replaying

    def expects(self, task_id: int) -> bool:
        """Whether an answer to `task_id` is still awaited and has not arrived yet."""
        return task_id in self._pending and task_id not in self._arrived

    def due(self, task_id: int) -> int | None:
        """When the timer `task_id` is to fire; None if it is not waited for."""
        return self._timers.get(task_id)

    def apply(self, event: h.Incoming) -> None:
        """Let one event happen, and run the code until it is blocked."""
        match event:
            case h.ExecutionSuspended():
                self.suspended = True
            case h.ExecutionResumed():
                self.suspended = False
                self._release()
            case h.ExecutionTerminated():
                if self.outcome is None:
                    self.terminated = event
                    self.outcome = h.ExecutionCompleted(h.Status.TERMINATED, event.output)
            case h.ExecutionStarted():
                self.started = event
                if event.scheduled_us is None:
                    self._start_due = True
                else:
                    self._timers[START_TIMER] = event.scheduled_us
                    self._pending[START_TIMER] = TimerCall(self._set_start_due)
                self._release()
            case h.TimerFired(task_id) if task_id == START_TIMER:
                self._answer(event)
                self._release()
            case _:
                if self.suspended or not self.begun:
                    self._held.append(event)
                    if not isinstance(event, h.EventRaised):
                        self._arrived.add(event.task_id)
                else:
                    self._happen(event)

    def _set_start_due(self) -> None:
        self._start_due = True

    def _release(self) -> None:
        """Begin if it is time, and let happen what was held back."""
        if self.suspended or self.outcome is not None:
            return
        if not self.begun:
            if not self._start_due:
                return
            self._begin()
        # What is still held when the run ends may be for the next one (continue-as-new).
        while self._held and not self.suspended and self.outcome is None:
            self._happen(self._held.popleft())

    def _happen(self, event: h.Incoming) -> None:
        if self.outcome is not None:
            return
        if isinstance(event, h.EventRaised):
            timer = self._external.arrive(event)
            if timer is not None:
                self.cancel_timer(timer)
        else:
            self._answer(event)
        self._advance()

    def _answer(self, event: Any) -> None:
        task_id: int = event.task_id
        call = self._pending.pop(task_id, None)
        self._arrived.discard(task_id)
        self._timers.pop(task_id, None)
        if call is None:
            raise NonDeterminismError(
                f"history answers task {task_id} ({type(event).__name__}), "
                "which the code has not asked for at this point"
            )
        call.answer(event)

    def _begin(self) -> None:
        self.begun = True
        self._main = self.loop.create_task(
            self._call_workflow(),
            name=self.run.definition.name,
            # An empty one: the code must not see what the caller of this very turn has set.
            context=contextvars.Context(),
        )
        self._advance()

    async def _call_workflow(self) -> Any:
        definition, started = self.run.definition, self.started
        assert started is not None
        result = definition.fn(*definition.arguments(WorkflowContext(self), started.input))
        if inspect.isgenerator(result):
            return await drive(result)
        if inspect.isawaitable(result):
            return await result
        return result

    def _advance(self) -> None:
        """Run until blocked, and see whether the run has come to its end."""
        try:
            self.loop.run_until_blocked()
        except EndlessTurn as error:
            if self.is_replaying:
                raise
            self.outcome = h.ExecutionCompleted(h.Status.FAILED, None, failure_of(error))
            return
        main = self._main
        assert main is not None
        if self._continue is not None:
            text, keep = self._continue
            carried = self._external.unconsumed() if keep else ()
            self.outcome = ContinuedAsNew(text, carried)
        elif main.done():
            self.outcome = self._completion(main)

    def _completion(self, main: asyncio.Task[Any]) -> h.ExecutionCompleted:
        if main.cancelled():
            failure = h.Failure("CancelledError", "the workflow cancelled itself")
            return h.ExecutionCompleted(h.Status.FAILED, None, failure)
        error = main.exception()
        if error is not None:
            error = refusal_of(error)
        else:
            try:
                text = self.run.definition.encode_output(main.result())
                return h.ExecutionCompleted(h.Status.COMPLETED, text)
            except payload.PayloadError as unfit:
                error = unfit
        return h.ExecutionCompleted(h.Status.FAILED, None, failure_of(error))

    @property
    def code_hash(self) -> str:
        return self.run.definition.code_hash

    @property
    def status(self) -> h.Status:
        """How the instance stands while it has not come to an end."""
        if not self.begun and not (self.started is not None and self.started.continued):
            return h.Status.PENDING
        return h.Status.SUSPENDED if self.suspended else h.Status.RUNNING

    # ---- commands out

    def take_commands(self) -> tuple[h.Outgoing, ...]:
        """What the code asked for since the last turn, in the order of asking."""
        if not self._commands:
            return ()
        commands = tuple(self._commands.values())
        self._commands.clear()
        return commands

    def take_cancelled_timers(self) -> list[int]:
        """Timers of earlier turns that nobody waits for any more."""
        cancelled, self._cancelled_timers = self._cancelled_timers, []
        return cancelled

    def take_new_patches(self) -> tuple[str, ...]:
        patches, self.new_patches = tuple(self.new_patches), []
        return patches

    def open_children(self) -> list[ChildCall]:
        """The calls of children that have not answered."""
        return [call for call in self._pending.values() if isinstance(call, ChildCall)]

    def open_timers(self) -> list[int]:
        return list(self._timers)

    # ---- what calls and the context use

    @property
    def now_us(self) -> int:
        return self.loop.now_us

    def next_task_id(self) -> int:
        self._ids += 1
        return self._ids

    def ask(self, task_id: int, command: h.Outgoing, call: Call | None) -> None:
        self._commands[task_id] = command
        if call is not None:
            self._pending[task_id] = call

    def adopt(self, asked: h.Outgoing) -> None:
        """Wait for what the history has, which is not quite what the code asked for (a fork)."""
        if isinstance(asked, h.ExecutionCompleted):
            return
        call = self._pending.get(asked.task_id)
        if isinstance(call, ActivityCall | ChildCall | RetryCall):
            call.adopt(asked)
        if isinstance(asked, h.TimerCreated) and asked.task_id in self._timers:
            self._timers[asked.task_id] = asked.fire_at_us

    def new_task(self) -> Task[Any]:
        return Task(loop=self.loop)

    def derived_id(self) -> str:
        """A UUID that is the same in every replay and differs between runs and instances."""
        self._derived += 1
        # With the time of its birth: after a purge the same id has the same numbers again.
        return derived_uuid(*self.run.identity(self._turns), self._born_us, self._derived)

    def start_timer(self, fire_at_us: int, fire: Callable[[], None], origin: str = "sleep") -> int:
        task_id = self.next_task_id()
        fire_at_us = max(0, min(fire_at_us, FOREVER_US))
        self._timers[task_id] = fire_at_us
        command = h.TimerCreated(task_id, fire_at_us, origin, source_line())
        self.ask(task_id, command, TimerCall(fire))
        return task_id

    def start_retry(self, fire_at_us: int, origin: str, call: RetryCall) -> None:
        self._pending[self.start_timer(fire_at_us, call.answer, origin)] = call

    def cancel_timer(self, task_id: int) -> None:
        if self._pending.pop(task_id, None) is None:
            return
        del self._timers[task_id]
        if task_id in self._arrived:  # It has fired, and its turn to be seen is still to come.
            self._pending[task_id] = TimerCall(_nothing)
            return
        if self._commands.pop(task_id, None) is None:
            self._cancelled_timers.append(task_id)

    def wait_for_event(self, name: str, hint: Any, timeout_us: int | None) -> Task[Any]:
        """The next event of that name: the oldest one buffered, else the next to arrive."""
        task = self.new_task()
        if self._external.take(name, task, hint):
            return task
        timer = None
        if timeout_us is not None:

            def expire() -> None:
                if not task.done():
                    task.set_exception(TimeoutError(f"no event '{name}' arrived in time"))

            if timeout_us <= 0:
                expire()
                return task
            timer = self.start_timer(self.now_us + timeout_us, expire, f"externalEvent:{name}")
        self._external.wait(name, task, hint, timer)
        return task

    def held_events(self) -> tuple[h.EventRaised, ...]:
        """External events that were held back and that this run will not see any more."""
        return tuple([event for event in self._held if isinstance(event, h.EventRaised)])

    def is_patched(self, name: str) -> bool:
        if name in self.patches:
            return True
        if name in self._refused_patches:
            return False
        if self.is_replaying and name not in self.recorded_patches:
            self._refused_patches.add(name)
            return False
        self.patches.append(name)
        self.new_patches.append(name)
        return True

    def continue_as_new(self, text: str | None, keep_events: bool) -> None:
        self._continue = (text, keep_events)

    def callback_failed(self, error: BaseException) -> None:
        if not self.is_replaying:
            self.run.log.error(
                "a callback of a workflow raised",
                exc_info=error,
                extra={"event": "callback_failed", "instance_id": self.instance_id},
            )

    def close(self) -> None:
        """Give up the live code; nothing that it still does has any effect."""
        self.loop.abandon()
        # They refer to this object. Left to the garbage collector, each run would cost it as much
        # as a tenth of its turns.
        self._pending.clear()
        self._main = None

    def __repr__(self) -> str:
        definition = self.run.definition
        return f"<Execution {definition.name} of {self.instance_id} run {self.run.execution}>"


def _nothing() -> None:
    pass
