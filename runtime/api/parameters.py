"""The parameters of operations: name, schema and validation in one definition. A value module."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Generic, TypeVar

from perdure.runtime.api import parsing
from perdure.runtime.workflow.history import Status

T_co = TypeVar("T_co", covariant=True)


class Place(StrEnum):
    PATH = "path"
    QUERY = "query"
    HEADER = "header"


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter(Generic[T_co]):
    """One parameter of an operation.

    A `repeated` one may stand in the query several times; its parser gets them joined by commas.
    """

    name: str
    place: Place
    about: str
    parse: Callable[[str | None], T_co]
    schema: Mapping[str, Any] = field(default_factory=lambda: {"type": "string"})
    repeated: bool = False


_SEGMENT = {"type": "string", "minLength": 1}

# Path. An empty one cannot arrive, because empty segments are cleaned away before; the texts are
# Dapr's nevertheless.

COMPONENT = Parameter(
    name="component",
    place=Place.PATH,
    about="Dapr's workflow component. Anything is accepted; clients say `dapr`.",
    parse=parsing.required("ERR_WORKFLOW_COMPONENT_MISSING", "workflow component is missing"),
    schema=_SEGMENT,
)
WORKFLOW_NAME = Parameter(
    name="workflowName",
    place=Place.PATH,
    about="Name of a registered workflow. A name that nobody knows makes an instance that fails.",
    parse=parsing.required("ERR_WORKFLOW_NAME_MISSING", "workflow name is not configured"),
    schema=_SEGMENT,
)
INSTANCE_ID = Parameter(
    name="instanceID",
    place=Place.PATH,
    about="Id of the workflow instance.",
    parse=parsing.required("ERR_INSTANCE_ID_PROVIDED_MISSING", "no instance ID was provided"),
    schema=_SEGMENT,
)
EVENT_NAME = Parameter(
    name="eventName",
    place=Place.PATH,
    about="Name of the event, in upper or lower case.",
    parse=parsing.required("ERR_WORKFLOW_EVENT_NAME_MISSING", "missing workflow event name"),
    schema=_SEGMENT,
)
METADATA_KEY = Parameter(
    name="key",
    place=Place.PATH,
    about="Name of the entry.",
    parse=parsing.required(parsing.BAD_REQUEST, "no metadata key was provided"),
    schema=_SEGMENT,
)
NODE_ID = Parameter(
    name="nodeID",
    place=Place.PATH,
    about="Id of the node, as in the cluster's status.",
    parse=parsing.required(parsing.BAD_REQUEST, "no node ID was provided"),
    schema=_SEGMENT,
)

# Dapr's.

NEW_INSTANCE_ID = Parameter(
    name="instanceID",
    place=Place.QUERY,
    about="Id of the new instance: at most 64 bytes of letters, digits, `_` and `-`. "
    "Without it one is made.",
    parse=parsing.new_instance_id,
    schema={"type": "string", "maxLength": parsing.INSTANCE_ID_BYTES_MAX},
)
APP_ID = Parameter(
    name="appID",
    place=Place.QUERY,
    about="App of the instances that it is about, if it is another one than the node's.",
    parse=parsing.text,
)
HEALTH_APP_ID = Parameter(
    name="appid",
    place=Place.QUERY,
    about="Ask for the health of this app only; not ready if it is another one.",
    parse=parsing.text,
)
FORCE_SHUTDOWN = Parameter(
    name="dapr-force-shutdown",
    place=Place.HEADER,
    about="`true`: do not drain, exit at once with code 1.",
    parse=lambda given: given is not None and given.lower() == "true",
)

# Extensions.

IDEMPOTENCY_KEY = Parameter(
    name="Idempotency-Key",
    place=Place.HEADER,
    about="A repeat of the request with the same key has no further effect.",
    parse=parsing.idempotency_key,
    schema={"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[ -~]+$"},
)
TRACEPARENT = Parameter(
    name="traceparent",
    place=Place.HEADER,
    about="The span that the instance belongs to, as in W3C Trace Context.",
    parse=parsing.traceparent,
)
TRACESTATE = Parameter(
    name="tracestate",
    place=Place.HEADER,
    about="What else is said of that span.",
    parse=parsing.tracestate,
)
START_TIME = Parameter(
    name="startTime",
    place=Place.QUERY,
    about="Not to run before this time.",
    parse=parsing.time("startTime"),
    schema={"type": "string", "format": "date-time"},
)
WAIT = Parameter(
    name="wait",
    place=Place.QUERY,
    about="Answer when the instance has one of these statuses or has finished, or when `timeout` "
    "is over. `started`: any status but PENDING. `completed`: only when finished.",
    parse=parsing.until,
    schema={
        "type": "array",
        "items": {"enum": [*Status.__members__, "started", "completed"]},
        "minItems": 1,
    },
    repeated=True,
)
TIMEOUT = Parameter(
    name="timeout",
    place=Place.QUERY,
    about="How many seconds `wait` may take; 30 unless said.",
    parse=parsing.seconds,
    schema={"type": "number", "minimum": 0, "maximum": parsing.WAIT_SECONDS_MAX},
)
FORCE = Parameter(
    name="force",
    place=Place.QUERY,
    about="Purge whatever the status is, without asking the instance.",
    parse=parsing.flag("force", False),
    schema={"type": "boolean", "default": False},
)
RECURSIVE = Parameter(
    name="recursive",
    place=Place.QUERY,
    about="Include the child workflows, direct and indirect.",
    parse=parsing.flag("recursive", True),
    schema={"type": "boolean", "default": True},
)
STATUSES = Parameter(
    name="status",
    place=Place.QUERY,
    about="Only instances with one of these statuses; repeated, or separated by commas.",
    parse=parsing.statuses,
    schema={"type": "array", "items": {"enum": [*Status.__members__]}, "minItems": 1},
    repeated=True,
)
NAME = Parameter(
    name="name",
    place=Place.QUERY,
    about="Only instances of the workflow of this name.",
    parse=parsing.text,
)
PREFIX = Parameter(
    name="prefix",
    place=Place.QUERY,
    about="Only instances whose id begins with this.",
    parse=parsing.text,
)
CREATED_FROM = Parameter(
    name="createdFrom",
    place=Place.QUERY,
    about="Only instances created at this time or later.",
    parse=parsing.time("createdFrom"),
    schema={"type": "string", "format": "date-time"},
)
CREATED_BEFORE = Parameter(
    name="createdBefore",
    place=Place.QUERY,
    about="Only instances created before this time.",
    parse=parsing.time("createdBefore"),
    schema={"type": "string", "format": "date-time"},
)
ORDER = Parameter(
    name="order",
    place=Place.QUERY,
    about="Order by creation: `asc` begins with the oldest, `desc` with the newest.",
    parse=parsing.newest_first,
    schema={"enum": ["asc", "desc"], "default": "desc"},
)
LIMIT = Parameter(
    name="limit",
    place=Place.QUERY,
    about="At most so many instances.",
    parse=parsing.number("limit", 1, 1000, 100),
    schema={"type": "integer", "minimum": 1, "maximum": 1000, "default": 100},
)
CURSOR = Parameter(
    name="cursor",
    place=Place.QUERY,
    about="Go on where the page that gave this cursor ended, with the same parameters otherwise.",
    parse=parsing.text,
)
COUNTS = Parameter(
    name="counts",
    place=Place.QUERY,
    about="Also count all instances that match, by status.",
    parse=parsing.flag("counts", False),
    schema={"type": "boolean", "default": False},
)
