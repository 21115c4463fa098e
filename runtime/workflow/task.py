"""What a workflow waits for: tasks, and how they combine. A value module.

A task is an `asyncio.Future` on the workflow's own loop, with the names that Dapr's SDK gives the
same things; so `yield task`, `await task`, `asyncio.gather` and `TaskGroup` all work on it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any, TypeVar

from perdure.runtime.workflow import payload

T = TypeVar("T")


class Task(asyncio.Future[T]):
    """The outcome of a durable operation: an activity, a timer, a child workflow or an event."""

    def __init__(self, *, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(loop=loop)
        next_number = getattr(loop, "next_number", None)
        self._number: int | None = None if next_number is None else next_number()

    def __hash__(self) -> int:
        """By number where there is one: sets of tasks have the same order in every replay."""
        return super().__hash__() if self._number is None else self._number

    @property
    def is_complete(self) -> bool:
        """Whether it has an outcome, good or bad."""
        return self.done()

    @property
    def is_failed(self) -> bool:
        """Whether its outcome is an error."""
        return self.done() and (self.cancelled() or self.exception() is not None)

    def get_result(self) -> T:
        """The result. Raises the task's error, or `ValueError` if it is not complete."""
        if not self.done():
            raise ValueError("the task is not complete: it has no result yet")
        return self.result()

    def get_exception(self) -> BaseException:
        """The error of a failed task. Raises `ValueError` if it has not failed."""
        error = self.exception() if self.done() else None
        if error is None:
            raise ValueError("the task has not failed")
        return error


def settle(task: Task[Any], text: str | None, hint: Any, what: str) -> None:
    """Complete `task` with the value of JSON `text`, or with the error that it does not fit."""
    try:
        value = payload.decode(text, hint, what)
    except payload.PayloadError as error:
        task.set_exception(error)
    else:
        task.set_result(value)


def when_all(tasks: Iterable[asyncio.Future[Any]]) -> Task[list[Any]]:
    """A task with the results of all `tasks`, in their order; it fails with the first failure."""
    waited = list(tasks)
    combined: Task[list[Any]] = Task(loop=_loop_of(waited, "when_all"))
    missing = len(waited)
    if not waited:
        combined.set_result([])

    def completed(task: asyncio.Future[Any]) -> None:
        nonlocal missing
        missing -= 1
        if combined.done():
            return
        if task.cancelled():
            combined.cancel()
        elif (error := task.exception()) is not None:
            combined.set_exception(error)
        elif missing == 0:
            combined.set_result([each.result() for each in waited])

    for task in waited:
        task.add_done_callback(completed)
    return combined


def when_any(tasks: Iterable[asyncio.Future[Any]]) -> Task[asyncio.Future[Any]]:
    """A task whose result is the first of `tasks` to complete, well or badly."""
    waited = list(tasks)
    if not waited:
        raise ValueError("when_any needs at least one task: nothing else could ever complete it")
    winner: Task[asyncio.Future[Any]] = Task(loop=_loop_of(waited, "when_any"))

    def completed(task: asyncio.Future[Any]) -> None:
        if not winner.done():
            winner.set_result(task)

    for task in waited:
        task.add_done_callback(completed)
    return winner


def _loop_of(tasks: list[asyncio.Future[Any]], what: str) -> asyncio.AbstractEventLoop:
    for task in tasks:
        if not isinstance(task, asyncio.Future):
            raise TypeError(
                f"{what} takes tasks such as ctx.call_activity(…) returns, "
                f"not {type(task).__name__}"
            )
    return tasks[0].get_loop() if tasks else asyncio.get_running_loop()
