"""Single requests of the management API: how each is asked, how its answer is read. A value module.

A `Call` may be repeated after its answer was lost only if that changes nothing: reads, and the two
calls that carry an idempotency key. Pausing, terminating or purging again could hit the next run of
the same id, so there the user decides.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Generic, TypeVar
from urllib.parse import quote, urlencode

from perdure.runtime.remote.cluster import ClusterStatus, cluster_of
from perdure.runtime.remote.errors import ApiError, api_error
from perdure.runtime.remote.state import (
    HistoryEvent,
    ListFilter,
    StateListing,
    WorkflowState,
    event_of,
    rfc3339,
    state_of,
)
from perdure.runtime.remote.status import WorkflowStatus

T = TypeVar("T")

_POLL_GRACE = 10.0
"""How much longer than its own timeout a long poll may take before its answer counts as lost."""


@dataclass(frozen=True, slots=True)
class Request:
    """One HTTP request, without the parts that belong to a connection."""

    method: str
    target: str
    """Path and query, percent-encoded."""
    body: bytes | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    timeout: float = 30.0


@dataclass(frozen=True, slots=True)
class Answer:
    """One HTTP answer; the header names are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def retry_after(self) -> float | None:
        """The seconds that the node asks to wait. No node uses the header's date form."""
        try:
            return max(0.0, float(self.headers["retry-after"]))
        except (KeyError, ValueError):
            return None

    def problem(self) -> ApiError:
        """The error that this answer is."""
        try:
            fields = json.loads(self.body)
            return api_error(self.status, str(fields["errorCode"]), str(fields["message"]))
        except (ValueError, TypeError, KeyError):
            text = self.body[:200].decode(errors="replace").strip()
            return api_error(self.status, "", text or "an answer without a text")

    def json(self) -> Any:
        """The document of a good answer. Raises `ApiError` for any other."""
        if not 200 <= self.status < 300:
            raise self.problem()
        try:
            return json.loads(self.body) if self.body else {}
        except ValueError as error:
            raise ApiError(
                self.status, "", f"the answer is not JSON; is this a perdure node? ({error})"
            ) from error


@dataclass(frozen=True, slots=True)
class Call(Generic[T]):
    """A request, what it is for, and what its answer means."""

    what: str
    request: Request
    read: Callable[[Answer], T]
    repeatable: bool = False


class Calls:
    """Builds the calls of one workflow component, of one app."""

    def __init__(
        self, component: str = "dapr", timeout: float = 30.0, app_id: str | None = None
    ) -> None:
        self._component = component
        self._timeout = timeout
        self._app_id = app_id

    def of(self, component: str | None) -> Calls:
        """The same calls of another component; None stands for this one."""
        return self if component is None else Calls(component, self._timeout, self._app_id)

    def start(
        self,
        name: str,
        body: bytes | None,
        *,
        instance_id: str | None,
        start_at: datetime | None,
        key: str,
        trace: Mapping[str, str] | None = None,
    ) -> Call[str]:
        """`trace`: the headers that say to which span it belongs."""
        _required(name, "the name of the workflow")
        query = {
            "instanceID": instance_id,
            "startTime": None if start_at is None else rfc3339(start_at),
        }
        request = self._post((name, "start"), query, body, key, trace)
        return Call(f"start workflow '{name}'", request, _instance_id, repeatable=True)

    def get(self, instance_id: str) -> Call[WorkflowState]:
        # A wait that waits for nothing: in its answer a node tells all it knows of a PENDING or
        # STALLED instance, which Dapr's form of the answer has no place for.
        query = {"wait": "started", "timeout": "0"}
        request = self._get((_required(instance_id, "the instance id"),), query)
        return Call(f"get '{instance_id}'", request, _state, repeatable=True)

    def poll(self, instance_id: str, until: str, seconds: float) -> Call[WorkflowState]:
        """Get, answered only when the status is one of `until`, or after `seconds`."""
        query = {"wait": until, "timeout": f"{seconds:.3f}"}
        request = self._get(
            (_required(instance_id, "the instance id"),), query, seconds + _POLL_GRACE
        )
        return Call(f"wait for '{instance_id}'", request, _state, repeatable=True)

    def raise_event(
        self, instance_id: str, event_name: str, body: bytes | None, *, key: str
    ) -> Call[None]:
        _required(instance_id, "the instance id")
        _required(event_name, "the name of the event")
        request = self._post((instance_id, "raiseEvent", event_name), {}, body, key)
        what = f"raise event '{event_name}' on '{instance_id}'"
        return Call(what, request, _accepted, repeatable=True)

    def pause(self, instance_id: str) -> Call[None]:
        return self._verb(instance_id, "pause")

    def resume(self, instance_id: str) -> Call[None]:
        return self._verb(instance_id, "resume")

    def terminate(
        self, instance_id: str, *, output: bytes | None = None, recursive: bool = True
    ) -> Call[None]:
        # The output travels as JSON text inside the JSON of the request.
        fields = {} if output is None else {"output": output.decode()}
        body = json.dumps(fields).encode() if fields else None
        query = {} if recursive else {"recursive": "false"}
        return self._verb(instance_id, "terminate", query, body)

    def purge(self, instance_id: str, *, recursive: bool = True, force: bool = False) -> Call[None]:
        query = {} if recursive else {"recursive": "false"}
        if force:
            query["force"] = "true"
        return self._verb(instance_id, "purge", query)

    def page(self, chosen: ListFilter, cursor: str | None) -> Call[StateListing]:
        query = _filter_query(chosen) | {
            "order": "desc" if chosen.newest_first else "asc",
            "limit": str(chosen.page_size),
            "cursor": cursor,
        }
        return Call("list workflows", self._get((), query), _listing, repeatable=True)

    def counts(self, chosen: ListFilter) -> Call[Mapping[WorkflowStatus, int]]:
        query = _filter_query(chosen) | {"counts": "true", "limit": "1"}
        return Call("count workflows", self._get((), query), _counts, repeatable=True)

    def history(self, instance_id: str) -> Call[list[HistoryEvent]]:
        _required(instance_id, "the instance id")
        request = self._get((instance_id, "history"), {})
        return Call(f"read the history of '{instance_id}'", request, _history, repeatable=True)

    def cluster(self) -> Call[ClusterStatus]:
        request = Request("GET", "/v1.0/cluster", timeout=self._timeout)
        return Call("read the state of the cluster", request, _cluster, repeatable=True)

    def drain(self, node_id: str) -> Call[None]:
        part = quote(_required(node_id, "the node id"), safe="")
        request = Request("POST", f"/v1.0/cluster/nodes/{part}/drain", timeout=self._timeout)
        return Call(f"drain node '{node_id}'", request, _accepted, repeatable=True)

    def _verb(
        self,
        instance_id: str,
        verb: str,
        query: Mapping[str, str | None] | None = None,
        body: bytes | None = None,
    ) -> Call[None]:
        _required(instance_id, "the instance id")
        request = self._post((instance_id, verb), query or {}, body)
        return Call(f"{verb} '{instance_id}'", request, _accepted)

    def _get(
        self, parts: tuple[str, ...], query: Mapping[str, str | None], timeout: float | None = None
    ) -> Request:
        target = self._target(parts, query)
        return Request("GET", target, timeout=self._timeout if timeout is None else timeout)

    def _post(
        self,
        parts: tuple[str, ...],
        query: Mapping[str, str | None],
        body: bytes | None = None,
        key: str | None = None,
        trace: Mapping[str, str] | None = None,
    ) -> Request:
        headers = dict(trace or {})
        if body is not None:
            headers["content-type"] = "application/json"
        if key is not None:
            headers["idempotency-key"] = key
        return Request("POST", self._target(parts, query), body, headers, self._timeout)

    def _target(self, parts: tuple[str, ...], query: Mapping[str, str | None]) -> str:
        path = "/".join(quote(part, safe="") for part in (self._component, *parts))
        if self._app_id is not None:
            query = {**query, "appID": self._app_id}
        given = urlencode({name: value for name, value in query.items() if value is not None})
        return f"/v1.0/workflows/{path}" + (f"?{given}" if given else "")


def _required(value: str, what: str) -> str:
    # An empty part of a path would make a different request of this one.
    if not isinstance(value, str) or not value:
        raise ValueError(f"{what} must be a text that is not empty, not {value!r}")
    return value


def _filter_query(chosen: ListFilter) -> dict[str, str | None]:
    return {
        "status": ",".join(chosen.statuses) or None,
        "name": chosen.name,
        "createdFrom": None if chosen.created_from is None else rfc3339(chosen.created_from),
        "createdBefore": None if chosen.created_before is None else rfc3339(chosen.created_before),
        "prefix": chosen.prefix,
    }


def _instance_id(answer: Answer) -> str:
    return str(answer.json()["instanceID"])


def _state(answer: Answer) -> WorkflowState:
    return state_of(answer.json())


def _accepted(answer: Answer) -> None:
    answer.json()


def _listing(answer: Answer) -> StateListing:
    fields = answer.json()
    return StateListing(
        [state_of(instance) for instance in fields["instances"]], fields.get("cursor") or None
    )


def _counts(answer: Answer) -> Mapping[WorkflowStatus, int]:
    counts: Mapping[str, int] = answer.json().get("counts") or {}
    return {WorkflowStatus(status): number for status, number in counts.items()}


def _cluster(answer: Answer) -> ClusterStatus:
    return cluster_of(answer.json())


def _history(answer: Answer) -> list[HistoryEvent]:
    return [event_of(fields) for fields in answer.json()["events"]]
