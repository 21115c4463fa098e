"""Activity executions as actors without state. An edge module: this is where users' effects happen.

An activity actor is addressed as `<instance id>::<task id>`, runs its function once and tells the
workflow actor what came of it. It keeps nothing: until the answer is in the workflow's history, the
workflow tells it again after a crash. So an activity runs at least once, and again only after a
fault.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import inspect
import logging
from collections import deque
from collections.abc import Awaitable, Callable
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Any

from perdure.actors.identity import ActorRef
from perdure.actors.ports import Env
from perdure.runtime.workflow import history as h
from perdure.runtime.workflow.failure import (
    activity_not_registered,
    activity_timed_out,
    failure_of,
)
from perdure.runtime.workflow.messages import WORKFLOW, Completion, RunActivity
from perdure.runtime.workflow.payload import PayloadError
from perdure.runtime.workflow.registry import ActivityDefinition, Registry

Deliver = Callable[[ActorRef, object], Awaitable[object]]
"""Hands a message to an actor and waits until it is taken, durably. Raises why it was not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ActivityConfig:
    concurrency: int = 1000
    """Activities that run at the same time on this node; the others wait their turn."""
    result_bytes_max: int = 2 << 20


class ActivityContext:
    """Handed to an activity as its first argument, if it takes two."""

    __slots__ = ("_message", "logger")

    def __init__(self, message: RunActivity, log: logging.Logger) -> None:
        self._message = message
        self.logger = log

    @property
    def workflow_id(self) -> str:
        """The id of the workflow instance that called."""
        return self._message.instance_id

    @property
    def workflow_name(self) -> str:
        return self._message.workflow_name

    @property
    def activity_name(self) -> str:
        return self._message.name

    @property
    def task_id(self) -> int:
        """The number of the call in the workflow's history."""
        return self._message.task_id

    @property
    def task_execution_id(self) -> str:
        """The same over all retries and repeats of one call: use it as an idempotency key."""
        return self._message.execution_id

    def __repr__(self) -> str:
        return f"<ActivityContext {self.activity_name} for {self.workflow_id}>"


class ActivityRunner:
    """Runs activities inside `run`. `receive` may be called by anyone on the loop."""

    def __init__(
        self,
        registry: Registry,
        env: Env,
        deliver: Deliver,
        executor: Executor | None,
        config: ActivityConfig,
    ) -> None:
        self._registry = registry
        self._env = env
        self._deliver = deliver
        self._executor = executor
        self._config = config
        self._known: dict[str, set[tuple[int, int, int]]] = {}
        """What is running, waiting or not answered yet, by instance."""
        self._waiting: deque[RunActivity] = deque()
        self._group: asyncio.TaskGroup | None = None
        self._tasks: dict[asyncio.Task[None], RunActivity] = {}
        self._quiet = asyncio.Event()
        self._quiet.set()
        self._draining = False
        self.started = 0

    def receive(self, ref: ActorRef, message: object) -> None:
        """Run an activity, unless this very execution is running or waiting already."""
        assert isinstance(message, RunActivity)
        if self._draining:
            return
        known = self._known.setdefault(message.instance_id, set())
        key = (message.key, message.execution, message.task_id)
        if key in known:
            return
        known.add(key)
        if self._group is None or len(self._tasks) >= self._config.concurrency:
            self._waiting.append(message)
        else:
            self._start(message)

    def works_for(self, ref: ActorRef) -> bool:
        """Whether an activity of this workflow instance is at hand here.

        Then all are that it waits for: they were received together, or by its last activation.
        """
        return ref.id in self._known

    @property
    def running(self) -> int:
        return len(self._tasks)

    @property
    def waiting(self) -> int:
        return len(self._waiting)

    async def run(self) -> None:
        """Run what is received, until cancelled."""
        async with asyncio.TaskGroup() as group:
            self._group = group
            try:
                while self._waiting and len(self._tasks) < self._config.concurrency:
                    self._start(self._waiting.popleft())
                await asyncio.get_running_loop().create_future()
            finally:
                self._group = None  # Before the group ends: what waits must not begin by its end.

    async def drain(self, grace_seconds: float) -> list[str]:
        """Start nothing more, let what runs finish, then cancel it. Returns what was cancelled."""
        self._draining = True
        self._waiting.clear()
        try:
            async with asyncio.timeout(grace_seconds):
                await self._quiet.wait()
        except TimeoutError:
            pass
        left = list(self._tasks.items())
        for task, _ in left:
            task.cancel()
        if left:
            await asyncio.sleep(0)  # Let asynchronous ones see it; a thread cannot be stopped.
        return [f"{message.name} for {message.instance_id}" for _, message in left]

    def _start(self, message: RunActivity) -> None:
        assert self._group is not None
        self.started += 1
        task = self._group.create_task(self._execute(message))
        self._tasks[task] = message
        self._quiet.clear()
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        del self._tasks[task]
        if self._waiting and self._group is not None and not self._draining:
            self._start(self._waiting.popleft())
        if not self._tasks:
            self._quiet.set()

    async def _execute(self, message: RunActivity) -> None:
        event = await self._outcome(message)
        target = ActorRef(WORKFLOW, message.instance_id)
        completion = Completion(message.key, message.execution, event)
        delay = 0.02
        # It stays known until its answer is durable: a workflow that is loaded meanwhile and asks
        # for what has not been answered must not have it run again.
        while True:
            try:
                await self._deliver(target, completion)
                break
            except Exception:
                # The node is busy, or the turn that takes it fails: then the host says so, and
                # sets the instance aside. The answer must outlive both, and so must the node.
                await asyncio.sleep(delay)
                delay = min(delay * 2, 5.0)
        known = self._known[message.instance_id]
        known.discard((message.key, message.execution, message.task_id))
        if not known:
            del self._known[message.instance_id]

    async def _outcome(self, message: RunActivity) -> h.TaskCompleted | h.TaskFailed:
        """Run the function; whatever it does becomes one of the two."""
        task_id = message.task_id
        definition = self._registry.activity(message.name)
        if definition is None:
            return h.TaskFailed(task_id, activity_not_registered(message.name))
        limit = None if message.timeout_ms is None else _Limit(message.timeout_ms / 1000)
        try:
            if limit is None:
                result = await self._call(definition, message)
            else:
                async with limit.timeout:
                    result = await self._call(definition, message, limit)
            text = definition.encode_output(result)
            if text is not None and len(text) > self._config.result_bytes_max:
                raise PayloadError(
                    f"result of activity '{message.name}' has {len(text)} characters, the limit is "
                    f"{self._config.result_bytes_max}; return a reference to where the data is"
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
        self, definition: ActivityDefinition, message: RunActivity, limit: _Limit | None = None
    ) -> Any:
        context = ActivityContext(message, self._env.log)
        arguments = definition.arguments(context, message.input)
        if definition.is_async:
            if limit is not None:
                limit.begin()
            return await definition.fn(*arguments)
        # As `asyncio.to_thread`, but in the node's own pool: its size is the node's to say.
        surroundings = contextvars.copy_context()
        result = await asyncio.get_running_loop().run_in_executor(
            self._executor, surroundings.run, _in_thread, limit, definition.fn, arguments
        )
        return await result if inspect.isawaitable(result) else result

    def __repr__(self) -> str:
        return f"<ActivityRunner running={len(self._tasks)} waiting={len(self._waiting)}>"


class _Limit:
    """How long an activity may run. The wait for a free thread does not count."""

    def __init__(self, seconds: float) -> None:
        self.timeout = asyncio.timeout(None)
        self._seconds = seconds
        self._loop = asyncio.get_running_loop()

    def begin(self) -> None:
        self.timeout.reschedule(self._loop.time() + self._seconds)

    def begin_from_thread(self) -> None:
        self._loop.call_soon_threadsafe(self._begin_late)

    def _begin_late(self) -> None:
        with contextlib.suppress(RuntimeError):  # It has ended, or was cancelled, meanwhile.
            self.begin()


def _in_thread(limit: _Limit | None, fn: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
    if limit is not None:
        limit.begin_from_thread()
    try:
        return fn(*arguments)
    except StopIteration as error:
        raise RuntimeError("the activity raised StopIteration") from error  # No future takes it.
    except SystemExit as error:
        raise RuntimeError(f"the activity called sys.exit({error.code!r})") from error
