"""How much of what happened to a run its code has seen. A value module.

Code in this process sees everything in the turn in which it comes. What is decided by a worker is
decided on a beginning of it: only what stood in the store before, and never the same a second time.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from perdure.runtime.workflow import history as h
from perdure.runtime.workflow.workers.execution import CODE


@dataclass(slots=True)
class Sight:
    """Of one run."""

    came: list[h.Incoming] = field(default_factory=list)
    seen: int = 0
    is_far: bool = False
    """The code is in a worker."""
    is_suspended: bool = False
    """As far as the code has seen."""

    def take(self, turn: h.Turn, *, is_past: bool) -> str | None:
        """A turn of it, and what is wrong with that. `is_past`: it is of another instance."""
        before = len(self.came)
        self.is_far = turn.code == CODE if not before else self.is_far
        self.came += turn.incoming
        until = len(self.came)
        if self.is_far:
            if turn.decided is None:
                return "I8: commands that nobody has decided" if turn.outgoing else None
            until = turn.decided.covers
            if until <= self.seen:
                return f"I4: decided on {until} events, after {self.seen}"
            if is_past and until != len(self.came):
                return f"I16: decided on {until} events, with {len(self.came)}"
            if until > (len(self.came) if is_past or _is_terminated(turn) else before):
                return f"I15: decided on {until} events when {before} were written"
        seen = self.came[self.seen : until]
        was_suspended, self.seen = self.is_suspended, until
        woken = False
        for event in seen:
            if isinstance(event, h.ExecutionSuspended):
                self.is_suspended = True
            elif isinstance(event, (h.ExecutionResumed, h.ExecutionTerminated)):
                self.is_suspended, woken = False, True
        if was_suspended and not woken and turn.outgoing:
            return f"I11: progress while suspended: {turn.outgoing}"
        return None

    def is_undecided(self, *, is_due: bool) -> bool:
        """Whether a worker has something to decide; not before the time of a delayed start."""
        return self.is_far and is_due and self.seen < len(self.came)


def _is_terminated(turn: h.Turn) -> bool:
    return any(isinstance(event, h.ExecutionTerminated) for event in turn.incoming)
