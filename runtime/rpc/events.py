"""Stored events as a worker reads them. A value module.

A worker knows nothing of turns as rows: it gets one list of events, in which every decision begins
with `workflowStarted`, goes on with what had come in, and ends with what the code asked for. Past
events are encoded once per dialect and kept with their step; a turn only joins the bytes.

`eventSent` goes to workers of every dialect. SDKs that fail on it never send an event, so it is not
in their histories; those that send one do so again in each turn until they see it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import assert_never

import msgspec

from perdure.runtime.rpc import taskhub_pb2 as pb
from perdure.runtime.rpc.dialect import Dialect
from perdure.runtime.rpc.values import (
    NOT_A_TASK,
    failure_details,
    span_id,
    text,
    timestamp,
    trace_context,
)
from perdure.runtime.workflow import history as h
from perdure.runtime.workflow.workers.numbers import action_id
from perdure.runtime.workflow.workers.work import Step, TurnWork

_START_TIMER = 0
"""The timer of a delayed start is no worker's."""


class Run(msgspec.Struct, frozen=True):
    """One run and its past, as far as it was decided."""

    instance_id: str
    execution_id: str
    past: Sequence[Step]
    app_id: str = ""
    """Its app, if whoever reads it is to know."""

    @property
    def trace(self) -> h.Trace | None:
        """What all that it asks for belongs to."""
        for event in self.past[0].turn.incoming if self.past else ():
            if isinstance(event, h.ExecutionStarted):
                return event.context
        return None

    @staticmethod
    def of(work: TurnWork, app_id: str = "") -> Run:
        return Run(work.instance_id, work.execution_id, work.past, app_id)


class _Place(msgspec.Struct, frozen=True):
    """Where in a run events stand, and for whom they are encoded."""

    run: Run
    at: int
    dialect: Dialect
    time_us: int

    def event(self, event_id: int = NOT_A_TASK) -> pb.HistoryEvent:
        return pb.HistoryEvent(eventId=event_id, timestamp=timestamp(self.time_us))

    def asked(self, task_id: int) -> Iterator[h.Outgoing]:
        """What the run has asked for under that id, the latest first."""
        # An answer mostly belongs to one of the last steps, so no index is kept.
        past = self.run.past
        for index in range(self.at - 1, -1, -1):
            event = past[index].asked(task_id)
            if event is not None:
                yield event


def encode_past(run: Run, count: int, dialect: Dialect) -> int:
    """How many events the first `count` steps are; what of them was not, is encoded.

    As `pastEvents` of `WorkflowRequest`, tags included; `Step.wire` has the bytes.
    """
    past = run.past
    at = count
    while at and dialect not in past[at - 1].wire:
        at -= 1
    events = past[at - 1].wire[dialect][0] if at else 0
    for index in range(at, count):
        step = past[index]
        told = list(_step_events(run, index, dialect))
        frames = pb.WorkflowRequest(pastEvents=told).SerializeToString()
        events += len(told)
        step.wire[dialect] = (events, frames)
    return events


def encode_new(work: TurnWork, began_us: int, dialect: Dialect, app_id: str = "") -> bytes:
    """`newEvents` of `WorkflowRequest`, tags included."""
    place = _Place(Run.of(work, app_id), work.past_count, dialect, began_us)
    started = place.event()
    started.workflowStarted.SetInParent()
    told = [started, *_incoming_events(work.incoming, place)]
    return pb.WorkflowRequest(newEvents=told).SerializeToString()


def history_events(run: Run, dialect: Dialect) -> Iterator[pb.HistoryEvent]:
    """All of its events, for those who ask for the history itself."""
    for index in range(len(run.past)):
        yield from _step_events(run, index, dialect)


def _step_events(run: Run, at: int, dialect: Dialect) -> Iterator[pb.HistoryEvent]:
    turn = run.past[at].turn
    place = _Place(run, at, dialect, turn.at_us if turn.decided is None else turn.decided.began_us)
    started = place.event()
    started.workflowStarted.SetInParent()
    version = None if turn.decided is None else turn.decided.version
    if dialect is not Dialect.MICROSOFT and (version or turn.patches):
        told = pb.WorkflowVersion(patches=turn.patches, name=version)
        started.workflowStarted.version.CopyFrom(told)
    yield started
    yield from _incoming_events(turn.incoming, place)
    for event in turn.outgoing:
        made = _outgoing_event(event, place)
        if made is not None:
            yield made


def _incoming_events(incoming: Iterable[h.Incoming], place: _Place) -> Iterator[pb.HistoryEvent]:
    for event in incoming:
        if type(event) is h.TimerFired and event.task_id == _START_TIMER:
            continue
        made = place.event()
        _put_incoming(made, event, place)
        yield made


def _put_incoming(made: pb.HistoryEvent, event: h.Incoming, place: _Place) -> None:
    match event:
        case h.TaskCompleted() | h.TaskFailed():
            _put_answer(made, event, place)
        case h.TimerFired(task_id):
            made.timerFired.timerId = action_id(task_id)
            made.timerFired.fireAt.CopyFrom(_due(task_id, place))
        case h.ChildWorkflowInstanceCompleted(task_id, result):
            completed = made.childWorkflowInstanceCompleted
            completed.taskScheduledId = action_id(task_id)
            if result is not None:
                completed.result.value = result
        case h.ChildWorkflowInstanceFailed(task_id, failure):
            failed = made.childWorkflowInstanceFailed
            failed.taskScheduledId = action_id(task_id)
            if failure is not None:
                failed.failureDetails.CopyFrom(failure_details(failure))
        case h.EventRaised(name, data):
            made.eventRaised.CopyFrom(pb.EventRaisedEvent(name=name, input=text(data)))
        case h.ExecutionStarted():
            made.executionStarted.CopyFrom(_execution_started(event, place))
            if place.dialect is Dialect.DAPR and place.run.app_id:
                made.router = _ways(event, place.run.app_id).SerializeToString()
        case h.ExecutionSuspended(reason):
            made.executionSuspended.CopyFrom(pb.ExecutionSuspendedEvent(input=text(reason)))
        case h.ExecutionResumed(reason):
            made.executionResumed.CopyFrom(pb.ExecutionResumedEvent(input=text(reason)))
        case h.ExecutionTerminated(output, recursive):
            made.executionTerminated.CopyFrom(
                pb.ExecutionTerminatedEvent(input=text(output), recurse=recursive)
            )
        case _:
            assert_never(event)


def _put_answer(
    made: pb.HistoryEvent, event: h.TaskCompleted | h.TaskFailed, place: _Place
) -> None:
    task_id = event.task_id
    calls = (call for call in place.asked(task_id) if isinstance(call, h.TaskScheduled))
    call = next(calls, None)
    execution_id = "" if call is None else call.execution_id
    number = action_id(task_id)
    if isinstance(event, h.TaskCompleted):
        completed = made.taskCompleted
        completed.taskScheduledId = number
        completed.taskExecutionId = execution_id
        if event.result is not None:
            completed.result.value = event.result
    else:
        failed = made.taskFailed
        failed.taskScheduledId = number
        failed.taskExecutionId = execution_id
        failed.failureDetails.CopyFrom(failure_details(event.failure))


def _due(task_id: int, place: _Place) -> pb.Timestamp:
    for timer in place.asked(task_id):
        if isinstance(timer, h.TimerCreated):
            return timestamp(timer.fire_at_us, timer.nanos)
    return timestamp(place.time_us)


def _execution_started(event: h.ExecutionStarted, place: _Place) -> pb.ExecutionStartedEvent:
    run = place.run
    made = pb.ExecutionStartedEvent(
        name=event.name,
        version=text(event.version),
        input=text(event.input),
        workflowInstance=pb.WorkflowInstance(
            instanceId=run.instance_id, executionId=text(run.execution_id)
        ),
        parentTraceContext=None if event.context is None else trace_context(event.context),
        workflowSpanID=None if event.span is None else text(span_id(event.span.trace)),
        tags=dict(event.tags),
    )
    if event.parent is not None:
        parent = made.parentInstance
        parent.taskScheduledId = action_id(event.parent.task_id)
        parent.workflowInstance.instanceId = event.parent.instance_id
        if event.parent.app_id is not None:
            parent.appID = event.parent.app_id
    if event.scheduled_us is not None:
        made.scheduledStartTimestamp.CopyFrom(timestamp(event.scheduled_us))
    return made


def _ways(event: h.ExecutionStarted, own_app: str) -> pb.TaskRouter:
    """From which app to which a run was called: where its code is, its SDK sees by that."""
    caller = None if event.parent is None else event.parent.app_id
    if caller is None:
        return pb.TaskRouter(sourceAppID=own_app)
    return pb.TaskRouter(sourceAppID=caller, targetAppID=own_app)


def _outgoing_event(event: h.Outgoing, place: _Place) -> pb.HistoryEvent | None:
    if isinstance(event, h.ExecutionCompleted):
        made = place.event(_completion_id(place))
        made.executionCompleted.CopyFrom(
            pb.ExecutionCompletedEvent(
                workflowStatus=event.status,
                result=text(event.output),
                failureDetails=None if event.failure is None else failure_details(event.failure),
            )
        )
        return made
    to_dapr = place.dialect is Dialect.DAPR
    made = place.event(action_id(event.task_id))
    match event:
        case h.TaskScheduled():
            made.taskScheduled.CopyFrom(_task_scheduled(event, place, to_dapr))
        case h.TimerCreated():
            _put_timer(made.timerCreated, event)
        case h.ChildWorkflowInstanceCreated():
            made.childWorkflowInstanceCreated.CopyFrom(_child_created(event, place, to_dapr))
        case h.EventSent(_, instance_id, name, data):
            made.eventSent.CopyFrom(
                pb.EventSentEvent(instanceId=instance_id, name=name, input=text(data))
            )
        case h.DetachedWorkflowInstanceCreated():
            if not to_dapr:
                return None
            made.detachedWorkflowInstanceCreated.instanceId = event.instance_id
        case _:
            assert_never(event)
    if to_dapr and not isinstance(event, h.TimerCreated | h.EventSent) and event.app_id:
        made.router = pb.TaskRouter(targetAppID=event.app_id).SerializeToString()
    return made


def _completion_id(place: _Place) -> int:
    """The number that the worker gave to its last action."""
    steps = place.run.past[: place.at + 1]
    asked = [event for step in steps for event in step.turn.outgoing]
    numbers = [action_id(e.task_id) for e in asked if not isinstance(e, h.ExecutionCompleted)]
    return max(numbers, default=0) + 1


def _task_scheduled(event: h.TaskScheduled, place: _Place, to_dapr: bool) -> pb.TaskScheduledEvent:
    made = pb.TaskScheduledEvent(
        name=event.name, version=text(event.version), input=text(event.input)
    )
    if (trace := place.run.trace) is not None:
        made.parentTraceContext.CopyFrom(trace_context(trace))
    if to_dapr:
        made.taskExecutionId = event.execution_id.encode()
        if event.propagation:
            made.historyPropagationScope = event.propagation
        if event.rerun_of is not None:
            made.rerunParentInstanceInfo.instanceID = event.rerun_of
    return made


def _child_created(
    event: h.ChildWorkflowInstanceCreated, place: _Place, to_dapr: bool
) -> pb.ChildWorkflowInstanceCreatedEvent:
    made = pb.ChildWorkflowInstanceCreatedEvent(
        instanceId=event.instance_id,
        name=event.name,
        version=text(event.version),
        input=text(event.input),
    )
    if (trace := place.run.trace) is not None:
        made.parentTraceContext.CopyFrom(trace_context(trace))
    if to_dapr:
        if event.propagation:
            made.historyPropagationScope = event.propagation
        if event.rerun_of is not None:
            rerun = pb.RerunParentInstanceInfo(instanceID=event.rerun_of)
            made.rerunParentInstanceInfo = rerun.SerializeToString()
        if event.retry_of is not None:
            made.retryParentInstanceInfo.instanceID = event.retry_of
    return made


def _put_timer(made: pb.TimerCreatedEvent, event: h.TimerCreated) -> None:
    made.fireAt.CopyFrom(timestamp(event.fire_at_us, event.nanos))
    if event.name is not None:
        made.name = event.name
    if event.rerun_of is not None:
        made.rerunParentInstanceInfo.instanceID = event.rerun_of
    kind, _, subject = event.origin.partition(":")
    match kind:
        case "createTimer" | "sleep":
            made.createTimer.SetInParent()
        case "externalEvent":
            made.externalEvent.SetInParent()
            made.externalEvent.name = subject
        case "activityRetry":
            made.activityRetry.SetInParent()
            made.activityRetry.taskExecutionId = subject
        case "childWorkflowRetry":
            made.childWorkflowRetry.SetInParent()
            made.childWorkflowRetry.instanceId = subject
