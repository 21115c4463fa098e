"""Which dialect a worker speaks and what it can take. A value module.

Dapr's and Microsoft's SDKs share one wire, on which some field numbers mean two things. A worker
says by its request for work items which it is. Microsoft's and durabletask-dapr 0.17 may say
the same; those are told nothing that one of them could misread.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from perdure.runtime.rpc import taskhub_pb2 as pb

STATEFUL_HISTORY = 2
HEALTH_PING = 3
"""Numbers of Dapr's capabilities."""

_JS_AGENT = "dapr-js-sdk/workflow"
_JS_ITEMS_MAX = 50
"""It queues about a hundred items of both kinds together and drops the rest without a word."""


class Dialect(StrEnum):
    DAPR = "dapr"
    NEUTRAL = "neutral"
    """Dapr's or Microsoft's, it is not known which: only what both read alike."""
    MICROSOFT = "microsoft"


@dataclass(frozen=True, slots=True)
class WorkerTraits:
    """What is known of the worker at the other end of a stream."""

    dialect: Dialect
    stateful_history: bool = False
    """Keeps the history it has seen, so that only what is new need be sent."""
    ping_field: int | None = None
    """The field of `WorkItem` in which it takes health pings; None: it takes none."""
    turns_max: int | None = None
    activities_max: int | None = None
    """How many it works on at a time; None: it does not say."""
    turn_names: frozenset[str] | None = None
    activity_names: frozenset[str] | None = None
    """The names that it takes; None: all."""
    app_id: str = ""
    """The app that it works for, if it is to be told."""


def traits_of(
    request: pb.GetWorkItemsRequest, user_agent: str, forced: Dialect | None = None
) -> WorkerTraits:
    """What a worker tells about itself; `forced` is a dialect that was set for it by hand."""
    found = _dialect_of(request)
    dialect = forced or found
    able = set(request.capabilities)
    is_js = user_agent.startswith(_JS_AGENT)
    turn_names = activity_names = None
    if request.HasField("workItemFilters"):
        filters = request.workItemFilters
        turn_names = frozenset(wanted.name for wanted in filters.orchestrations)
        activity_names = frozenset(wanted.name for wanted in filters.activities)
    return WorkerTraits(
        dialect,
        stateful_history=dialect is Dialect.DAPR and STATEFUL_HISTORY in able,
        ping_field=_ping_field(found, dialect, able),
        turns_max=_limit(request.maxConcurrentOrchestrationWorkItems, is_js),
        activities_max=_limit(request.maxConcurrentActivityWorkItems, is_js),
        turn_names=turn_names,
        activity_names=activity_names,
    )


def _ping_field(found: Dialect, dialect: Dialect, able: set[int]) -> int | None:
    if dialect is Dialect.MICROSOFT or found is not Dialect.DAPR:
        return 4
    # Workers of before this capability do not know what to do with an item of no kind.
    return 6 if HEALTH_PING in able else None


def _dialect_of(request: pb.GetWorkItemsRequest) -> Dialect:
    if request.capabilities:
        return Dialect.DAPR
    if (
        request.microsoftCapabilities
        or request.HasField("workItemFilters")
        or request.HasField("workerInstanceId")
    ):
        return Dialect.MICROSOFT
    if (
        request.maxConcurrentOrchestrationWorkItems
        or request.maxConcurrentActivityWorkItems
        or request.maxConcurrentEntityWorkItems
    ):
        return Dialect.NEUTRAL
    return Dialect.DAPR


def _limit(stated: int, is_js: bool) -> int | None:
    if stated > 0:
        return stated
    return _JS_ITEMS_MAX if is_js else None
