"""What workers answer, as decisions of ours. A value module.

Whatever a worker sends, it is either a decision that the engine can take as it stands or refused
with `Malformed`, before anything of it counts.
"""

from __future__ import annotations

from google.protobuf.message import DecodeError
from msgspec.structs import replace

from perdure.actors.errors import Refused
from perdure.runtime.rpc import taskhub_pb2 as pb
from perdure.runtime.rpc.dialect import Dialect
from perdure.runtime.rpc.values import failure_of, microseconds, text_in
from perdure.runtime.workflow import history as h
from perdure.runtime.workflow.executor import ContinuedAsNew
from perdure.runtime.workflow.uuids import derived_uuid
from perdure.runtime.workflow.workers.numbers import ROUND, first_task_id
from perdure.runtime.workflow.workers.work import (
    Termination,
    TurnDecided,
    TurnWork,
)

_YEAR_1_SECONDS = -62_135_596_800
_YEAR_9999_SECONDS = 253_402_300_799
_SCOPES = (0, 1, 2)
_TRACE_BYTES_MAX = 256
"""The id of a span and a time. It stands in the history, and is sent with every turn."""


class Malformed(Refused):
    """A worker's answer says something that cannot be done."""


def decision_of(
    response: pb.WorkflowResponse,
    work: TurnWork,
    began_us: int,
    dialect: Dialect,
    *,
    own_app: str = "",
) -> TurnDecided:
    """What the worker has decided on `work`, in a node of `own_app`. Raises `Malformed`.

    Actions beside the end of a run count, wherever they stand: what the code has begun and
    not waited for is still done. Timers do not, and nothing does beside a continue-as-new.
    """
    if response.instanceId not in ("", work.instance_id):
        raise Malformed(f"an answer for '{response.instanceId}' to a turn of '{work.instance_id}'")
    if response.isPartial:
        raise Malformed("a decision in several parts; this server takes a decision as a whole only")
    answer = TurnDecided(work.key, work.execution, work.after, work.covers, began_us)
    version, trace = _version_or_trace(response, dialect)
    name = version.name or None
    read = _Reading(work, dialect, own_app)
    for action in response.actions:
        read.take(action)
    if read.version_missing:
        return replace(answer, stalled=_version_not_available(name, work))
    answer = replace(answer, patches=tuple(version.patches), version=name, trace=trace)
    if isinstance(read.end, ContinuedAsNew):
        return replace(answer, continued=read.end)
    outgoing = read.outgoing
    if read.end is not None:
        outgoing = [event for event in outgoing if not isinstance(event, h.TimerCreated)]
        outgoing.append(read.end)
    return replace(
        answer,
        outgoing=tuple(outgoing),
        custom_status=response.customStatus.value or None,
        terminations=tuple(read.terminations),
    )


def activity_outcome(response: pb.ActivityResponse, task_id: int) -> h.TaskCompleted | h.TaskFailed:
    """`task_id` is ours; the one in the response is the worker's."""
    if response.HasField("failureDetails"):
        return h.TaskFailed(task_id, failure_of(response.failureDetails))
    return h.TaskCompleted(task_id, text_in(response, "result"))


class _Reading:
    """The actions of one response, taken one after the other."""

    def __init__(self, work: TurnWork, dialect: Dialect, own_app: str) -> None:
        self._work = work
        self._dialect = dialect
        self._own_app = own_app
        self._taken: set[int] = set()
        self.outgoing: list[h.Outgoing] = []
        self.terminations: list[Termination] = []
        self.end: h.ExecutionCompleted | ContinuedAsNew | None = None
        self.version_missing = False

    def take(self, action: pb.WorkflowAction) -> None:
        self._refuse_microsofts_own(action)
        match action.WhichOneof("workflowActionType"):
            case "completeWorkflow":
                if self.end is not None:
                    raise Malformed("an answer that ends the run twice")
                self.end = self._end(action.completeWorkflow)
            case "workflowVersionNotAvailable":
                self.version_missing = True
            case "terminateWorkflow":
                self.terminations.append(_termination(action.terminateWorkflow))
            case "scheduleTask":
                self.outgoing.append(self._task(self._task_id(action), action))
            case "createTimer":
                self.outgoing.append(_timer(self._task_id(action), action.createTimer))
            case "createChildWorkflow":
                self.outgoing.append(self._child(self._task_id(action), action))
            case "sendEvent":
                self.outgoing.append(_event_sent(self._task_id(action), action.sendEvent))
            case "createDetachedWorkflow":
                self.outgoing.append(self._detached(self._task_id(action), action))
            case None:
                raise Malformed(f"action {action.id} asks for nothing that is known here")

    def _refuse_microsofts_own(self, action: pb.WorkflowAction) -> None:
        if action.HasField("sendEntityMessage"):
            raise Malformed(f"action {action.id}: there are no entities here")
        if self._dialect is Dialect.MICROSOFT and action.HasField("router"):
            raise Malformed(f"action {action.id}: a workflow cannot be rewound here")

    def _task_id(self, action: pb.WorkflowAction) -> int:
        if not 0 <= action.id < ROUND:
            raise Malformed(f"an action numbered {action.id}; it has to be 0 to {ROUND - 1}")
        if action.id in self._taken:
            raise Malformed(f"two actions numbered {action.id}")
        self._taken.add(action.id)
        return first_task_id(action.id)

    def _task(self, task_id: int, action: pb.WorkflowAction) -> h.TaskScheduled:
        asked = action.scheduleTask
        return h.TaskScheduled(
            task_id,
            _named(asked.name, action.id, "the activity"),
            text_in(asked, "input"),
            self._execution_id(action.id, asked.taskExecutionId),
            app_id=self._app_id(self._router(action, asked)),
            version=text_in(asked, "version"),
            propagation=_scope(asked.historyPropagationScope),
        )

    def _execution_id(self, action: int, told: bytes) -> str:
        # In Microsoft's dialect this is a trace context, which begins with a control character.
        if told.isascii() and (found := told.decode("ascii")) and found.isprintable():
            return found
        work = self._work
        return derived_uuid(work.instance_id, work.key, work.execution, "task", action)

    def _child(self, task_id: int, action: pb.WorkflowAction) -> h.ChildWorkflowInstanceCreated:
        asked = action.createChildWorkflow
        return h.ChildWorkflowInstanceCreated(
            task_id,
            asked.instanceId or f"{self._work.instance_id}:{action.id:04x}",
            _named(asked.name, action.id, "the child workflow"),
            text_in(asked, "input"),
            app_id=self._app_id(self._router(action, asked)),
            version=text_in(asked, "version"),
            propagation=_scope(asked.historyPropagationScope),
            retry_of=asked.retryParentInstanceInfo.instanceID or None,
        )

    def _detached(
        self, task_id: int, action: pb.WorkflowAction
    ) -> h.DetachedWorkflowInstanceCreated:
        asked = action.createDetachedWorkflow
        due = None
        if asked.HasField("scheduledStartTimestamp"):
            due, _ = _time(asked.scheduledStartTimestamp, action.id)
        return h.DetachedWorkflowInstanceCreated(
            task_id,
            asked.instanceId or f"{self._work.instance_id}-{action.id:04x}",
            _named(asked.name, action.id, "the workflow"),
            text_in(asked, "input"),
            due,
            app_id=self._app_id(action.router),
            version=text_in(asked, "version"),
            tags=tuple(sorted(asked.tags.items())),
        )

    def _router(
        self, action: pb.WorkflowAction, asked: pb.ScheduleTaskAction | pb.CreateChildWorkflowAction
    ) -> bytes:
        # Beside a task or a child, only Dapr's workers have something at the action: Microsoft's
        # have one or the other there. In the task, Microsoft's tags look the same.
        if action.router or self._dialect is not Dialect.DAPR:
            return action.router
        return asked.router

    def _app_id(self, router: bytes) -> str | None:
        """The app that is called, if it is another one."""
        if not router:
            return None
        try:
            found = pb.TaskRouter.FromString(router)
        except DecodeError as error:
            raise Malformed(f"a router that cannot be read: {error}") from error
        target = found.targetAppID
        return target if target not in ("", found.sourceAppID, self._own_app) else None

    def _end(self, asked: pb.CompleteWorkflowAction) -> h.ExecutionCompleted | ContinuedAsNew:
        status, result = asked.workflowStatus, text_in(asked, "result")
        if status == h.Status.CONTINUED_AS_NEW:
            raised = [e.eventRaised for e in asked.carryoverEvents if e.HasField("eventRaised")]
            carried = tuple([self._carried(at, event) for at, event in enumerate(raised)])
            return ContinuedAsNew(result, carried, text_in(asked, "newVersion"))
        if status not in h.TERMINAL:
            raise Malformed(f"a run that ends with status {status}")
        if status != h.Status.FAILED:
            return h.ExecutionCompleted(h.Status(status), result)
        if asked.HasField("failureDetails"):
            failure = failure_of(asked.failureDetails)
        else:
            failure = h.Failure("", result or asked.details.value)
        return h.ExecutionCompleted(h.Status.FAILED, None, failure)

    def _carried(self, at: int, event: pb.EventRaisedEvent) -> h.EventRaised:
        # Not the id it came with, which the worker does not know: the next run is another one.
        request_id = derived_uuid(self._work.execution_id, self._work.covers, "carried", at)
        return h.EventRaised(event.name, text_in(event, "input"), request_id)


def _version_or_trace(
    response: pb.WorkflowResponse, dialect: Dialect
) -> tuple[pb.WorkflowVersion, bytes | None]:
    """What is Dapr's in the one field, and what is Microsoft's."""
    told, none = response.version, pb.WorkflowVersion()
    if dialect is Dialect.MICROSOFT or not told:
        return none, _trace_in(told)
    try:
        found = pb.WorkflowVersion.FromString(told)
    except DecodeError as error:
        if dialect is Dialect.NEUTRAL:
            return none, _trace_in(told)
        raise Malformed(f"a version that cannot be read: {error}") from error
    # Microsoft's trace context in the same field reads as texts that begin with the tags of its
    # own fields, which are control characters.
    if dialect is Dialect.NEUTRAL and not all(
        text.isprintable() for text in (*found.patches, found.name)
    ):
        return none, _trace_in(told)
    return found, None


def _trace_in(told: bytes) -> bytes | None:
    """Microsoft's trace context of a run, kept as it is if it is one: it says nothing to us."""
    if not 0 < len(told) <= _TRACE_BYTES_MAX:
        return None
    try:
        pb.OrchestrationTraceContext.FromString(told)
    except DecodeError:
        return None
    return told


def _version_not_available(name: str | None, work: TurnWork) -> str:
    if name is None:
        decided = [step.turn.decided for step in work.past[: work.past_count]]
        name = next((found.version for found in decided if found and found.version), "")
    return f"Version not available: {name}"


def _timer(task_id: int, asked: pb.CreateTimerAction) -> h.TimerCreated:
    if not asked.HasField("fireAt"):
        raise Malformed(f"timer {task_id} without a time")
    fire_at_us, nanos = _time(asked.fireAt, task_id)
    match asked.WhichOneof("origin"):
        case "createTimer":
            origin = "createTimer"
        case "externalEvent":
            origin = f"externalEvent:{asked.externalEvent.name}"
        case "activityRetry":
            origin = f"activityRetry:{asked.activityRetry.taskExecutionId}"
        case "childWorkflowRetry":
            origin = f"childWorkflowRetry:{asked.childWorkflowRetry.instanceId}"
        case _:
            origin = ""
    name = asked.name if asked.HasField("name") else None
    return h.TimerCreated(task_id, fire_at_us, origin, name=name, nanos=nanos)


def _time(told: pb.Timestamp, action: int) -> tuple[int, int]:
    in_range = _YEAR_1_SECONDS <= told.seconds <= _YEAR_9999_SECONDS
    if not in_range or not 0 <= told.nanos < 1_000_000_000:
        raise Malformed(f"action {action}: {told.seconds} s {told.nanos} ns is no time")
    return microseconds(told)


def _event_sent(task_id: int, asked: pb.SendEventAction) -> h.EventSent:
    target = _named(asked.instance.instanceId, task_id, "the instance that is told")
    return h.EventSent(task_id, target, asked.name, text_in(asked, "data"))


def _termination(asked: pb.TerminateWorkflowAction) -> Termination:
    if not asked.instanceId:
        raise Malformed("an instance to terminate has no id")
    return Termination(asked.instanceId, text_in(asked, "reason"), asked.recurse)


def _named(name: str, action: int, what: str) -> str:
    if not name:
        raise Malformed(f"action {action}: {what} has no name")
    return name


def _scope(scope: int) -> int:
    if scope not in _SCOPES:
        raise Malformed(f"{scope} is no scope of history propagation")
    return scope
