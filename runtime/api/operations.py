"""Everything that can be called: the table that routes, validates and documents. A value module.

Dapr binds the same operations to three prefixes; so do we, for its operations and for ours.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Any

import msgspec

from perdure.runtime.api import answers
from perdure.runtime.api import parameters as p
from perdure.runtime.api.parameters import Parameter

PREFIXES = ("/v1.0", "/v1.0-beta1", "/v1.0-alpha1")


class Body(Enum):
    """What becomes of a request's body."""

    NONE = "not read"
    TEXT = "taken as it is, as text"
    MESSAGE = "empty, or the request message of Dapr's gRPC API as JSON, whose fields are not used"
    TERMINATE = "the same, and the field `output`, JSON text, is what the instance ends with"


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One operation. `name` is its id in the OpenAPI document and, for Dapr's, in Dapr's metrics.

    `code` and `failure` are the error code and the text of what goes wrong in it; the text may name
    the path parameters. `refusals` are the statuses of refusals, besides 401 and 403.
    """

    name: str
    method: str
    path: str
    about: str
    parameters: tuple[Parameter[Any], ...] = ()
    body: Body = Body.NONE
    success: int
    answer: type[msgspec.Struct] | None = None
    code: str
    failure: str = "{error}"
    unknown: int = 404
    """Status for an instance that does not exist."""
    refusals: tuple[int, ...] = (400, 404, 405, 429, 500, 503)
    public: bool = False
    """Needs no API token."""
    strict: bool = False
    """Refuses unknown query parameters. Dapr's operations ignore them."""
    at_root: bool = False
    """Stands under no prefix."""


_INSTANCE = (p.COMPONENT, p.INSTANCE_ID, p.APP_ID)
_MUTATING = (400, 404, 405, 415, 429, 500, 503)

START_WORKFLOW = Operation(
    name="StartWorkflow",
    method="POST",
    path="/workflows/{component}/{workflowName}/start",
    about="Start an instance of a workflow. The body is its input, JSON text.",
    parameters=(
        p.COMPONENT,
        p.WORKFLOW_NAME,
        p.NEW_INSTANCE_ID,
        p.APP_ID,
        p.START_TIME,
        p.IDEMPOTENCY_KEY,
        p.TRACEPARENT,
        p.TRACESTATE,
    ),
    body=Body.TEXT,
    success=202,
    answer=answers.Started,
    code="ERR_START_WORKFLOW",
    failure="error starting workflow '{workflowName}': unable to start workflow: "
    "failed to start workflow: {error}",
    unknown=500,
    refusals=_MUTATING,
)
RAISE_EVENT_WORKFLOW = Operation(
    name="RaiseEventWorkflow",
    method="POST",
    path="/workflows/{component}/{instanceID}/raiseEvent/{eventName}",
    about="Raise an event on an instance. The body is the event's data, JSON text.",
    parameters=(p.COMPONENT, p.INSTANCE_ID, p.EVENT_NAME, p.APP_ID, p.IDEMPOTENCY_KEY),
    body=Body.TEXT,
    success=202,
    answer=answers.Nothing,
    code="ERR_RAISE_EVENT_WORKFLOW",
    failure="error raising event on workflow '{instanceID}': failed to raise event {eventName} "
    "on workflow {instanceID}: failed to raise event: {error}",
    unknown=500,
    refusals=_MUTATING,
)
GET_WORKFLOW = Operation(
    name="GetWorkflow",
    method="GET",
    path="/workflows/{component}/{instanceID}",
    about="Get an instance; with `wait`, as soon as it has come so far. A stalled instance has the "
    "status UNKNOWN, as in Dapr, and STALLED in the answer to a wait.",
    parameters=(*_INSTANCE, p.WAIT, p.TIMEOUT),
    success=200,
    answer=answers.Workflow,
    code="ERR_GET_WORKFLOW",
    failure="error while getting workflow info on instance '{instanceID}': "
    "failed to get workflow metadata for '{instanceID}': {error}",
)
PAUSE_WORKFLOW = Operation(
    name="PauseWorkflow",
    method="POST",
    path="/workflows/{component}/{instanceID}/pause",
    about="Suspend an instance until it is resumed.",
    parameters=_INSTANCE,
    body=Body.MESSAGE,
    success=202,
    answer=answers.Nothing,
    code="ERR_PAUSE_WORKFLOW",
    failure="error pausing workflow {instanceID}: failed to pause workflow {instanceID}: "
    "failed to suspend workflow: {error}",
    unknown=500,
    refusals=_MUTATING,
)
RESUME_WORKFLOW = Operation(
    name="ResumeWorkflow",
    method="POST",
    path="/workflows/{component}/{instanceID}/resume",
    about="Let a suspended instance go on.",
    parameters=_INSTANCE,
    body=Body.MESSAGE,
    success=202,
    answer=answers.Nothing,
    code="ERR_RESUME_WORKFLOW",
    failure="error resuming workflow {instanceID}: failed to resume workflow {instanceID}: "
    "failed to resume workflow: {error}",
    unknown=500,
    refusals=_MUTATING,
)
TERMINATE_WORKFLOW = Operation(
    name="TerminateWorkflow",
    method="POST",
    path="/workflows/{component}/{instanceID}/terminate",
    about="End an instance as it stands, with its child workflows.",
    parameters=(*_INSTANCE, p.RECURSIVE),
    body=Body.TERMINATE,
    success=202,
    answer=answers.Nothing,
    code="ERR_TERMINATE_WORKFLOW",
    failure="error terminating workflow '{instanceID}': failed to terminate workflow "
    "{instanceID}: failed to submit termination request:: {error}",
    refusals=_MUTATING,
)
PURGE_WORKFLOW = Operation(
    name="PurgeWorkflow",
    method="POST",
    path="/workflows/{component}/{instanceID}/purge",
    about="Remove a finished instance and its child workflows with all that is stored of them.",
    parameters=(*_INSTANCE, p.FORCE, p.RECURSIVE),
    body=Body.MESSAGE,
    success=202,
    answer=answers.Nothing,
    code="ERR_PURGE_WORKFLOW",
    failure="error purging workflow {instanceID}: failed to Purge workflow {instanceID}: "
    "failed to purge workflow state: {error}",
    refusals=_MUTATING,
)
LIST_WORKFLOWS = Operation(
    name="ListWorkflows",
    method="GET",
    path="/workflows/{component}",
    about="List instances in the order of their creation.",
    parameters=(
        p.COMPONENT,
        p.APP_ID,
        p.STATUSES,
        p.NAME,
        p.PREFIX,
        p.CREATED_FROM,
        p.CREATED_BEFORE,
        p.ORDER,
        p.LIMIT,
        p.CURSOR,
        p.COUNTS,
    ),
    success=200,
    answer=answers.WorkflowList,
    code="ERR_LIST_WORKFLOWS",
    failure="error listing workflows: {error}",
    strict=True,
)
GET_WORKFLOW_HISTORY = Operation(
    name="GetWorkflowHistory",
    method="GET",
    path="/workflows/{component}/{instanceID}/history",
    about="Get the history of the current run of an instance.",
    parameters=_INSTANCE,
    success=200,
    answer=answers.WorkflowHistory,
    code="ERR_GET_WORKFLOW",
    failure="error while getting workflow info on instance '{instanceID}': "
    "failed to get workflow history for '{instanceID}': {error}",
    strict=True,
)

_SIMPLE = (405, 500)

HEALTH = Operation(
    name="Health",
    method="GET",
    path="/healthz",
    about="Whether this node is ready.",
    parameters=(p.HEALTH_APP_ID,),
    success=204,
    code="ERR_HEALTH_NOT_READY",
    refusals=(400, *_SIMPLE),
    public=True,
)
OUTBOUND_HEALTH = Operation(
    name="OutboundHealth",
    method="GET",
    path="/healthz/outbound",
    about="Whether this node is ready, the user's app left aside.",
    success=204,
    code="ERR_OUTBOUND_HEALTH_NOT_READY",
    refusals=_SIMPLE,
    public=True,
)
GET_METADATA = Operation(
    name="GetMetadata",
    method="GET",
    path="/metadata",
    about="What there is to know of this node.",
    success=200,
    answer=answers.Metadata,
    code="ERR_METADATA",
    refusals=_SIMPLE,
)
SET_METADATA = Operation(
    name="SetMetadata",
    method="PUT",
    path="/metadata/{key}",
    about="Add an entry to `extended`, until the node stops. The body is its text.",
    parameters=(p.METADATA_KEY,),
    body=Body.TEXT,
    success=204,
    code="ERR_METADATA",
    refusals=(400, 415, *_SIMPLE),
)
SHUTDOWN = Operation(
    name="Shutdown",
    method="POST",
    path="/shutdown",
    about="Finish what is under way and stop this node.",
    parameters=(p.FORCE_SHUTDOWN,),
    success=204,
    code="ERR_SHUTDOWN",
    refusals=_SIMPLE,
)
GET_CLUSTER = Operation(
    name="GetCluster",
    method="GET",
    path="/cluster",
    about="The nodes of the cluster, and what each has to do.",
    success=200,
    answer=answers.Cluster,
    code="ERR_GET_CLUSTER",
    failure="error reading the cluster: {error}",
    refusals=(*_SIMPLE, 503),
)
DRAIN_NODE = Operation(
    name="DrainNode",
    method="POST",
    path="/cluster/nodes/{nodeID}/drain",
    about="Have a node hand over its work to the others and end.",
    parameters=(p.NODE_ID,),
    success=202,
    answer=answers.Nothing,
    code="ERR_DRAIN_NODE",
    failure="error draining node '{nodeID}': {error}",
    refusals=(404, 429, *_SIMPLE, 503),
)
OPENAPI = Operation(
    name="OpenAPI",
    method="GET",
    path="/openapi.json",
    about="This document.",
    success=200,
    code="ERR_OPENAPI",
    refusals=_SIMPLE,
    at_root=True,
)
