"""What the workflow engine needs from the store besides the actors' own port. A value module."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from perdure.runtime.workflow.history import Status
from perdure.runtime.workflow.records import Child, Instance, ListQuery, Page


class WorkflowReads(Protocol):
    """Reads, each in one read transaction of its own; they never wait for a writer."""

    async def get(self, instance_id: str) -> tuple[Instance, bytes | None] | None:
        """The row of an instance and the first history row of its run, which holds the input."""
        ...

    async def history(self, instance_id: str) -> tuple[Instance, Sequence[bytes]] | None:
        """The row of an instance and all history rows of its current run, in order."""
        ...

    async def page(self, query: ListQuery) -> Page:
        """Instances in the order of their creation."""
        ...

    async def counts(self, query: ListQuery) -> dict[Status, int]:
        """How many instances match the query's filters, by status (its paging is ignored)."""
        ...

    async def children(self, key: int) -> list[Child]:
        """The direct children of an instance, by its key; they may be of any app."""
        ...

    async def unborn(self, key: int) -> str | None:
        """The id of a child that an instance has called and that does not exist yet."""
        ...

    async def of_app(self, app_id: str) -> WorkflowReads | None:
        """The same of another app; None if no node ever was of it."""
        ...
