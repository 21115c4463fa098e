"""What workers are given to do, and what they answer. A value module.

A worker's turn is *decided* by its code over the history so far and the events that are new. What
it answers is held against that: a decision counts if it follows the last one that was written and
covers no event that has not been written. Whoever asked for it does not matter, nor how often.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import msgspec

from perdure.runtime.workflow import history as h
from perdure.runtime.workflow.executor import ContinuedAsNew

TURN = "turn"
"""Actor type of turns that workers decide; the actor id is the instance id."""
WORKERS = "workers"
"""Among what a node hosts: workers may connect to it."""


@dataclass(slots=True, eq=False)
class Step:
    """One decision as worker code sees it: the events that it was given, then what it asked for."""

    turn: h.Turn
    _asked: dict[int, h.Outgoing] | None = None
    wire: dict[str, tuple[int, bytes]] = field(default_factory=dict)
    """By dialect: events of its run up to its end, and its own events encoded.

    Made once, sent with every turn.
    """

    def asked(self, task_id: int) -> h.Outgoing | None:
        """What it asked for under that id."""
        if self._asked is None:
            self._asked = {
                event.task_id: event
                for event in self.turn.outgoing
                if not isinstance(event, h.ExecutionCompleted)
            }
        return self._asked.get(task_id)


class TurnWork(msgspec.Struct, frozen=True):
    """To a worker: decide the next turn of an instance."""

    instance_id: str
    key: int
    execution: int
    execution_id: str
    name: str
    past: Sequence[Step]
    """Grows while this is under way: only the first `past_count` belong to it."""
    past_count: int
    incoming: tuple[h.Incoming, ...]
    after: int
    """How many incoming events the past has."""
    floor_us: int
    """The time that the code reads as now must not be before this."""
    propagated: bytes | None = None
    trace: bytes | None = None
    """What a worker has told of its span of the run, for the next one to go on with."""

    @property
    def covers(self) -> int:
        return self.after + len(self.incoming)


class Termination(msgspec.Struct, frozen=True):
    """Another instance is to be ended."""

    instance_id: str
    reason: str | None = None
    recursive: bool = True


class TurnDecided(msgspec.Struct, frozen=True):
    """A worker's answer to `TurnWork`, to the workflow actor."""

    key: int
    execution: int
    after: int
    covers: int
    began_us: int
    outgoing: tuple[h.Outgoing, ...] = ()
    """Under the action ids of the worker. If the run is complete the last one says so."""
    continued: ContinuedAsNew | None = None
    custom_status: str | None = None
    patches: tuple[str, ...] = ()
    """All that the code has met in this run, in the order of its replay."""
    version: str | None = None
    terminations: tuple[Termination, ...] = ()
    stalled: str | None = None
    """Why it could not be decided, if it could not; then nothing else counts."""
    trace: bytes | None = None
    """What the worker tells of its span of the run."""
