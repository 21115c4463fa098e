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
import sys
from asyncio import events
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Generator
from typing import Any, Protocol

from perdure.actors.errors import Fault
from perdure.runtime.workflow.refusals import refuse_unordered, refused

STEPS_MAX = 200_000
"""Callbacks in one turn, beyond which the code is taken to be an endless loop."""

FOREVER_US = 253_402_300_799_999_999
"""The last microsecond of the year 9999: whoever wants to sleep longer sleeps until then."""


class EndlessTurn(Fault):
    """Workflow code keeps the loop busy without ever waiting for anything durable."""

    def __init__(
        self,
        # The watchdog can only raise the type, from its thread into this one.
        message: str = "the workflow went on computing, did not wait for anything and was ended; "
        "is there a loop without an `await`? Long computations belong into an activity",
    ) -> None:
        super().__init__(message)


class DurableTimers(Protocol):
    """Who makes a loop's timers durable."""

    def start_timer(self, fire_at_us: int, fire: Callable[[], None]) -> int:
        """Create a timer; `fire` is called in the turn in which it fires. Returns its task id."""
        ...

    def cancel_timer(self, task_id: int) -> None: ...

    def callback_failed(self, error: BaseException) -> None:
        """Hear of a callback that has raised; as on any event loop, everything else goes on."""
        ...


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
        self._context = contextvars.copy_context() if context is None else context
        self._is_cancelled = False

    def cancel(self) -> None:
        self._is_cancelled = True

    def cancelled(self) -> bool:
        return self._is_cancelled

    def run(self) -> None:
        if not self._is_cancelled:
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
    """Owned by one execution, and only ever driven by it.

    `salt` is where its numbers begin, the same in every replay: tasks of all loops stand in one set
    of asyncio's, in which equal hashes would have to be searched one by one. Its low bits are zero,
    so that small sets of tasks are in the order of their making.
    """

    def __init__(self, timers: DurableTimers, salt: int) -> None:
        self._timers = timers
        self._ready: deque[Handle] = deque()
        self._tasks: list[asyncio.Task[Any]] = []
        self._tasks_checked = 8
        self._salt = salt
        self._numbered = salt
        self._closed = False
        self.now_us = 0
        self.is_replaying = False

    # ---- driven by the execution

    def run_until_blocked(self) -> None:
        """Run what is ready, and what becomes ready by it. Raises `EndlessTurn`."""
        ready = self._ready
        if not ready:
            return
        outer = self._enter()
        try:
            steps = 0
            while ready:
                handle = ready.popleft()
                try:
                    handle.run()
                except SystemExit:
                    pass  # `sys.exit()` in a task: the task has the error, and the others go on.
                except (Exception, asyncio.CancelledError) as error:
                    # `CancelledError` too: a callback asked a cancelled task for its result. Nobody
                    # cancels us, for this is no coroutine.
                    self._timers.callback_failed(error)
                steps += 1
                if steps > STEPS_MAX:
                    raise EndlessTurn(
                        f"the workflow ran {STEPS_MAX} steps in one turn without waiting for an "
                        "activity, a timer, a child or an event: is there a `while True` around "
                        "`asyncio.sleep(0)`?"
                    )
        finally:
            _leave(outer)

    def _enter(self) -> Outer:
        """Be the running loop of this thread.

        An async generator that is left unfinished is closed by nobody: the outer loop must not do
        it, and when the collector finds it differs from replay to replay.
        """
        outer = events._get_running_loop(), sys.get_asyncgen_hooks()
        events._set_running_loop(self)
        sys.set_asyncgen_hooks(firstiter=None, finalizer=_leave_unfinished)
        return outer

    def abandon(self) -> None:
        """End every task where it stands; `finally` blocks run and can cause nothing any more."""
        if self._closed:
            return
        self._closed = True
        if any(not task.done() for task in self._tasks):
            self.is_replaying = True  # What it logs is heard when it really happens.
            outer = self._enter()
            try:
                for task in reversed(self._tasks):
                    if not task.done():
                        _abandon(task)
            finally:
                _leave(outer)
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
        refuse_unordered(coro)
        if not asyncio.iscoroutine(coro):
            coro = _await(coro)  # type: ignore[arg-type]  # TaskGroup.create_task(ctx.call_activity(…))
        number = self.next_number()
        label = f"Task-{number - self._salt}" if name is None else str(name)
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

    call_soon_threadsafe: Any = refused("call_soon_threadsafe")
    run_in_executor: Any = refused("running code in a thread or executor")
    getaddrinfo: Any = refused("a name look-up")
    getnameinfo: Any = refused("a name look-up")
    create_connection: Any = refused("opening a connection")
    create_unix_connection: Any = refused("opening a connection")
    create_datagram_endpoint: Any = refused("opening a socket")
    create_server: Any = refused("starting a server")
    create_unix_server: Any = refused("starting a server")
    subprocess_exec: Any = refused("starting a process")
    subprocess_shell: Any = refused("starting a process")
    connect_read_pipe: Any = refused("reading a pipe")
    connect_write_pipe: Any = refused("writing a pipe")
    add_reader: Any = refused("watching a file descriptor")
    add_writer: Any = refused("watching a file descriptor")
    sock_connect: Any = refused("using a socket")
    sock_recv: Any = refused("using a socket")
    sock_sendall: Any = refused("using a socket")
    sock_accept: Any = refused("using a socket")
    add_signal_handler: Any = refused("handling a signal")


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
    except (Exception, SystemExit, asyncio.CancelledError):
        pass  # What a `finally` raises while its execution is given up concerns nobody.


Outer = tuple[asyncio.AbstractEventLoop | None, Any]
"""What a workflow's loop stands in front of while it runs: the node's loop and its hooks."""


def _leave(outer: Outer) -> None:
    loop, hooks = outer
    sys.set_asyncgen_hooks(*hooks)
    events._set_running_loop(loop)


def _leave_unfinished(generator: object) -> None:
    pass
