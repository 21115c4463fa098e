"""Everything that can be called over gRPC: the index of its services. A value module."""

from __future__ import annotations

from typing import Protocol

from perdure.runtime.rpc.dapr_service import DAPR, DaprMethods, Describe
from perdure.runtime.rpc.listing import ListMethods
from perdure.runtime.rpc.management import TASK_HUB, ManagementMethods
from perdure.runtime.rpc.methods import Methods
from perdure.runtime.rpc.ports import Workflows
from perdure.runtime.rpc.upkeep import UpkeepMethods


class Table(Protocol):
    """A part of a service."""

    def table(self) -> Methods: ...


class WorkersTable(Table, Protocol):
    """The part for workers."""

    def decides(self, peer: str, instance_id: str) -> bool:
        """Whether a peer is a worker that decides the next turn of an instance."""
        ...


def services(
    service: Workflows, workers: WorkersTable, own_app_id: str, describe: Describe
) -> dict[str, Methods]:
    """The methods of both services, by the name of the service; `workers` are those for workers."""
    parts: tuple[Table, ...] = (
        ManagementMethods(service, own_app_id),
        ListMethods(service),
        UpkeepMethods(service, own_app_id, workers.decides),
        workers,
    )
    return {
        TASK_HUB: {name: method for part in parts for name, method in part.table().items()},
        DAPR: DaprMethods(service, own_app_id, describe).table(),
    }
