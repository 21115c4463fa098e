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


def largest_call(work: TurnWork, decided: TurnDecided) -> tuple[str, int, int] | None:
    """The activity of a decision that takes most room, with the history that goes with it.

    Returns its name, its task id, and about how many bytes it takes; None without activities.
    """
    calls = [event for event in decided.outgoing if isinstance(event, h.TaskScheduled)]
    if not calls:
        return None
    own = received = 0
    if any(call.propagation for call in calls):
        own = _own_size(work, decided)
        received = 0 if work.propagated is None else len(encode_propagated(work.propagated))

    def size_of(call: h.TaskScheduled) -> int:
        along = own if call.propagation else 0
        above = received if call.propagation == PropagationScope.LINEAGE else 0
        return along + above + len(call.name.encode()) + len((call.input or "").encode())

    largest = max(calls, key=size_of)
    return largest.name, largest.task_id, size_of(largest)


def _own_size(work: TurnWork, decided: TurnDecided) -> int:
    """Bytes of the run's own history, with this decision."""
    header = h.Decided(decided.covers, decided.began_us)
    turn = h.Turn(decided.began_us, work.incoming, decided.outgoing, decided=header)
    past = [*work.past[: work.past_count], Step(turn)]
    encode_past(Run(work.instance_id, work.execution_id, past), len(past), Dialect.DAPR)
    return sum(len(step.wire[Dialect.DAPR][1]) for step in past)
