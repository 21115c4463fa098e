"""The client of `perdure.dapr` for asyncio programs. An edge module."""

from perdure.runtime.dapr.aio_client import DaprWorkflowClient

__all__ = ["DaprWorkflowClient"]
