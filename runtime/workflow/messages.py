"""What can be said to a workflow actor and to an activity actor. A value module.

Every message may arrive twice: after a commit whose outcome is unknown it is simply taken again.
`request_id` is what makes that harmless where the content does not.
"""

from __future__ import annotations

from typing import Any

import msgpack
import msgspec

from perdure.runtime.workflow.codec import CorruptHistory, decode_event, encode_event
from perdure.runtime.workflow.executor import ContinuedAsNew
from perdure.runtime.workflow.history import (
    ChildWorkflowInstanceCompleted,
    ChildWorkflowInstanceFailed,
    ExecutionStarted,
    ExecutionTerminated,
    Outgoing,
    TaskCompleted,
    TaskFailed,
    TimerFired,
)
from perdure.runtime.workflow.workers.work import Termination, TurnDecided

WORKFLOW = "workflow"
"""Actor type of workflow instances; the actor id is the instance id."""
ACTIVITY = "activity"
"""Actor type of activity executions; the actor id is `<instance id>::<task id>`."""


class StartWorkflow(msgspec.Struct, frozen=True, gc=False):
    """Create an instance, or a new run under the id of a finished one."""

    event: ExecutionStarted
    request_id: str
    unique: bool = False
    """Refuse the id even if its instance has finished."""
    tell_parent: bool = False
    """Sent by a parent's turn: a refusal goes to the parent as a failure of its child."""


class OpenFork(msgspec.Struct, frozen=True, gc=False):
    """Create an instance that begins with the past of another one; its id must be unused."""

    name: str
    version: str | None
    past: tuple[bytes, ...]
    """The first rows of its history, encoded."""
    asked: tuple[Outgoing, ...]
    """What of that past is still to be carried out."""
    request_id: str


class RaiseEvent(msgspec.Struct, frozen=True, gc=False):
    name: str
    data: str | None
    request_id: str


class Suspend(msgspec.Struct, frozen=True, gc=False):
    reason: str | None = None


class Resume(msgspec.Struct, frozen=True, gc=False):
    reason: str | None = None


class Terminate(msgspec.Struct, frozen=True, gc=False):
    event: ExecutionTerminated
    ignore_missing: bool = False
    """A cascade from a parent: a child that is gone meanwhile is no error."""


class Purge(msgspec.Struct, frozen=True, gc=False):
    force: bool = False


class Completion(msgspec.Struct, frozen=True, gc=False):
    """The answer to something that run number `execution` of the instance `key` has asked for.

    The key, because after a purge the same id begins again with run number 1. A fired timer comes
    this way only while its instance is stalled and its reminder was taken.
    """

    key: int
    execution: int
    event: (
        TaskCompleted
        | TaskFailed
        | TimerFired
        | ChildWorkflowInstanceCompleted
        | ChildWorkflowInstanceFailed
    )

    @property
    def key_of_call(self) -> tuple[int, int, int]:
        """Of the answer to an activity: as of the call."""
        return self.key, self.execution, self.event.task_id


class RunActivity(msgspec.Struct, frozen=True, gc=False):
    """To an activity actor: run this, once, and tell the workflow what came of it."""

    instance_id: str
    key: int
    execution: int
    task_id: int
    name: str
    input: str | None
    execution_id: str
    timeout_ms: int | None = None
    workflow_name: str = ""
    again: bool = False
    """Told before, perhaps by another owner of the workflow: somebody may be at it already."""
    app_id: str | None = None
    """The app whose code it is, if that is not the workflow's own."""
    caller_app: str | None = None
    """The workflow's app, where `app_id` says another one."""
    version: str | None = None
    trace_parent: str | None = None
    propagated: bytes | None = None
    """History of its callers; `propagation` reads it."""
    trace_state: str | None = None

    @property
    def key_of_call(self) -> tuple[int, int, int]:
        """What tells this call of an activity from every other one."""
        return self.key, self.execution, self.task_id


class Undeliverable(msgspec.Struct, frozen=True, gc=False):
    """Whoever could run an activity cannot be told of it: it is too large. Nobody has begun it."""

    key: int
    execution: int
    task_id: int
    reason: str

    @property
    def key_of_call(self) -> tuple[int, int, int]:
        """As of the call."""
        return self.key, self.execution, self.task_id


ActivityEnd = TaskCompleted | TaskFailed | Undeliverable
"""What may come of having an activity run."""

WorkflowMessage = (
    StartWorkflow
    | OpenFork
    | RaiseEvent
    | Suspend
    | Resume
    | Terminate
    | Purge
    | Completion
    | Undeliverable
    | TurnDecided
)

DurableMessage = StartWorkflow | Terminate | Completion | RaiseEvent
"""What workflows tell each other, or themselves; it stands in the inbox until it is taken."""


_PLAIN: dict[int, type[msgspec.Struct]] = {
    3: RaiseEvent,
    4: Suspend,
    5: Resume,
    6: Purge,
    7: RunActivity,
    10: Undeliverable,
}
"""Messages whose fields are plain values, by their number; 0 to 2, 8 and 9 hold events."""

_NUMBER_OF = {kind: number for number, kind in _PLAIN.items()}


def encode(message: WorkflowMessage | RunActivity) -> bytes:
    """A message as an inbox row, or as what goes to another node."""
    match message:
        case StartWorkflow():
            fields: list[Any] = [
                0,
                encode_event(message.event),
                message.request_id,
                message.unique,
                message.tell_parent,
            ]
        case Completion():
            fields = [1, message.key, message.execution, encode_event(message.event)]
        case TurnDecided():
            fields = [8, *_decided(message)]
        case OpenFork():
            asked = [encode_event(event) for event in message.asked]
            fields = [9, message.name, message.version, message.past, asked, message.request_id]
        case Terminate():
            fields = [2, encode_event(message.event), message.ignore_missing]
        case _:
            fields = [_NUMBER_OF[type(message)], *msgspec.structs.astuple(message)]
    return bytes(msgpack.packb([1, *fields], default=_plain))


def decode(body: bytes) -> WorkflowMessage | RunActivity:
    """The message of such bytes. Raises `CorruptHistory`."""
    try:
        version, kind, *fields = msgpack.unpackb(body, use_list=False)
        if version != 1:
            raise CorruptHistory(f"message of format {version}, this release reads 1")
        match kind:
            case 0:
                return StartWorkflow(decode_event(fields[0]), *fields[1:])
            case 1:
                return Completion(fields[0], fields[1], decode_event(fields[2]))
            case 2:
                return Terminate(decode_event(fields[0]), fields[1])
            case 8:
                return _decided_of(fields)
            case 9:
                asked = tuple([decode_event(event) for event in fields[3]])
                return OpenFork(fields[0], fields[1], fields[2], asked, fields[4])
            case _ if kind in _PLAIN:
                message: Any = _PLAIN[kind](*fields)
                return message  # type: ignore[no-any-return]  # One of the union, by the table.
    except (ValueError, TypeError, IndexError, msgpack.UnpackException) as error:
        raise CorruptHistory(f"undecodable message: {error}") from error
    raise CorruptHistory(f"message of unknown kind {kind!r}")


def _decided(message: TurnDecided) -> list[Any]:
    fields = list(msgspec.structs.astuple(message))
    fields[5] = [encode_event(event) for event in message.outgoing]
    if message.continued is not None:
        again = message.continued
        fields[6] = (again.input, [encode_event(event) for event in again.carried], again.version)
    return fields


def _decided_of(fields: list[Any]) -> TurnDecided:
    fields[5] = tuple([decode_event(event) for event in fields[5]])
    if fields[6] is not None:
        input, carried, version = fields[6]
        events = tuple([decode_event(event) for event in carried])
        fields[6] = ContinuedAsNew(input, events, version)
    fields[8] = tuple(fields[8])
    fields[10] = tuple([Termination(*each) for each in fields[10]])
    return TurnDecided(*fields)


def _plain(value: Any) -> Any:
    if isinstance(value, msgspec.Struct):
        return msgspec.structs.astuple(value)
    raise TypeError(f"not storable: {value!r}")
