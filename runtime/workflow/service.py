"""Management of workflow instances: what every door (HTTP, in process, later gRPC) opens to.

An edge module without transport: plain values in, plain values out. Mutating calls answer after the
turn is committed, so that whoever reads afterwards, on any node, sees the change.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from typing import Any

from msgspec.structs import replace

from perdure.actors.errors import NodeStopping
from perdure.actors.identity import ActorRef
from perdure.actors.ports import Env
from perdure.placement.router import Router
from perdure.runtime.workflow import history as h
from perdure.runtime.workflow import messages as m
from perdure.runtime.workflow import payload
from perdure.runtime.workflow.codec import decode_turn
from perdure.runtime.workflow.descendants import descendants_of
from perdure.runtime.workflow.errors import (
    InstanceNotFound,
    InstanceStalled,
    NoSuchApp,
    NotCompleted,
)
from perdure.runtime.workflow.fork import Rerun, fork_of, unknown_source
from perdure.runtime.workflow.ports import WorkflowReads
from perdure.runtime.workflow.records import Instance, ListQuery, Page
from perdure.runtime.workflow.resumes import until_resumed
from perdure.runtime.workflow.spans import Tracer
from perdure.runtime.workflow.uuids import derived_uuid
from perdure.runtime.workflow.views import Known, Views, WorkflowView

FINISHED = frozenset(h.TERMINAL)
_IDS_TRIED = 32
STARTED = frozenset(set(h.Status) - {h.Status.PENDING})


@dataclass(frozen=True, slots=True)
class ServiceParts:
    """The collaborators of a service."""

    router: Router
    env: Env
    tracer: Tracer | None = None


class WorkflowService:
    """The management operations of Dapr's workflow API. Safe for any number of callers at once."""

    def __init__(
        self, parts: ServiceParts, reads: WorkflowReads, views: Views, app_id: str | None = None
    ) -> None:
        """`app_id`: whose instances it manages, if that is another app than the node's."""
        self._parts = parts
        self._router = parts.router
        self._env = parts.env
        self._tracer = parts.tracer
        self._reads = reads
        self._views = views
        self._app_id = app_id

    def close(self) -> None:
        """Refuse changes from now on, and answer those who wait; reads are still answered."""
        self._views.close()

    async def of(self, app_id: str | None) -> WorkflowService:
        """The same for the instances of another app that shares the database.

        None and the node's own app are this service itself. Changes are made by a node of that app,
        so they need one; the instances are seen all the same. Raises `NoSuchApp`.
        """
        if not app_id or app_id == (self._app_id or self._router.app_id):
            return self
        reads = await self._reads.of_app(app_id)
        if reads is None:
            raise NoSuchApp(app_id)
        return WorkflowService(self._parts, reads, self._views.of(app_id, reads), app_id)

    # ---- start

    async def start(
        self,
        name: str,
        input: str | None = None,
        *,
        instance_id: str | None = None,
        start_at_us: int | None = None,
        version: str | None = None,
        idempotency_key: str | None = None,
        unique: bool = False,
        tags: tuple[tuple[str, str], ...] = (),
        trace: h.Trace | None = None,
    ) -> str:
        """Start an instance and return its id once that is durable.

        Args:
            name: The registered name. An unknown one makes an instance that has failed, as in Dapr.
            input: JSON text.
            instance_id: The id to use; a UUID by default. The id of a finished instance may be used
                again, unless `unique`.
            start_at_us: Not to run before this time, in microseconds since the epoch.
            version: Which of several registered versions to run; the latest by default.
            idempotency_key: The same key and id again is the same start: it succeeds and starts
                nothing. Without an id, the id is derived from the name and the key.
            unique: Refuse an id that was ever used, unless it was purged.
            tags: Handed to the workflow's code, if that is in a worker.
            trace: The span of the caller.

        Raises:
            InstanceExists: The id belongs to an instance that has not finished.
            InstanceNotUnique: `unique`, and the id was used before.
            ChildNotFinished: A child of the finished instance under this id still runs.
            PayloadError: A text that cannot be stored.
            Retryable: Not done, or not known to be done.
        """
        _check_texts(
            name=name,
            input=input,
            instance_id=instance_id,
            version=version,
            idempotency_key=idempotency_key,
        )
        is_new = instance_id is None and idempotency_key is None
        if instance_id is None:
            instance_id = self._fresh_id(name, idempotency_key)
        scheduled_us = start_at_us
        if start_at_us is not None and start_at_us <= self._env.now_us():
            scheduled_us = None
        event = h.ExecutionStarted(name, input, version, None, scheduled_us, tags=tags, trace=trace)
        # Where the id is new, it tells this start from every other one as well as a further id.
        request_id = instance_id if is_new else self._request_id(idempotency_key)
        message = m.StartWorkflow(event, request_id, unique)
        await self._create(instance_id, message, is_new=is_new)
        return instance_id

    async def restart(self, instance_id: str, *, new_id: bool = False) -> str:
        """Start a finished instance once more, with the same input, and return the id of the run.

        Under the same id, or under a new one. Raises `InstanceNotFound`, `NotCompleted`.
        """
        view = await self.get(instance_id)
        row = view.row
        if not row.status.is_terminal:
            raise NotCompleted(instance_id)
        chosen = None if new_id else instance_id
        return await self.start(row.name, view.input, instance_id=chosen, version=row.version)

    async def rerun(self, source_id: str, wanted: Rerun) -> str:
        """Run a finished instance again from one of its events on, as a new one; returns its id.

        Raises `NotRerunnable`, `NothingToRerun`, `InstanceCreatedBefore`.
        """
        _check_texts(new_id=wanted.new_id, input=wanted.input, child_id=wanted.child_id)
        new_id = wanted.new_id or self._fresh_id("", None)
        try:
            row, turns = await self.history(source_id)
        except InstanceNotFound:
            raise unknown_source(source_id) from None
        with self._creating_again(row, wanted, new_id) as trace:
            again = dataclasses.replace(wanted, trace=trace)
            message = fork_of(row, turns, again, new_id, self._env.new_id())
            await self._call(new_id, message, is_new=wanted.new_id is None)
        return new_id

    def _creating_again(
        self, source: Instance, wanted: Rerun, new_id: str
    ) -> AbstractContextManager[h.Trace | None]:
        if self._tracer is None:
            return contextlib.nullcontext(wanted.trace)
        event = h.ExecutionStarted(source.name, None, source.version, trace=wanted.trace)
        return self._tracer.creating(event, new_id)

    async def run(
        self, name: str, input: str | None = None, *, instance_id: str | None = None
    ) -> WorkflowView:
        """Start an instance and wait, without limit, until it is finished."""
        _check_texts(name=name, input=input, instance_id=instance_id)
        new_id = self._fresh_id(name, None)
        message = m.StartWorkflow(h.ExecutionStarted(name, input), new_id)
        if instance_id is not None:
            # To be watched from the start on, not before: it may end an earlier run of this id.
            await self._create(instance_id, message)
            return await self._views.once(instance_id, FINISHED)
        with self._views.watching(new_id, FINISHED) as watcher:
            await self._create(new_id, message, is_new=True)
            return await self._views.reached(new_id, watcher, FINISHED, Known(message.event))

    async def _create(
        self, instance_id: str, message: m.StartWorkflow, *, is_new: bool = False
    ) -> None:
        if self._tracer is None:
            await self._call(instance_id, message, is_new=is_new)
            return
        event = message.event
        with self._tracer.creating(event, instance_id) as trace:
            message = replace(message, event=replace(event, trace=trace))
            await self._call(instance_id, message, is_new=is_new)

    def _fresh_id(self, name: str, idempotency_key: str | None) -> str:
        if idempotency_key is not None:
            return derived_uuid(name, idempotency_key)
        # One of this node's own slots, so that the start needs no other node.
        for _ in range(_IDS_TRIED if self._app_id is None else 1):
            found = self._env.new_id()
            if self._router.owned(found) is not None:
                break
        return found

    def _request_id(self, idempotency_key: str | None) -> str:
        if idempotency_key is None:
            return self._env.new_id()
        return f"key:{idempotency_key}".replace("\n", " ")  # Several are kept, one a line.

    # ---- change

    async def raise_event(
        self,
        instance_id: str,
        event_name: str,
        data: str | None = None,
        *,
        idempotency_key: str | None = None,
    ) -> None:
        """Deliver an external event; it is kept until the instance waits for it.

        Raises `InstanceNotFound` and `InstanceStalled`; a finished instance takes no notice.
        """
        _check_texts(event_name=event_name, data=data, idempotency_key=idempotency_key)
        request_id = self._request_id(idempotency_key)
        await self._call(instance_id, m.RaiseEvent(event_name, data, request_id))

    async def suspend(self, instance_id: str, reason: str | None = None) -> None:
        """Stop an instance until it is resumed; what happens meanwhile is kept for it."""
        _check_texts(reason=reason)
        await self._call(instance_id, m.Suspend(reason))

    async def resume(self, instance_id: str, reason: str | None = None) -> None:
        """Let a suspended instance go on, or a stalled one try again.

        Raises `InstanceStalled` if it cannot.
        """
        _check_texts(reason=reason)
        resume = partial(self._call, instance_id, m.Resume(reason))
        await until_resumed(instance_id, resume, self._reads, self._views.missing)

    async def terminate(
        self, instance_id: str, output: str | None = None, *, recursive: bool = True
    ) -> None:
        """End an instance, and with `recursive` its children, whatever they wait for."""
        _check_texts(output=output)
        event = h.ExecutionTerminated(output, recursive)
        await self._call(instance_id, m.Terminate(event))

    async def purge(self, instance_id: str, *, recursive: bool = True, force: bool = False) -> int:
        """Remove a finished instance, and with `recursive` its children first, from the database.

        Returns how many instances were removed. Raises `InstanceNotFound`, `NotCompleted` if it or
        a child has not finished, `InstanceStalled`; with `force` it is removed in any state.
        """
        row = (await self.get(instance_id)).row
        if row.status is h.Status.PENDING and not force:
            raise InstanceNotFound(instance_id)  # As Dapr: nothing has happened there yet.
        descendants = await descendants_of(row, self._reads, force=force) if recursive else []
        if not force:
            for member in (row, *[child.row for child in descendants]):
                if member.status is h.Status.STALLED:
                    raise InstanceStalled(member.instance_id, member.stalled or "")
                if not member.status.is_terminal:
                    raise NotCompleted(member.instance_id)
        removed = 0
        for child in reversed(descendants):
            with contextlib.suppress(InstanceNotFound):  # Purged by somebody else meanwhile.
                await self._call(child.row.instance_id, m.Purge(force), app_id=child.app_id)
                removed += 1
        await self._call(instance_id, m.Purge(force))
        return removed + 1

    async def _call(
        self,
        instance_id: str,
        message: object,
        *,
        is_new: bool = False,
        app_id: str | None = None,
    ) -> Any:
        if self._views.closed:
            raise NodeStopping("this node is shutting down and takes no more requests")
        target, app_id = ActorRef(m.WORKFLOW, instance_id), app_id or self._app_id
        return await self._router.call(target, message, is_new=is_new, app_id=app_id)

    # ---- read

    async def get(self, instance_id: str) -> WorkflowView:
        """What is known of an instance. Raises `InstanceNotFound`."""
        return await self._views.get(instance_id)

    async def wait(
        self,
        instance_id: str,
        *,
        until: Iterable[h.Status] = FINISHED,
        timeout: float,  # noqa: ASYNC109 (no deadline)
    ) -> WorkflowView:
        """Wait until the status is one of `until`, at most `timeout` seconds; then what is so then.

        Raises `InstanceNotFound`, also if the instance is purged meanwhile.
        """
        try:
            return await self._views.once(instance_id, frozenset(until), timeout)
        except (TimeoutError, NodeStopping):
            return await self.get(instance_id)

    async def page(self, query: ListQuery) -> Page:
        """Instances in the order of their creation."""
        return await self._reads.page(query)

    async def counts(self, query: ListQuery) -> dict[h.Status, int]:
        """How many instances match, by status."""
        return await self._reads.counts(query)

    async def history(self, instance_id: str) -> tuple[Instance, list[h.Turn]]:
        """The turns of an instance's current run. Raises `InstanceNotFound`, `CorruptHistory`."""
        found = await self._reads.history(instance_id)
        if found is None:
            raise InstanceNotFound(instance_id)
        row, blobs = found
        return row, [decode_turn(blob) for blob in blobs]


def _check_texts(**texts: str | None) -> None:
    """Raise `PayloadError` for what no turn could store: it must not come to be the instance's."""
    for what, given in texts.items():
        if given is not None:
            payload.text(given, what)
