"""The JSON documents that the API answers with, as types. A value module.

The OpenAPI document describes these types and `render` fills them: what is declared is what is
sent. Fields that hold their default are left out, as protobuf's JSON form does.
"""

from __future__ import annotations

from typing import Literal

from msgspec import Struct, field

from perdure.placement.membership import NodeState


class Answer(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A JSON object."""


class Error(Answer, frozen=True, kw_only=True):
    """What every refused request is answered with."""

    error_code: str = field(name="errorCode")
    message: str


class Nothing(Answer, frozen=True):
    """An empty object."""


class Started(Answer, frozen=True, kw_only=True):
    """The instance that was started."""

    instance_id: str = field(name="instanceID")


DaprStatus = Literal[
    "RUNNING",
    "COMPLETED",
    "CONTINUED_AS_NEW",
    "FAILED",
    "CANCELED",
    "TERMINATED",
    "PENDING",
    "SUSPENDED",
    "UNKNOWN",
    "STALLED",
]


class Workflow(Answer, frozen=True, kw_only=True):
    """A workflow instance, in Dapr's form."""

    instance_id: str = field(name="instanceID")
    workflow_name: str = field(name="workflowName", default="")
    created_at: str = field(name="createdAt")
    last_updated_at: str = field(name="lastUpdatedAt")
    runtime_status: DaprStatus = field(name="runtimeStatus")
    properties: dict[str, str] = {}


class ListedWorkflow(Answer, frozen=True, kw_only=True):
    """A workflow instance in a list."""

    instance_id: str = field(name="instanceID")
    workflow_name: str = field(name="workflowName")
    version: str | None = None
    runtime_status: DaprStatus = field(name="runtimeStatus")
    created_at: str = field(name="createdAt")
    last_updated_at: str = field(name="lastUpdatedAt")
    custom_status: str | None = field(name="customStatus", default=None)
    parent_instance_id: str | None = field(name="parentInstanceID", default=None)
    error_type: str | None = field(name="errorType", default=None)
    error_message: str | None = field(name="errorMessage", default=None)
    stalled_reason: str | None = field(name="stalledReason", default=None)


class WorkflowList(Answer, frozen=True, kw_only=True):
    """One page of a list. Without a cursor it is the last one."""

    instances: list[ListedWorkflow]
    cursor: str | None = None
    counts: dict[str, int] | None = None


class FailureDetails(Answer, frozen=True, kw_only=True):
    """Why something failed."""

    error_type: str = field(name="errorType")
    error_message: str = field(name="errorMessage")
    stack_trace: str | None = field(name="stackTrace", default=None)
    inner_failure: FailureDetails | None = field(name="innerFailure", default=None)
    is_non_retriable: bool = field(name="isNonRetriable", default=False)


class ParentInstance(Answer, frozen=True, kw_only=True):
    """Which call of which workflow started a child."""

    instance_id: str = field(name="instanceID")
    task_scheduled_id: int = field(name="taskScheduledId")
    app_id: str | None = field(name="appId", default=None)
    """The app of that workflow, if it is another one than the child's."""


class RerunParentInstance(Answer, frozen=True, kw_only=True):
    """The instance in whose history an event stood that was run again."""

    instance_id: str = field(name="instanceID")


Scope = Literal["OWN_HISTORY", "LINEAGE"]

EventType = Literal[
    "WorkflowStarted",
    "ExecutionStarted",
    "ExecutionCompleted",
    "ExecutionTerminated",
    "ExecutionSuspended",
    "ExecutionResumed",
    "TaskScheduled",
    "TaskCompleted",
    "TaskFailed",
    "TimerCreated",
    "TimerFired",
    "ChildWorkflowInstanceCreated",
    "ChildWorkflowInstanceCompleted",
    "ChildWorkflowInstanceFailed",
    "EventSent",
    "DetachedWorkflowInstanceCreated",
    "EventRaised",
]


class HistoryEvent(Answer, frozen=True, kw_only=True):
    """One event of a history, with Dapr's names. Payloads are JSON texts."""

    event_id: int = field(name="eventId")
    """Number of the task that the event creates; -1 if it creates none."""
    timestamp: str
    type: EventType
    name: str | None = None
    app_id: str | None = field(name="appId", default=None)
    """The app that was called, if it is another one than the workflow's own."""
    rerun_parent: RerunParentInstance | None = field(name="rerunParentInstanceInfo", default=None)
    propagation: Scope | None = field(name="historyPropagationScope", default=None)
    """Which history goes with the call, if any."""
    version: str | None = None
    patches: tuple[str, ...] = ()
    instance_id: str | None = field(name="instanceID", default=None)
    input: str | None = None
    result: str | None = None
    runtime_status: DaprStatus | None = field(name="runtimeStatus", default=None)
    failure_details: FailureDetails | None = field(name="failureDetails", default=None)
    task_scheduled_id: int | None = field(name="taskScheduledId", default=None)
    task_execution_id: str | None = field(name="taskExecutionId", default=None)
    timer_id: int | None = field(name="timerId", default=None)
    fire_at: str | None = field(name="fireAt", default=None)
    origin: str | None = None
    scheduled_start: str | None = field(name="scheduledStartTimestamp", default=None)
    parent: ParentInstance | None = field(name="parentInstance", default=None)
    recurse: bool | None = None
    reason: str | None = None
    source: str | None = None
    """`file.py:line` of the call in the workflow's code."""


class WorkflowHistory(Answer, frozen=True, kw_only=True):
    """The history of the current run of an instance."""

    instance_id: str = field(name="instanceID")
    workflow_name: str = field(name="workflowName")
    runtime_status: DaprStatus = field(name="runtimeStatus")
    events: list[HistoryEvent]


class ActiveActors(Answer, frozen=True, kw_only=True):
    """How many actors of a type are live on this node."""

    type: str
    count: int


class ActorRuntime(Struct, frozen=True, kw_only=True):
    runtime_status: Literal["INITIALIZING", "DISABLED", "RUNNING"] = field(name="runtimeStatus")
    active_actors: list[ActiveActors] = field(name="activeActors")
    host_ready: bool = field(name="hostReady")
    placement: Literal["placement: connected", "placement: disconnected"]


class WorkflowRuntime(Struct, frozen=True, kw_only=True):
    connected_workers: int = field(name="connectedWorkers")


class Facts(Answer, frozen=True, kw_only=True):
    """What is known of this node beyond Dapr's fields."""

    version: str
    node_id: str = field(name="nodeID")
    store: str
    durability: str
    sqlite_version: str = field(name="sqliteVersion")
    degraded: str | None = None
    stopping: bool = False
    cluster_id: str | None = field(name="clusterId", default=None)
    generation: int
    nodes: int
    slots: int
    peers: int
    placement_version: int = field(name="placementVersion")
    missing: list[str] = []
    missing_workers: list[str] = field(name="missingWorkers", default_factory=list)
    """Code, as `workflow:ship`, that something waits for and no worker of the app runs."""


class Metadata(Struct, frozen=True, kw_only=True):
    """What is known of a node. Lists of things that perdure has not are empty."""

    id: str
    runtime_version: str = field(name="runtimeVersion")
    enabled_features: list[str] = field(name="enabledFeatures", default_factory=list)
    actors: list[ActiveActors]
    components: list[str] = []
    extended: dict[str, str]
    subscriptions: list[str] = []
    http_endpoints: list[str] = field(name="httpEndpoints", default_factory=list)
    actor_runtime: ActorRuntime = field(name="actorRuntime")
    workflows: WorkflowRuntime
    perdure: Facts


class ClusterNode(Answer, frozen=True, kw_only=True):
    """One node. What it does not answer in time about itself is left out."""

    node_id: str = field(name="nodeId")
    pid: int
    address: str
    """Where its clients reach it."""
    peer_address: str = field(name="peerAddress")
    app_id: str = field(name="appId")
    state: NodeState
    generation: int
    slots: int
    activations: int | None = None
    activities_running: int | None = field(name="activitiesRunning", default=None)
    activities_waiting: int | None = field(name="activitiesWaiting", default=None)
    lease_age_seconds: float | None = field(name="leaseAgeSeconds", default=None)
    """How long ago it renewed its lease."""
    workflows: list[str]
    activities: list[str]
    missing: list[str]
    """Names that other nodes of its app have and it lacks."""
    is_self: bool = field(name="self")
    """Whether it is the node that answers."""


class Cluster(Answer, frozen=True, kw_only=True):
    """The cluster as the answering node sees it: its present nodes, of all apps."""

    cluster_id: str | None = field(name="clusterId", default=None)
    version: int
    """Of the placement table."""
    lease_seconds: float = field(name="leaseSeconds")
    nodes: list[ClusterNode]
    missing_workers: list[str] = field(name="missingWorkers")
    """Code, as `workflow:ship`, that something waits for and no worker of the app runs."""
