"""Every setting of a node, with its default and its checks. A value module.

Units stand last in the names: `…_seconds`, `…_bytes`. `config_reading` makes them from text.
"""

from __future__ import annotations

import ipaddress
import math
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from enum import StrEnum
from pathlib import Path
from typing import Any

KIB = 1 << 10
MIB = 1 << 20


class ConfigError(ValueError):
    """A setting is unknown or has an unusable value; the text names it."""


class Durability(StrEnum):
    """What a commit waits for: FULL survives a power cut, NORMAL only a crash of the process."""

    FULL = "full"
    NORMAL = "normal"


class WorkerDialect(StrEnum):
    """Whose form of the wire the workers in other processes use; AUTO sees it by each stream."""

    AUTO = "auto"
    DAPR = "dapr"
    MICROSOFT = "microsoft"


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeConfig:
    """The settings of one node. Raises `ConfigError` if they do not go together."""

    app_id: str = "default"
    node_id: str | None = None
    """What this node is called in its cluster; by default the app id and the process id."""
    host: str = "127.0.0.1"
    port: int = 3500
    """0 takes any free port."""
    reuse_port: bool = False
    """Share the ports with other nodes on this machine; the kernel spreads the connections."""
    grpc_port: int | None = None
    """Where workers in other processes connect, on `host`; 0 takes any free port, None has none."""
    worker_dialect: WorkerDialect = WorkerDialect.AUTO
    peer_host: str = "127.0.0.1"
    """Where other nodes reach this one."""
    peer_port: int = 0
    """0 takes any free port."""
    cluster_secret: str | None = field(default=None, repr=False)
    """By what the nodes of a cluster know each other; without one, it is kept in the database."""
    api_token: str | None = field(default=None, repr=False)
    """Asked of every client in the header `dapr-api-token`."""
    api_token_previous: str | None = field(default=None, repr=False)
    """Accepted as well, while the clients change over to a new `api_token`."""
    allowed_hosts: tuple[str, ...] = ()
    """Further names that clients may call this node by while it listens on loopback."""
    insecure: bool = False
    """Listen beyond this machine without a token."""
    log_level: str = "info"

    store: Path = Path("perdure.db")
    durability: Durability = Durability.FULL
    batch_units: int = 256
    """Turns in one transaction, at most; `batch_bytes` bounds their payloads."""
    batch_bytes: int = 4 * MIB

    slots: int = 256
    lease_seconds: float = 5.0
    """A node that is not heard of for this long is taken for dead by the others."""
    kill_stuck_writer: bool = False
    """End a node that holds the write lock for over two leases, if it was started with this too."""
    call_seconds: float = 15.0
    """How long a request may look for the node that owns its workflow, and wait for the answer."""
    drain_seconds: float = 10.0
    """How long running activities, and requests, may go on after a request to stop."""
    recovery_scan_seconds: float = 10.0
    reminder_horizon_seconds: float = 60.0
    """Timers that are due later than this stay in the database."""

    mailbox_limit: int = 1000
    calls_max: int = 5_000
    """Calls that wait in all mailboxes together."""
    live_actors_max: int = 4096
    idle_seconds: float = 60.0
    block_warn_seconds: float = 0.5
    """A turn that takes longer is logged: it holds up all others."""

    connections_max: int = 10_000
    """Open HTTP connections."""
    max_body_bytes: int = 4 * MIB
    payload_bytes_max: int = 2 * MIB
    custom_status_bytes_max: int = 16 * KIB
    history_events_warn: int = 10_000
    history_events_max: int = 50_000
    history_bytes_max: int = 64 * MIB

    activity_concurrency: int = 100
    """Activities that run at a time on this node; more are given to nodes that have room."""
    activity_backlog_max: int = 10_000
    """Activities that wait in memory for their turn; the others wait in the database."""
    cluster_activities_max: int | None = None
    """Activities that run at a time on all nodes of the app together."""
    activity_limits: Mapping[str, int] = field(default_factory=dict)
    """The same for single activities, by name."""
    workflow_concurrency: int | None = None
    """Turns of workflows under way at a time on this node; an instance that waits has none."""
    cluster_workflows_max: int | None = None
    """The same on all nodes of the app together."""
    workflow_limits: Mapping[str, int] = field(default_factory=dict)
    """The same for single workflows, by name."""
    activity_threads: int = field(default_factory=lambda: min(32, (os.cpu_count() or 1) + 4))
    """Threads for activities that are plain functions."""

    def __post_init__(self) -> None:
        for setting in fields(self):
            _check_value(setting.name, str(setting.type), getattr(self, setting.name))
        _check_relations(self)
        _check_tokens(self)
        _check_exposure(self)

    @property
    def api_tokens(self) -> tuple[str, ...]:
        """The tokens that clients may show; none if none is asked for."""
        return tuple(token for token in (self.api_token, self.api_token_previous) if token)

    @property
    def heartbeat_seconds(self) -> float:
        """At least four heartbeats a lease, so that one that is late does no harm."""
        return self.lease_seconds / 5


FROM_ZERO = frozenset({"port", "grpc_port", "peer_port", "drain_seconds"})
"""Numbers that may be 0, and mean it."""
_LOG_LEVELS = ("debug", "info", "warning", "error", "critical")
_TYPES: dict[str, tuple[type, ...]] = {
    "str": (str,),
    "str | None": (str, type(None)),
    "int": (int,),
    "int | None": (int, type(None)),
    "float": (float, int),
    "bool": (bool,),
    "Path": (Path,),
    "Durability": (Durability,),
    "WorkerDialect": (WorkerDialect,),
    "tuple[str, ...]": (tuple,),
    "Mapping[str, int]": (Mapping,),
}


def _check_value(name: str, kind: str, value: Any) -> None:
    """Type and range of one setting by itself."""
    fits = isinstance(value, _TYPES[kind]) and (kind == "bool" or not isinstance(value, bool))
    if isinstance(value, tuple):
        fits = fits and all(isinstance(part, str) and part for part in value)
    if not fits:
        raise ConfigError(f"{name} must be of type {kind}, found {value!r}")
    if isinstance(value, Mapping):
        for key, limit in value.items():
            _check_value(f"{name} of {key!r}", "int", limit)
    if value is None or kind not in ("int", "int | None", "float"):
        return
    if not math.isfinite(value):
        raise ConfigError(f"{name} must be a finite number, found {value}")
    if name in FROM_ZERO:
        if value < 0:
            raise ConfigError(f"{name} must not be negative, found {value}")
    elif value <= 0:
        raise ConfigError(f"{name} must be above 0, found {value}")


def _check_relations(config: NodeConfig) -> None:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", config.app_id):
        raise ConfigError(
            "app_id must be 1 to 64 letters, digits, '.', '_' or '-', and begin with a letter or "
            f"digit, found {config.app_id!r}"
        )
    for name in ("port", "grpc_port", "peer_port"):
        if (getattr(config, name) or 0) > 65_535:
            raise ConfigError(f"{name} must be at most 65535, found {getattr(config, name)}")
    if config.grpc_port and config.grpc_port == config.port:
        raise ConfigError(f"port and grpc_port are both {config.port}: each needs one of its own")
    if config.node_id is not None and not re.fullmatch(r"[A-Za-z0-9._-]{1,128}", config.node_id):
        raise ConfigError(
            f"node_id must be 1 to 128 letters, digits, '.', '_' or '-', found {config.node_id!r}"
        )
    if config.slots > 65_536:
        raise ConfigError(f"slots must be at most 65536, found {config.slots}")
    if config.log_level not in _LOG_LEVELS:
        levels = ", ".join(_LOG_LEVELS)
        raise ConfigError(f"log_level must be one of {levels}, found {config.log_level!r}")
    if config.block_warn_seconds >= config.lease_seconds:
        raise ConfigError(
            f"block_warn_seconds ({config.block_warn_seconds}) must be below lease_seconds "
            f"({config.lease_seconds}): a turn that long costs the node its lease"
        )
    for smaller, larger, why in (
        ("custom_status_bytes_max", "payload_bytes_max", "a status is a payload too"),
        ("payload_bytes_max", "max_body_bytes", "a larger payload could not be sent"),
        ("payload_bytes_max", "history_bytes_max", "a history holds more than one payload"),
        ("history_events_warn", "history_events_max", "the warning comes before the limit"),
        ("mailbox_limit", "calls_max", "one mailbox is part of all"),
    ):
        low, high = getattr(config, smaller), getattr(config, larger)
        if low > high:
            raise ConfigError(f"{smaller} ({low}) must not be above {larger} ({high}): {why}")


def _check_tokens(config: NodeConfig) -> None:
    for name in ("api_token", "api_token_previous", "cluster_secret"):
        token = getattr(config, name)
        if token is not None and not re.fullmatch("[!-~]+", token):
            raise ConfigError(f"{name} must be printable ASCII without spaces, and not empty")
    if config.api_token_previous and not config.api_token:
        raise ConfigError("api_token_previous is set, but not the api_token that follows it")


def _check_exposure(config: NodeConfig) -> None:
    """Whoever can reach the port can run workflows: beyond this machine only with a token."""
    if _is_unspecified(config.peer_host):
        raise ConfigError(
            f"peer_host {config.peer_host!r} is no address of this machine: other nodes are told "
            "it, so give the address, or the name, by which they reach this one"
        )
    if not _is_loopback(config.peer_host) and config.cluster_secret is None:
        raise ConfigError(
            f"peer_host {config.peer_host!r} can be reached from other machines, and there is no "
            "cluster_secret: set PERDURE_CLUSTER_SECRET, the same for all nodes"
        )
    if config.insecure or config.api_token or _is_loopback(config.host):
        return
    raise ConfigError(
        f"host {config.host!r} can be reached from other machines, and there is no api_token: set "
        "PERDURE_API_TOKEN (or DAPR_API_TOKEN), or bind to 127.0.0.1, or allow it with insecure"
    )


def _is_unspecified(host: str) -> bool:
    try:
        return ipaddress.ip_address(host.strip("[]")).is_unspecified
    except ValueError:
        return not host


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False
