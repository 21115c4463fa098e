"""Activities whose code is in this process: a function is run, and what came of it. An edge module:
this is where users' effects happen.
"""

from __future__ import annotations

import asyncio
import contextvars
import inspect
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Any

from perdure.actors.ports import Env
from perdure.runtime.workflow import history as h
from perdure.runtime.workflow.activities.call import TimeLimit, run_in_thread
from perdure.runtime.workflow.activities.context import ActivityContext
from perdure.runtime.workflow.failure import (
    activity_not_registered,
    activity_timed_out,
    failure_of,
)
from perdure.runtime.workflow.messages import RunActivity
from perdure.runtime.workflow.payload import PayloadError
from perdure.runtime.workflow.registry import ActivityDefinition, Registry


@dataclass(frozen=True, slots=True)
class Functions:
    """Runs the activities that are registered."""

    registry: Registry
    env: Env
    executor: Executor | None
    """For plain functions; None for the loop's own."""
    result_bytes_max: int

    async def run(self, message: RunActivity) -> h.TaskCompleted | h.TaskFailed:
        """Run the function; whatever it does becomes one of the two."""
        task_id = message.task_id
        definition = self.registry.activity(message.name)
        if definition is None:
            return h.TaskFailed(task_id, activity_not_registered(message.name))
        limit = None if message.timeout_ms is None else TimeLimit(message.timeout_ms / 1000)
        try:
            if limit is None:
                result = await self._call(definition, message)
            else:
                async with limit.timeout:
                    result = await self._call(definition, message, limit)
            text = definition.encode_output(result)
            if text is not None and len(text) > self.result_bytes_max:
                raise PayloadError(
                    f"result of activity '{message.name}' has {len(text)} characters, the limit is "
                    f"{self.result_bytes_max}; return a reference to where the data is"
                )
        except TimeoutError as error:
            if limit is not None and limit.timeout.expired() and message.timeout_ms is not None:
                return h.TaskFailed(task_id, activity_timed_out(message.name, message.timeout_ms))
            return h.TaskFailed(task_id, failure_of(error))
        except asyncio.CancelledError as error:
            task = asyncio.current_task()
            if task is None or task.cancelling():
                raise
            # Nobody cancels us: it comes from something that the activity itself has cancelled.
            return h.TaskFailed(task_id, failure_of(error))
        except (Exception, SystemExit) as error:
            return h.TaskFailed(task_id, failure_of(error))
        return h.TaskCompleted(task_id, text)

    async def _call(
        self, definition: ActivityDefinition, message: RunActivity, limit: TimeLimit | None = None
    ) -> Any:
        context = ActivityContext(message, self.env.log)
        arguments = definition.arguments(context, message.input)
        if definition.is_async:
            if limit is not None:
                limit.begin()
            return await definition.fn(*arguments)
        # As `asyncio.to_thread`, but in the node's own pool: its size is the node's to say.
        surroundings = contextvars.copy_context()
        result = await asyncio.get_running_loop().run_in_executor(
            self.executor, surroundings.run, run_in_thread, limit, definition.fn, arguments
        )
        return await result if inspect.isawaitable(result) else result
