"""History that goes with a call, as Dapr's workers read it. A value module.

Each event of a caller is there as the bytes of a `HistoryEvent`, so that who gets it need not know
the kinds of events of who made it. Only Dapr's dialect has such a field.
"""

from __future__ import annotations

from functools import lru_cache

from perdure.runtime.rpc import taskhub_pb2 as pb
from perdure.runtime.rpc.dialect import Dialect
from perdure.runtime.rpc.events import Run, encode_past, history_events
from perdure.runtime.workflow import history as h
from perdure.runtime.workflow.propagation import Chunk, PropagationScope, decode_propagated
from perdure.runtime.workflow.workers.work import Step, TurnDecided, TurnWork

_MADE_MAX = 8


# The same goes with every turn of a child, and with all activities of a fan-out.
@lru_cache(maxsize=_MADE_MAX)
def encode_propagated(propagated: bytes) -> bytes:
    """A serialized `PropagatedHistory`. Raises `CorruptHistory`."""
    found = decode_propagated(propagated)
    chunks = [
        pb.PropagatedHistoryChunk(
            rawEvents=_raw_events(chunk),
            appId=chunk.app_id,
            instanceId=chunk.instance_id,
            workflowName=chunk.workflow_name,
        )
        for chunk in found.chunks
    ]
    return pb.PropagatedHistory(scope=int(found.scope), chunks=chunks).SerializeToString()


def _raw_events(chunk: Chunk) -> list[bytes]:
    run = Run(chunk.instance_id, chunk.run_id, [Step(turn) for turn in chunk.turns])
    return [event.SerializeToString() for event in history_events(run, Dialect.DAPR)]


def largest_call(work: TurnWork, decided: TurnDecided) -> tuple[h.TaskScheduled, int] | None:
    """The activity of a decision that takes most room with the history that goes with it.

    Returns it with about how many bytes it takes; None if history goes with none of them.
    """
    calls = [e for e in decided.outgoing if isinstance(e, h.TaskScheduled) and e.propagation]
    if not calls:
        return None
    turn = h.Turn(
        decided.began_us,
        work.incoming,
        decided.outgoing,
        decided=h.Decided(decided.covers, decided.began_us),
    )
    past = [*work.past[: work.past_count], Step(turn)]
    run = Run(work.instance_id, work.execution_id, past)
    _, own = encode_past(run, len(past), Dialect.DAPR)
    received = 0 if work.propagated is None else len(encode_propagated(work.propagated))

    def size_of(call: h.TaskScheduled) -> int:
        above = received if call.propagation == PropagationScope.LINEAGE else 0
        return own + above + len((call.input or "").encode())

    largest = max(calls, key=size_of)
    return largest, size_of(largest)
