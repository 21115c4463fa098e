"""What the gRPC services need from the node that they belong to. A value module."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from perdure.runtime.api.ports import View
from perdure.runtime.workflow.fork import Rerun
from perdure.runtime.workflow.history import Status, Trace, Turn
from perdure.runtime.workflow.records import Instance, ListQuery, Page


@dataclass(frozen=True, slots=True, kw_only=True)
class RpcConfig:
    """The settings of the gRPC server of one node."""

    host: str = "127.0.0.1"
    """Loopback, by whatever name, is that of IPv4 and of IPv6: `localhost` may mean either."""
    port: int = 50001
    reuse_port: bool = False
    """Share the port with other nodes of this machine."""
    tokens: tuple[str, ...] = field(default=(), repr=False)
    """Accepted API tokens; two at once allow a rotation. None: no token is asked for."""
    connections_max: int = 10_000
    """One more is closed at once. Also the most calls, streams included, that run at a time."""
    message_bytes_max: int = 4 << 20
    """Of one request; a longer one ends its call with RESOURCE_EXHAUSTED. The decision of a worker
    may be four times as long."""
    drain_seconds: float = 5.0
    """How long calls under way may take to finish when the server stops."""


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
        version: str | None = None,
        unique: bool = False,
        tags: tuple[tuple[str, str], ...] = (),
        trace: Trace | None = None,
    ) -> str: ...

    async def get(self, instance_id: str) -> View: ...

    async def raise_event(
        self, instance_id: str, event_name: str, data: str | None = None
    ) -> None: ...

    async def suspend(self, instance_id: str, reason: str | None = None) -> None: ...

    async def resume(self, instance_id: str, reason: str | None = None) -> None: ...

    async def terminate(
        self, instance_id: str, output: str | None = None, *, recursive: bool = True
    ) -> None: ...

    async def purge(
        self, instance_id: str, *, recursive: bool = True, force: bool = False
    ) -> int: ...

    async def restart(self, instance_id: str, *, new_id: bool) -> str: ...

    async def rerun(self, source_id: str, wanted: Rerun) -> str: ...

    async def page(self, query: ListQuery) -> Page: ...

    async def history(self, instance_id: str) -> tuple[Instance, Sequence[Turn]]: ...

    async def wait(
        self,
        instance_id: str,
        *,
        until: frozenset[Status],
        timeout: float,  # noqa: ASYNC109 (not a deadline of the call: the answer is the view then)
    ) -> View: ...
