"""Where the code of a run is: a port with two implementations. A value module.

`Execution` runs it in this process, on the live coroutine: what an event causes is known at once.
`WorkerExecution` has it in another process: what an event causes is known when a worker has decided
it. The workflow actor does not know which.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from perdure.runtime.workflow import history as h


@dataclass(frozen=True, slots=True)
class ContinuedAsNew:
    """The code asked to begin again, with these events still to be seen."""

    input: str | None
    carried: tuple[h.EventRaised, ...] = ()
    version: str | None = None
    """That of the next run, if it is not to be chosen afresh."""


Outcome = h.ExecutionCompleted | ContinuedAsNew


class OpenChild(Protocol):
    """A child that has not answered."""

    @property
    def instance_id(self) -> str: ...

    @property
    def app_id(self) -> str | None: ...


class Executor(Protocol):
    """One run. `apply` events, then `take_commands` at the turn's end."""

    outcome: Outcome | None
    suspended: bool
    custom_status: str | None
    started: h.ExecutionStarted | None
    terminated: h.ExecutionTerminated | None

    @property
    def code_hash(self) -> str:
        """Tells versions of the code apart."""
        ...

    @property
    def status(self) -> h.Status:
        """How the instance stands while it has not come to an end."""
        ...

    @property
    def undecided(self) -> bool:
        """Whether the code has still to see events that it could see now."""
        ...

    def begin_turn(self, at_us: int, is_replaying: bool) -> None:
        """The logical time of the events that follow."""
        ...

    def apply(self, event: h.Incoming) -> None:
        """Let one event happen."""
        ...

    def expects(self, task_id: int) -> bool:
        """Whether an answer to `task_id` is still awaited and has not arrived yet."""
        ...

    def due(self, task_id: int) -> int | None:
        """When the timer `task_id` is to fire; None if it is not waited for."""
        ...

    def take_commands(self) -> tuple[h.Outgoing, ...]:
        """What the code asked for since the last turn, in the order of asking."""
        ...

    def take_cancelled_timers(self) -> list[int]:
        """Timers of earlier turns that nobody waits for any more."""
        ...

    def take_new_patches(self) -> tuple[str, ...]:
        """Names that `is_patched` answered True for since the last turn for the first time."""
        ...

    def open_children(self) -> Sequence[OpenChild]: ...

    def open_timers(self) -> list[int]: ...

    def held_events(self) -> tuple[h.EventRaised, ...]:
        """External events that this run will not see any more."""
        ...

    def close(self) -> None:
        """Give up the live code."""
        ...


def due_before(executor: Executor | None, event: h.Incoming) -> int:
    """The time before which code must not see this event; 0 if any is right.

    A timer that has fired was due, though the clock be set back before the code gets to know.
    """
    if executor is None or not isinstance(event, h.TimerFired):
        return 0
    return executor.due(event.task_id) or 0
