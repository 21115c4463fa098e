"""Combined tasks, with what Dapr's SDK lets one ask of them. A value module."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

from perdure.runtime.workflow.task import Task

AnyTask = asyncio.Future[Any]


class WhenAllTask(Task[list[Any]]):
    """Completes once all of its tasks have; then it fails with the first failure, if there is one.

    perdure's own `when_all` fails at once instead.
    """

    def __init__(self, tasks: list[AnyTask]) -> None:
        super().__init__(loop=_loop_of(tasks))
        self._tasks = tasks
        self._first_error: BaseException | None = None
        self._completed = 0
        if not tasks:
            self.set_result([])
        for task in tasks:
            task.add_done_callback(self._one_more)

    @property
    def pending_tasks(self) -> int:
        """How many of its tasks have not completed."""
        return len(self._tasks) - self._completed

    def get_tasks(self) -> list[AnyTask]:
        return self._tasks

    def get_completed_tasks(self) -> int:
        return self._completed

    def _one_more(self, task: AnyTask) -> None:
        self._completed += 1
        error = asyncio.CancelledError() if task.cancelled() else task.exception()
        self._first_error = self._first_error or error
        if self.pending_tasks or self.done():
            return
        if isinstance(self._first_error, asyncio.CancelledError):
            self.cancel()
        elif self._first_error is not None:
            self.set_exception(self._first_error)
        else:
            self.set_result([each.result() for each in self._tasks])


class WhenAnyTask(Task[Any]):
    """Completes with the first of its tasks that does, well or badly; with `[]` if it has none."""

    def __init__(self, tasks: list[AnyTask]) -> None:
        super().__init__(loop=_loop_of(tasks))
        self._tasks = tasks
        if not tasks:
            self.set_result([])
        for task in tasks:
            task.add_done_callback(self._first)

    def get_tasks(self) -> list[AnyTask]:
        return self._tasks

    def _first(self, task: AnyTask) -> None:
        if not self.done():
            self.set_result(task)


def when_all(tasks: Iterable[AnyTask]) -> WhenAllTask:
    """A task for the results of all `tasks`, in their order."""
    return WhenAllTask(list(tasks))


def when_any(tasks: Iterable[AnyTask]) -> WhenAnyTask:
    """A task for the first of `tasks` to complete."""
    return WhenAnyTask(list(tasks))


def _loop_of(tasks: list[AnyTask]) -> asyncio.AbstractEventLoop:
    for task in tasks:
        if not isinstance(task, asyncio.Future):
            raise TypeError(
                "when_all and when_any take tasks such as ctx.call_activity(…) returns, "
                f"not {type(task).__name__}"
            )
    return tasks[0].get_loop() if tasks else asyncio.get_running_loop()
