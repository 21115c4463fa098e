"""A node without an engine, for tests of the HTTP API: instances stand in a dictionary."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Self

import msgspec

from perdure.placement.errors import NodeUnreachable
from perdure.runtime.api.ports import ApiConfig, ClusterStatus, NodeNotFound, NodeStatus
from perdure.runtime.workflow.errors import (
    InstanceExists,
    InstanceNotFound,
    InstanceStalled,
    NoSuchApp,
    NotCompleted,
)
from perdure.runtime.workflow.history import ExecutionStarted, Failure, Status, Trace, Turn
from perdure.runtime.workflow.records import Instance, ListQuery, Page

BORN_US = 1_785_578_400_000_000
"""2026-08-01T10:00:00Z."""


@dataclass(frozen=True, slots=True)
class FakeView:
    row: Instance
    input: str | None
    start: ExecutionStarted | None = None
    waiting: str | None = None


@dataclass
class FakeWorkflows:
    """Behaves towards the API as the engine does, as far as the status of one instance goes.

    `calls` are the calls that were made, with their arguments. While `failing` is set, every call
    raises it.
    """

    views: dict[str, FakeView] = field(default_factory=dict)
    turns: dict[str, list[Turn]] = field(default_factory=dict)
    calls: list[tuple[object, ...]] = field(default_factory=list)
    traces: list[Trace | None] = field(default_factory=list)
    """What each start was told of its caller's span."""
    failing: Exception | None = None
    apps: dict[str, Any] = field(default_factory=dict)
    """Other apps of the cluster."""
    keys: int = 0
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    def put(self, row: Instance, input: str | None = None) -> None:
        self.views[row.instance_id] = FakeView(row, input)
        self.changed.set()
        self.changed = asyncio.Event()

    def new_row(self, instance_id: str, status: Status, name: str = "order") -> Instance:
        self.keys += 1
        return Instance(
            key=self.keys,
            instance_id=instance_id,
            slot=0,
            name=name,
            status=status,
            created_us=BORN_US + self.keys,
            updated_us=BORN_US + 1_500_000,
            execution=1,
            next_seq=1,
        )

    def set_status(self, instance_id: str, status: Status) -> None:
        view = self.views[instance_id]
        self.put(msgspec.structs.replace(view.row, status=status), view.input)

    async def of(self, app_id: str | None) -> Self:
        if app_id is None:
            return self
        if app_id not in self.apps:
            raise NoSuchApp(app_id)
        found: Self = self.apps[app_id]
        return found

    async def start(
        self,
        name: str,
        input: str | None = None,
        *,
        instance_id: str | None = None,
        start_at_us: int | None = None,
        idempotency_key: str | None = None,
        trace: Trace | None = None,
    ) -> str:
        self.traces.append(trace)
        self._called("start", name, input, instance_id, start_at_us, idempotency_key)
        instance_id = instance_id or f"00000000-0000-4000-8000-{self.keys:012}"
        found = self.views.get(instance_id)
        if found is not None:
            if found.row.start_requests == idempotency_key is not None:
                return instance_id
            if found.row.status is Status.STALLED:
                raise InstanceStalled(instance_id, "why")
            if not found.row.status.is_terminal:
                raise InstanceExists(instance_id)
        status = Status.RUNNING if start_at_us is None else Status.PENDING
        row = self.new_row(instance_id, status, name)
        self.put(msgspec.structs.replace(row, start_requests=idempotency_key), input)
        return instance_id

    async def get(self, instance_id: str) -> FakeView:
        self._called("get", instance_id)
        return self._found(instance_id)

    async def raise_event(
        self,
        instance_id: str,
        event_name: str,
        data: str | None = None,
        *,
        idempotency_key: str | None = None,
    ) -> None:
        self._called("raise_event", instance_id, event_name, data, idempotency_key)
        self._able(instance_id)

    async def suspend(self, instance_id: str) -> None:
        self._called("suspend", instance_id)
        if not self._able(instance_id).row.status.is_terminal:
            self.set_status(instance_id, Status.SUSPENDED)

    async def resume(self, instance_id: str) -> None:
        self._called("resume", instance_id)
        if not self._able(instance_id).row.status.is_terminal:
            self.set_status(instance_id, Status.RUNNING)

    async def terminate(
        self, instance_id: str, output: str | None = None, *, recursive: bool = True
    ) -> None:
        self._called("terminate", instance_id, output, recursive)
        if not self._able(instance_id).row.status.is_terminal:
            self.set_status(instance_id, Status.TERMINATED)

    async def purge(self, instance_id: str, *, recursive: bool = True, force: bool = False) -> int:
        self._called("purge", instance_id, recursive, force)
        view = self._found(instance_id) if force else self._able(instance_id)
        if not force and not view.row.status.is_terminal:
            raise NotCompleted(instance_id)
        del self.views[instance_id]
        return 1

    async def page(self, query: ListQuery) -> Page:
        self._called("page", query)
        rows = [view.row for view in self.views.values() if _matches(view.row, query)]
        rows.sort(key=lambda row: row.key, reverse=query.newest_first)
        if query.after_key is not None:
            after = query.after_key
            rows = [row for row in rows if (row.key < after) == query.newest_first]
            rows = [row for row in rows if row.key != after]
        page = rows[: query.limit]
        return Page(page, page[-1].key if len(rows) > len(page) else None)

    async def counts(self, query: ListQuery) -> dict[Status, int]:
        self._called("counts", query)
        found: dict[Status, int] = {}
        for view in self.views.values():
            if _matches(view.row, query):
                found[view.row.status] = found.get(view.row.status, 0) + 1
        return found

    async def history(self, instance_id: str) -> tuple[Instance, Sequence[Turn]]:
        self._called("history", instance_id)
        return self._found(instance_id).row, self.turns.get(instance_id, [])

    async def wait(
        self,
        instance_id: str,
        *,
        until: frozenset[Status],
        timeout: float,  # noqa: ASYNC109
    ) -> FakeView:
        self._called("wait", instance_id, until, timeout)
        try:
            async with asyncio.timeout(timeout):
                while self._found(instance_id).row.status not in until:
                    await self.changed.wait()
        except TimeoutError:
            pass
        return self._found(instance_id)

    def _called(self, *call: object) -> None:
        self.calls.append(call)
        if self.failing is not None:
            raise self.failing

    def _found(self, instance_id: str) -> FakeView:
        try:
            return self.views[instance_id]
        except KeyError:
            raise InstanceNotFound(instance_id) from None

    def _able(self, instance_id: str) -> FakeView:
        view = self._found(instance_id)
        if view.row.status is Status.STALLED:
            raise InstanceStalled(instance_id, view.row.stalled or "")
        return view


def _matches(row: Instance, query: ListQuery) -> bool:
    return (
        (not query.statuses or row.status in query.statuses)
        and (query.name is None or row.name == query.name)
        and (query.id_prefix is None or row.instance_id.startswith(query.id_prefix))
        and (query.created_from_us is None or row.created_us >= query.created_from_us)
        and (query.created_before_us is None or row.created_us < query.created_before_us)
    )


@dataclass
class FakeNode:
    """A node that can be told in which state it is."""

    api_config: ApiConfig
    service: FakeWorkflows = field(default_factory=FakeWorkflows)
    now: NodeStatus = field(
        default_factory=lambda: NodeStatus(
            node_id="node-1",
            activations={"workflow": 2, "activity": 0, "cart": 1},
            store="/data/orders.db",
            durability="full",
            sqlite_version="3.51.3",
        )
    )
    shutdowns: list[bool] = field(default_factory=list)
    members: ClusterStatus = field(
        default_factory=lambda: ClusterStatus(version=1, lease_seconds=5.0, nodes=())
    )
    drained: list[str] = field(default_factory=list)
    """Ids of nodes."""
    unreachable: bool = False
    """Other nodes do not answer."""

    def status(self) -> NodeStatus:
        return self.now

    def request_shutdown(self, *, force: bool = False) -> None:
        self.shutdowns.append(force)

    async def cluster(self) -> ClusterStatus:
        return self.members

    async def drain_node(self, node_id: str) -> None:
        if node_id not in [facts.node_id for facts in self.members.nodes]:
            raise NodeNotFound(node_id)
        if self.unreachable:
            raise NodeUnreachable("node-2 did not answer")
        self.drained.append(node_id)


@dataclass
class FakeScenarios:
    """Puts instances into a state at once (see `tests.support.http_server.Scenarios`)."""

    service: FakeWorkflows

    async def running(self, instance_id: str) -> None:
        self.service.put(self.service.new_row(instance_id, Status.RUNNING), '{"item":1}')

    async def pending(self, instance_id: str) -> None:
        self.service.put(self.service.new_row(instance_id, Status.PENDING), '{"item":1}')

    async def suspended(self, instance_id: str) -> None:
        self.service.put(self.service.new_row(instance_id, Status.SUSPENDED), '{"item":1}')

    async def completed(self, instance_id: str) -> None:
        row = self.service.new_row(instance_id, Status.COMPLETED)
        self.service.put(msgspec.structs.replace(row, output='"done"'), '{"item":1}')

    async def failed(self, instance_id: str) -> None:
        row = self.service.new_row(instance_id, Status.FAILED)
        failure = Failure("ValueError", "no stock", "Traceback: line 1")
        self.service.put(msgspec.structs.replace(row, failure=failure), '{"item":1}')

    async def terminated(self, instance_id: str) -> None:
        self.service.put(self.service.new_row(instance_id, Status.TERMINATED), '{"item":1}')

    async def stalled(self, instance_id: str) -> str:
        reason = "history has TaskScheduled 0 charge, the code asks for pack (app.py:7)"
        row = self.service.new_row(instance_id, Status.STALLED)
        self.service.put(msgspec.structs.replace(row, stalled=reason), '{"item":1}')
        return reason

    async def complete(self, instance_id: str) -> None:
        self.service.set_status(instance_id, Status.COMPLETED)
