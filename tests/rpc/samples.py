"""One run with every kind of event, and work made of it."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from perdure.runtime.rpc.dialect import Dialect, WorkerTraits
from perdure.runtime.rpc.events import Run
from perdure.runtime.workflow import history as h
from perdure.runtime.workflow.codec import encode_turn
from perdure.runtime.workflow.propagation import (
    FORMAT,
    Chunk,
    Propagated,
    PropagationScope,
)
from perdure.runtime.workflow.workers.numbers import ROUND
from perdure.runtime.workflow.workers.work import Step, TurnWork

T = 1_700_000_000
"""Seconds at which the first step was decided; each later one, one second after."""
FOREVER = 253_402_300_799_999_999
FAILURE = h.Failure("ValueError", "no", "at a.py:1", h.Failure("KeyError", "k"), True)

STARTED = h.ExecutionStarted(
    "order",
    '{"id":1}',
    "v1",
    h.Parent(9, "parent", 1, ROUND * 2 + 4, "shop"),
    tags=(("team", "a"),),
    trace=h.Trace("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "s=1"),
)
FIRST: tuple[h.Outgoing, ...] = (
    h.TaskScheduled(1, "pay", "1", "e-1", app_id="bank", version="v2", propagation=1),
    h.TimerCreated(2, FOREVER, "externalEvent:go", nanos=999),
    h.ChildWorkflowInstanceCreated(
        3, "order-1:0003", "ship", None, app_id="post", propagation=2, retry_of="c0", rerun_of="o0"
    ),
    h.DetachedWorkflowInstanceCreated(4, "d-1", "audit", None),
    h.EventSent(5, "other", "ping", "7"),
    h.TaskScheduled(6, "mail", None, "e-6"),
)
ANSWERS: tuple[h.Incoming, ...] = (
    h.TaskCompleted(1, '"paid"'),
    h.TaskFailed(6, FAILURE),
    h.ChildWorkflowInstanceFailed(3, None),
    h.EventRaised("go", None, "r-1"),
    h.ExecutionSuspended("lunch"),
    h.ExecutionResumed(None),
)

ABOVE = h.Turn(
    T * 1_000_000,
    (h.ExecutionStarted("outer", "1"),),
    (h.ChildWorkflowInstanceCreated(1, "order-1", "order", None, propagation=2),),
)
PROPAGATED = msgspec.msgpack.encode(
    Propagated(
        FORMAT,
        PropagationScope.LINEAGE,
        (
            Chunk("mall", "top", "x-t", "top", ()),
            Chunk("shop", "out-1", "x-0", "outer", (encode_turn(ABOVE),)),
        ),
    )
)
"""Of two callers, the farther one without an event."""


def steps(*turns: tuple[tuple[h.Incoming, ...], tuple[h.Outgoing, ...]]) -> list[Step]:
    """Decisions over these incoming events, with these outgoing ones."""
    found = []
    covers = 0
    for at, (incoming, outgoing) in enumerate(turns):
        covers += len(incoming)
        decided = h.Decided(covers, (T + at) * 1_000_000)
        found.append(Step(h.Turn(0, incoming, outgoing, decided=decided)))
    return found


def run(past: Sequence[Step]) -> Run:
    return Run("order-1", "x-1", past)


def work(
    past: Sequence[Step],
    incoming: tuple[h.Incoming, ...] = (h.EventRaised("go", "1", "r-9"),),
    propagated: bytes | None = None,
) -> TurnWork:
    after = sum(len(step.turn.incoming) for step in past)
    return TurnWork(
        *("order-1", 7, 1, "x-1", "order"),
        past,
        len(past),
        incoming,
        after,
        0,
        propagated,
    )


def worker(dialect: Dialect) -> WorkerTraits:
    return WorkerTraits(dialect)
