"""A stored history in the order in which the code saw it. A value module."""

from __future__ import annotations

from collections.abc import Sequence

from perdure.runtime.workflow import history as h
from perdure.runtime.workflow.workers.execution import steps_of


def as_seen(turns: Sequence[h.Turn]) -> Sequence[h.Turn]:
    """Each decision of a worker with the events that it was given; what none has seen comes last.

    Turns of code that is in the node itself are so already.
    """
    if all(turn.decided is None for turn in turns):
        return turns
    found = steps_of(turns)
    seen = sum(len(step.incoming) for step in found)
    unseen = tuple([event for turn in turns for event in turn.incoming][seen:])
    return [*found, h.Turn(turns[-1].at_us, unseen)] if unseen else found
