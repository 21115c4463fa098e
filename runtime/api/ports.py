"""What the HTTP API needs from the node that it belongs to. A value module."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from perdure.actors.errors import Refused
from perdure.placement.membership import NodeState
from perdure.runtime.workflow.history import ExecutionStarted, Status, Trace, Turn
from perdure.runtime.workflow.records import Instance, ListQuery, Page


class View(Protocol):
    """An instance and its input (JSON text)."""

    @property
    def row(self) -> Instance: ...

    @property
    def input(self) -> str | None: ...

    @property
    def start(self) -> ExecutionStarted | None:
        """What its current run began with, if that can be read."""
        ...

    @property
    def waiting(self) -> str | None:
        """Why it does not go on, if it is for want of a worker."""
        ...


class Workflows(Protocol):
    """The management functions. Mutating ones return once their effect is durable.

    They raise the errors of `perdure.runtime.workflow.errors` and the retryable ones of
    `perdure.actors.errors`; they do not validate ids.
    """

    async def of(self, app_id: str | None) -> Workflows:
        """The same for the instances of another app than the node's; None is the node's own.

        Raises `NoSuchApp`.
        """
        ...

    async def start(
        self,
        name: str,
        input: str | None = None,
        *,
        instance_id: str | None = None,
        start_at_us: int | None = None,
        idempotency_key: str | None = None,
        trace: Trace | None = None,
    ) -> str: ...

    async def get(self, instance_id: str) -> View: ...

    async def raise_event(
        self,
        instance_id: str,
        event_name: str,
        data: str | None = None,
        *,
        idempotency_key: str | None = None,
    ) -> None: ...

    async def suspend(self, instance_id: str) -> None: ...

    async def resume(self, instance_id: str) -> None: ...

    async def terminate(
        self, instance_id: str, output: str | None = None, *, recursive: bool = True
    ) -> None: ...

    async def purge(
        self, instance_id: str, *, recursive: bool = True, force: bool = False
    ) -> int: ...

    async def page(self, query: ListQuery) -> Page: ...

    async def counts(self, query: ListQuery) -> dict[Status, int]: ...

    async def history(self, instance_id: str) -> tuple[Instance, Sequence[Turn]]: ...

    async def wait(
        self,
        instance_id: str,
        *,
        until: frozenset[Status],
        timeout: float,  # noqa: ASYNC109 (not a deadline of the call: the answer is the view then)
    ) -> View: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiConfig:
    """The settings of the HTTP API of one node."""

    app_id: str
    version: str
    """Version of the perdure package."""
    host: str = "127.0.0.1"
    port: int = 3500
    reuse_port: bool = False
    """Share the port with other nodes of this machine."""
    tokens: tuple[str, ...] = field(default=(), repr=False)
    """Accepted API tokens; two at once allow a rotation. None: no token is asked for."""
    allowed_hosts: frozenset[str] = frozenset()
    """Further names that a `Host` header may carry while the node listens on loopback."""
    connections_max: int = 10_000
    """One more is told so and closed. Also less than the process may have files open."""
    body_bytes_max: int = 4 << 20
    body_seconds_max: float = 30.0
    """How long a client may take to send a body."""
    idle_seconds_max: float = 75.0
    """How long a connection may take to send the next whole request head."""
    drain_seconds: float = 5.0
    """How long requests under way may take to finish when the server stops."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeStatus:
    """What a node tells about itself."""

    node_id: str
    unready: tuple[str, ...] = ()
    """The parts that are not ready to work; `app` is the user's code, all others are our own."""
    hosts_app: bool = True
    activations: Mapping[str, int] = field(default_factory=dict)
    """Live activations by actor type; a hosted type without any counts zero."""
    store: str = ""
    """Where the data is, fit to be shown: without a password."""
    durability: str = ""
    sqlite_version: str = ""
    degraded: str | None = None
    """Why nothing can be written at present."""
    stopping: bool = False
    cluster_id: str | None = None
    generation: int = 0
    """Of this stay in the cluster."""
    nodes: int = 1
    """Present nodes of the cluster, this one included."""
    slots: int = 0
    """Slots that this node owns."""
    peers: int = 0
    """Other nodes that this one has a connection to."""
    placement_version: int = 0
    missing: tuple[str, ...] = ()
    """Workflows and activities that other nodes of the app have and this one lacks."""
    missing_workers: tuple[str, ...] = ()
    """Those, as `workflow:ship`, that something waits for and no worker of the app runs."""


class NodeNotFound(Refused):
    """No node of this id is in the cluster at present."""

    def __init__(self, node_id: str) -> None:
        super().__init__(f"no node '{node_id}' is in this cluster")
        self.node_id = node_id


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeFacts:
    """One present node of the cluster. What a node does not answer in time about itself is None."""

    node_id: str
    pid: int
    address: str
    """Where its clients reach it."""
    peer_address: str
    """Where other nodes reach it."""
    app_id: str
    state: NodeState
    generation: int
    slots: int
    """How many it owns."""
    activations: int | None = None
    """Workflow instances that are live on it."""
    activities_running: int | None = None
    activities_waiting: int | None = None
    lease_age_seconds: float | None = None
    """How long ago it renewed its lease."""
    workflows: tuple[str, ...] = ()
    activities: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    """Names of either that other nodes of its app have and it lacks."""
    is_self: bool = False
    """Whether it is the node that tells this."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterStatus:
    """The cluster as one node sees it."""

    cluster_id: str | None = None
    version: int
    """Of the placement table."""
    lease_seconds: float
    nodes: tuple[NodeFacts, ...]
    """The present ones, of all apps, by id."""
    missing_workers: tuple[str, ...] = ()
    """Code, as `workflow:ship`, that something waits for and no worker of the app runs."""


class ApiNode(Protocol):
    """The node as its HTTP API sees it."""

    @property
    def service(self) -> Workflows: ...

    @property
    def api_config(self) -> ApiConfig: ...

    def status(self) -> NodeStatus: ...

    def request_shutdown(self, *, force: bool = False) -> None: ...

    async def cluster(self) -> ClusterStatus: ...

    async def drain_node(self, node_id: str) -> None:
        """Have a node hand over its work and end, as SIGTERM does; returns once it knows.

        Raises `NodeNotFound`, and `NodeUnreachable` if it does not answer.
        """
        ...
