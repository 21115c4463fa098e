"""perdure: an actor-model runtime on asyncio with durable workflows.

Write workflows and activities as plain functions, decorate them, and run them with
`perdure serve app.py` or `async with perdure.Node(app)`.

The names are imported when they are first used: the command line must not wait for the parts that a
command does not need.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from perdure.actors.errors import PerdureError, Retryable
    from perdure.runtime.client import WorkflowClient
    from perdure.runtime.config import NodeConfig
    from perdure.runtime.node import Node
    from perdure.runtime.remote.cluster import ClusterNode, ClusterStatus
    from perdure.runtime.remote.errors import (
        ApiError,
        CannotConnect,
        NodeNotFound,
        WorkflowExists,
        WorkflowFailed,
        WorkflowNotFinished,
        WorkflowNotFound,
        WorkflowStalled,
    )
    from perdure.runtime.remote.settings import Patience
    from perdure.runtime.remote.state import HistoryEvent, ListFilter, WorkflowState
    from perdure.runtime.remote.status import WorkflowStatus
    from perdure.runtime.sync_client import SyncWorkflowClient
    from perdure.runtime.workflow.activities.context import ActivityContext
    from perdure.runtime.workflow.context import ReplayFilter, WorkflowContext
    from perdure.runtime.workflow.failure import FailureDetails, NonRetryableError, TaskFailedError
    from perdure.runtime.workflow.payload import PayloadError
    from perdure.runtime.workflow.propagated_history import (
        PropagatedHistory,
        PropagationNotFoundError,
    )
    from perdure.runtime.workflow.propagation import PropagationScope
    from perdure.runtime.workflow.registry import Registry, activity, workflow
    from perdure.runtime.workflow.retry import RetryPolicy
    from perdure.runtime.workflow.task import Task, when_all, when_any

__all__ = [
    "ActivityContext",
    "ApiError",
    "CannotConnect",
    "ClusterNode",
    "ClusterStatus",
    "FailureDetails",
    "HistoryEvent",
    "ListFilter",
    "Node",
    "NodeConfig",
    "NodeNotFound",
    "NonRetryableError",
    "Patience",
    "PayloadError",
    "PerdureError",
    "PropagatedHistory",
    "PropagationNotFoundError",
    "PropagationScope",
    "Registry",
    "ReplayFilter",
    "RetryPolicy",
    "Retryable",
    "SyncWorkflowClient",
    "Task",
    "TaskFailedError",
    "WorkflowClient",
    "WorkflowContext",
    "WorkflowExists",
    "WorkflowFailed",
    "WorkflowNotFinished",
    "WorkflowNotFound",
    "WorkflowStalled",
    "WorkflowState",
    "WorkflowStatus",
    "activity",
    "when_all",
    "when_any",
    "workflow",
]

_HOMES = {
    "ActivityContext": "runtime.workflow.activities.context",
    "ApiError": "runtime.remote.errors",
    "CannotConnect": "runtime.remote.errors",
    "ClusterNode": "runtime.remote.cluster",
    "ClusterStatus": "runtime.remote.cluster",
    "FailureDetails": "runtime.workflow.failure",
    "HistoryEvent": "runtime.remote.state",
    "ListFilter": "runtime.remote.state",
    "Node": "runtime.node",
    "NodeConfig": "runtime.config",
    "NodeNotFound": "runtime.remote.errors",
    "NonRetryableError": "runtime.workflow.failure",
    "Patience": "runtime.remote.settings",
    "PayloadError": "runtime.workflow.payload",
    "PerdureError": "actors.errors",
    "PropagatedHistory": "runtime.workflow.propagated_history",
    "PropagationNotFoundError": "runtime.workflow.propagated_history",
    "PropagationScope": "runtime.workflow.propagation",
    "Registry": "runtime.workflow.registry",
    "ReplayFilter": "runtime.workflow.context",
    "RetryPolicy": "runtime.workflow.retry",
    "Retryable": "actors.errors",
    "SyncWorkflowClient": "runtime.sync_client",
    "Task": "runtime.workflow.task",
    "TaskFailedError": "runtime.workflow.failure",
    "WorkflowClient": "runtime.client",
    "WorkflowContext": "runtime.workflow.context",
    "WorkflowExists": "runtime.remote.errors",
    "WorkflowFailed": "runtime.remote.errors",
    "WorkflowNotFinished": "runtime.remote.errors",
    "WorkflowNotFound": "runtime.remote.errors",
    "WorkflowStalled": "runtime.remote.errors",
    "WorkflowState": "runtime.remote.state",
    "WorkflowStatus": "runtime.remote.status",
    "activity": "runtime.workflow.registry",
    "when_all": "runtime.workflow.task",
    "when_any": "runtime.workflow.task",
    "workflow": "runtime.workflow.registry",
}
"""Where each public name lives, below `perdure`."""


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'perdure' has no attribute '{name}'")
    value = getattr(import_module(f"perdure.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
