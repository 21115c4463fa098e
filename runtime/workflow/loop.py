"""The event loop that `async def` workflows run on. A value module: nothing here waits or does I/O.

A real `asyncio.AbstractEventLoop`, so that `gather`, `TaskGroup`, `timeout`, `sleep`, `Event` and
`Queue` work unmodified; but its clock is the logical time of the turn, its timers are durable
timers, and it is driven synchronously inside a turn until nothing is ready any more. Callbacks run
strictly first in, first out. What a workflow must not do (I/O, threads, signals) raises
`NotInWorkflow`.
"""

from __future__ import annotations

import asyncio
import contextvars
from asyncio import events
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Generator
from typing import Any, Protocol

from perdure.actors.errors import Fault, Refused
from perdure.runtime.workflow.source import source_line

STEPS_MAX = 200_000
"""Callbacks in one turn, beyond which the code is taken to be an endless loop."""

FOREVER_US = 253_402_300_799_999_999
"""The last microsecond of the year 9999: whoever wants to sleep longer sleeps until then."""


class NotInWorkflow(Refused):
    """Workflow code did something that only an activity may do."""


class EndlessTurn(Fault):
    """Workflow code keeps the loop busy without ever waiting for anything durable."""


class DurableTimers(Protocol):
    """Who makes a loop's timers durable."""

    def start_timer(self, fire_at_us: int, fire: Callable[[], None]) -> int:
        """Create a timer; `fire` is called in the turn in which it fires. Returns its task id."""
        ...

    def cancel_timer(self, task_id: int) -> None: ...


class Handle:
    """A callback that waits for its turn; has what `asyncio` uses of `asyncio.Handle`."""

    __slots__ = ("_args", "_callback", "_context", "_is_cancelled")

    def __init__(
        self,
        callback: Callable[..., object],
        args: tuple[Any, ...],
        context: contextvars.Context | None,
    ) -> None:
        self._callback = callback
        self._args = args
        self._context = context
        self._is_cancelled = False

    def cancel(self) -> None:
        self._is_cancelled = True

    def cancelled(self) -> bool:
        return self._is_cancelled

    def run(self) -> None:
        if self._is_cancelled:
            return
        if self._context is None:
            self._callback(*self._args)
        else:
            self._context.run(self._callback, *self._args)


class TimerHandle(Handle):
    """A durable timer as `asyncio` sees it."""

    __slots__ = ("_timers", "_when", "task_id")

    def __init__(
        self,
        when: float,
        callback: Callable[..., object],
        args: tuple[Any, ...],
        context: contextvars.Context | None,
        timers: DurableTimers,
    ) -> None:
        super().__init__(callback, args, context)
        self._when = when
        self._timers = timers
        self.task_id: int | None = None

    def when(self) -> float:
        return self._when

    def cancel(self) -> None:
        if not self._is_cancelled:
            super().cancel()
            if self.task_id is not None:
                self._timers.cancel_timer(self.task_id)


def _refused(what: str) -> Callable[..., Any]:
    def refuse(self: object, *args: object, **kwargs: object) -> Any:
        raise NotInWorkflow(
            f"{what} at {source_line()}: a workflow must not do I/O, start threads "
            "or handle signals, because it is replayed; do this in an activity and await "
            "ctx.call_activity(...)"
        )

    return refuse


class NumberedTask(asyncio.Task[Any]):
    """Hashes by its number: `TaskGroup` and `asyncio.wait` keep tasks in sets, and an order by
    address would be another one in every replay.
    """

    def __init__(self, coro: Any, number: int, **options: Any) -> None:
        self._number = number  # First of all: a task is put into a set while it is being made.
        super().__init__(coro, **options)

    def __hash__(self) -> int:
        return self._number


class WorkflowLoop(asyncio.AbstractEventLoop):
    """Owned by one execution, and only ever driven by it."""

    def __init__(self, timers: DurableTimers) -> None:
        self._timers = timers
        self._ready: deque[Handle] = deque()
        self._tasks: list[asyncio.Task[Any]] = []
        self._tasks_checked = 8
        self._numbered = 0
        self._closed = False
        self.now_us = 0
        self.is_replaying = False

    # ---- driven by the execution

    def run_until_blocked(self) -> None:
        """Run what is ready, and what becomes ready by it. Raises `EndlessTurn`."""
        ready = self._ready
        if not ready:
            return
        outer = events._get_running_loop()
        events._set_running_loop(self)
        try:
            steps = 0
            while ready:
                ready.popleft().run()
                steps += 1
                if steps > STEPS_MAX:
                    raise EndlessTurn(
                        f"the workflow ran {STEPS_MAX} steps in one turn without waiting for an "
                        "activity, a timer, a child or an event: is there a `while True` around "
                        "`asyncio.sleep(0)`?"
                    )
        except SystemExit:
            pass  # `sys.exit()` in a workflow: its task has the error and the instance fails by it.
        finally:
            events._set_running_loop(outer)

    def abandon(self) -> None:
        """End every task where it stands; `finally` blocks run and can cause nothing any more."""
        if self._closed:
            return
        self._closed = True
        if any(not task.done() for task in self._tasks):
            outer = events._get_running_loop()
            events._set_running_loop(self)
            try:
                for task in reversed(self._tasks):
                    if not task.done():
                        _abandon(task)
            finally:
                events._set_running_loop(outer)
        self._tasks.clear()
        self._ready.clear()
        del self._timers  # It refers to this loop: together they would wait for the collector.

    def next_number(self) -> int:
        """What the next task or future hashes by."""
        self._numbered += 1
        return self._numbered

    # ---- what asyncio calls

    def time(self) -> float:
        return self.now_us / 1e6

    def get_debug(self) -> bool:
        return False

    def set_debug(self, enabled: bool) -> None:
        pass

    def is_running(self) -> bool:
        return True

    def is_closed(self) -> bool:
        return self._closed

    def create_future(self) -> asyncio.Future[Any]:
        return asyncio.Future(loop=self)

    def create_task(
        self,
        coro: Coroutine[Any, Any, Any] | Generator[Any, Any, Any] | Awaitable[Any],
        *,
        name: object = None,
        context: contextvars.Context | None = None,
        **options: Any,
    ) -> asyncio.Task[Any]:
        if not asyncio.iscoroutine(coro):
            coro = _await(coro)  # type: ignore[arg-type]  # TaskGroup.create_task(ctx.call_activity(…))
        number = self.next_number()
        label = f"Task-{number}" if name is None else str(name)
        task = NumberedTask(coro, number, loop=self, name=label, context=context)
        self._tasks.append(task)
        if len(self._tasks) > self._tasks_checked:
            self._tasks = [known for known in self._tasks if not known.done()]
            self._tasks_checked = max(8, 2 * len(self._tasks))
        return task

    def call_soon(  # type: ignore[override]  # Typeshed's TypeVarTuple form.
        self,
        callback: Callable[..., object],
        *args: Any,
        context: contextvars.Context | None = None,
    ) -> Any:
        handle = Handle(callback, args, context)
        self._ready.append(handle)
        return handle

    def call_later(  # type: ignore[override]  # Typeshed's TypeVarTuple form.
        self,
        delay: float,
        callback: Callable[..., object],
        *args: Any,
        context: contextvars.Context | None = None,
    ) -> Any:
        return self.call_at(self.time() + delay, callback, *args, context=context)

    def call_at(  # type: ignore[override]  # Typeshed's TypeVarTuple form.
        self,
        when: float,
        callback: Callable[..., object],
        *args: Any,
        context: contextvars.Context | None = None,
    ) -> Any:
        if self._closed:
            return Handle(callback, args, context)  # Never to be run.
        handle = TimerHandle(when, callback, args, context, self._timers)
        fire_at_us = FOREVER_US if when * 1e6 >= FOREVER_US else round(when * 1e6)
        if fire_at_us <= self.now_us:
            self._ready.append(handle)
        else:
            handle.task_id = self._timers.start_timer(
                fire_at_us, lambda: self._ready.append(handle)
            )
        return handle

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        """Failures that nobody awaits are the workflow's own business, as in Dapr."""

    def default_exception_handler(self, context: dict[str, Any]) -> None:
        pass

    def get_exception_handler(self) -> None:
        return None

    def _timer_handle_cancelled(self, handle: object) -> None:
        pass

    call_soon_threadsafe: Any = _refused("call_soon_threadsafe")
    run_in_executor: Any = _refused("running code in a thread or executor")
    getaddrinfo: Any = _refused("a name look-up")
    getnameinfo: Any = _refused("a name look-up")
    create_connection: Any = _refused("opening a connection")
    create_unix_connection: Any = _refused("opening a connection")
    create_datagram_endpoint: Any = _refused("opening a socket")
    create_server: Any = _refused("starting a server")
    create_unix_server: Any = _refused("starting a server")
    subprocess_exec: Any = _refused("starting a process")
    subprocess_shell: Any = _refused("starting a process")
    connect_read_pipe: Any = _refused("reading a pipe")
    connect_write_pipe: Any = _refused("writing a pipe")
    add_reader: Any = _refused("watching a file descriptor")
    add_writer: Any = _refused("watching a file descriptor")
    sock_connect: Any = _refused("using a socket")
    sock_recv: Any = _refused("using a socket")
    sock_sendall: Any = _refused("using a socket")
    sock_accept: Any = _refused("using a socket")
    add_signal_handler: Any = _refused("handling a signal")


def current_workflow_loop() -> WorkflowLoop | None:
    """The loop of the workflow whose code is running at this moment in this thread, if any."""
    loop = events._get_running_loop()
    return loop if isinstance(loop, WorkflowLoop) else None


async def _await(awaitable: Awaitable[Any]) -> Any:
    return await awaitable


def _abandon(task: asyncio.Task[Any]) -> None:
    task._log_destroy_pending = False  # type: ignore[attr-defined]  # It is meant to be left.
    coro = task.get_coro()
    assert coro is not None
    try:
        coro.close()
    except RuntimeError:
        pass  # It awaits in a `finally`; there is nothing left that it could wait for.
    except Exception:
        pass  # What a `finally` raises while its execution is given up concerns nobody.
