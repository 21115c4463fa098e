"""Dapr's Python Workflow SDK, run by perdure: change the import, keep the program.

    import perdure.dapr as wf              # was: import dapr.ext.workflow as wf

A `WorkflowRuntime` runs a node in this process, with its data in perdure.db (PERDURE_STORE); there
is no sidecar to start. `perdure.dapr.aio` has the client for asyncio.

Not here: other apps (`app_id`), MCP.
"""

from perdure.runtime.dapr.client import DaprWorkflowClient
from perdure.runtime.dapr.context import DaprWorkflowContext, WorkflowActivityContext
from perdure.runtime.dapr.naming import alternate_name
from perdure.runtime.dapr.requests import UNSET
from perdure.runtime.dapr.state import (
    WorkflowHistoryEvent,
    WorkflowHistoryEventType,
    WorkflowInstanceIdPage,
    WorkflowState,
    WorkflowStatus,
)
from perdure.runtime.dapr.tasks import when_all, when_any
from perdure.runtime.dapr.worker import WorkflowRuntime
from perdure.runtime.workflow.failure import FailureDetails, NonRetryableError, TaskFailedError
from perdure.runtime.workflow.propagated_history import (
    ActivityResult,
    ChildWorkflowResult,
    PropagatedHistory,
    PropagationNotFoundError,
    WorkflowResult,
)
from perdure.runtime.workflow.propagation import PropagationScope
from perdure.runtime.workflow.retry import RetryPolicy

__all__ = [
    "UNSET",
    "ActivityResult",
    "ChildWorkflowResult",
    "DaprWorkflowClient",
    "DaprWorkflowContext",
    "FailureDetails",
    "NonRetryableError",
    "PropagatedHistory",
    "PropagationNotFoundError",
    "PropagationScope",
    "RetryPolicy",
    "TaskFailedError",
    "WorkflowActivityContext",
    "WorkflowHistoryEvent",
    "WorkflowHistoryEventType",
    "WorkflowInstanceIdPage",
    "WorkflowResult",
    "WorkflowRuntime",
    "WorkflowState",
    "WorkflowStatus",
    "alternate_name",
    "when_all",
    "when_any",
]
