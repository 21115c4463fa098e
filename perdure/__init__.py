"""perdure: an actor-model runtime on asyncio with durable workflows.

Write workflows and activities as plain functions, decorate them, and run them with
`perdure serve app.py` or `async with perdure.Node(app)`.
"""

from perdure.runtime.client import WorkflowClient
from perdure.runtime.config import NodeConfig
from perdure.runtime.node import Node
from perdure.runtime.sync_client import SyncWorkflowClient
from perdure.runtime.workflow.activity_actor import ActivityContext
from perdure.runtime.workflow.context import ReplayFilter, WorkflowContext
from perdure.runtime.workflow.failure import FailureDetails, NonRetryableError, TaskFailedError
from perdure.runtime.workflow.registry import Registry, activity, workflow
from perdure.runtime.workflow.retry import RetryPolicy
from perdure.runtime.workflow.task import Task, when_all, when_any

__all__ = [
    "ActivityContext",
    "FailureDetails",
    "Node",
    "NodeConfig",
    "NonRetryableError",
    "Registry",
    "ReplayFilter",
    "RetryPolicy",
    "SyncWorkflowClient",
    "Task",
    "TaskFailedError",
    "WorkflowClient",
    "WorkflowContext",
    "activity",
    "when_all",
    "when_any",
    "workflow",
]
