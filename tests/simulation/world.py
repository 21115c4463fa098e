"""Virtual time, seeded order and sudden death for whole nodes in one process. An owner module.

One `World` owns the clock and the chance of a simulation. Every simulated process has an event loop
of its own (`NodeLoop`): its own ready queue, first in first out as asyncio promises it; the world
decides which process runs next and when its I/O completes. No thread, no socket, no real time.

 * kill -9 drops the queues of a loop: no `finally` runs, its tasks go to a graveyard until the end
 * SIGSTOP: the world does not pick the loop; timers and replies pile up until SIGCONT
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import hashlib
import heapq
import logging
import random
from asyncio import events
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any

from perdure.actors.errors import Retryable

STEPS_MAX = 1_000_000
"""Far more than any seed takes that comes to an end."""

BORN_SECONDS = 1_785_578_400
"""What the clocks show when a world begins: 2026-08-01T10:00:00Z."""


class Violation(BaseException):
    """Something that must hold does not. No `BaseException` handler of the engine's may eat it."""


class SimTask(asyncio.Task[Any]):
    """Hashes by number and not by address: `TaskGroup` keeps tasks in sets."""

    number = 0

    def __hash__(self) -> int:
        return self.number


class NodeLoop(asyncio.AbstractEventLoop):
    """The event loop of one simulated process."""

    def __init__(self, world: World, name: str, index: int) -> None:
        self.world = world
        self.name = name
        self.index = index
        self.ready: deque[asyncio.Handle] = deque()
        self.alive = True
        self.frozen = False
        self.queued = False
        self.tasks: dict[SimTask, None] = {}
        self._numbered = 0

    # ---- what asyncio calls

    def time(self) -> float:
        return self.world.now

    def get_debug(self) -> bool:
        return False

    def is_running(self) -> bool:
        return True

    def is_closed(self) -> bool:
        return not self.alive

    def create_future(self) -> asyncio.Future[Any]:
        return asyncio.Future(loop=self)

    def create_task(  # type: ignore[override]  # No eager tasks here.
        self,
        coro: Coroutine[Any, Any, Any],
        *,
        name: str | None = None,
        context: contextvars.Context | None = None,
        **options: Any,
    ) -> asyncio.Task[Any]:
        self._numbered += 1
        SimTask.number = self._numbered  # Its hash is asked for while it is being made.
        task = SimTask(coro, loop=self, name=name or "task", context=context, **options)
        task.number = self._numbered
        self.tasks[task] = None
        task.add_done_callback(self._forget)
        return task

    def _forget(self, task: Any) -> None:
        self.tasks.pop(task, None)

    def call_soon(  # type: ignore[override]  # Typeshed's TypeVarTuple form.
        self,
        callback: Callable[..., object],
        *args: Any,
        context: contextvars.Context | None = None,
    ) -> asyncio.Handle:
        handle = events.Handle(callback, args, self, context)
        if self.alive:
            self._make_ready(handle)
        return handle

    call_soon_threadsafe = call_soon  # type: ignore[assignment]  # There are no threads.

    def call_later(  # type: ignore[override]  # Typeshed's TypeVarTuple form.
        self,
        delay: float,
        callback: Callable[..., object],
        *args: Any,
        context: contextvars.Context | None = None,
    ) -> asyncio.TimerHandle:
        return self.call_at(self.world.now + delay, callback, *args, context=context)

    def call_at(  # type: ignore[override]  # Typeshed's TypeVarTuple form.
        self,
        when: float,
        callback: Callable[..., object],
        *args: Any,
        context: contextvars.Context | None = None,
    ) -> asyncio.TimerHandle:
        handle = events.TimerHandle(when, callback, args, self, context)
        self.world.at(when, self._timer, handle)
        return handle

    def _timer(self, handle: asyncio.TimerHandle) -> None:
        if self.alive and not handle.cancelled():
            self._make_ready(handle)

    def _make_ready(self, handle: asyncio.Handle) -> None:
        self.ready.append(handle)
        if not self.queued and not self.frozen:
            self.queued = True
            self.world.runnable.append(self)

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        pass

    def run_in_executor(  # type: ignore[override]  # Typeshed's TypeVarTuple form.
        self, executor: Any, fn: Callable[..., Any], *args: Any
    ) -> asyncio.Future[Any]:
        """A thread's work: one event at a seeded later time."""
        future = self.create_future()
        self.world.after(self.world.rng.uniform(0.0002, 0.02), self._thread, future, fn, args)
        return future

    def _thread(self, future: asyncio.Future[Any], fn: Callable[..., Any], args: Any) -> None:
        if not self.alive or future.cancelled():
            return  # What is cancelled before it begins never does, as in a pool of threads.
        if self.frozen:
            self.world.after(0.3, self._thread, future, fn, args)
            return
        self.world.acting = self.name
        try:
            result = fn(*args)
        except Exception as error:
            if not future.done():
                future.set_exception(error)
        else:
            if not future.done():
                future.set_result(result)

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        if self.alive:
            error = context.get("exception")
            raise self.world.violated(f"{self.name}: {context.get('message')} {error!r}")

    def default_exception_handler(self, context: dict[str, Any]) -> None:
        self.call_exception_handler(context)

    # ---- faults

    def kill(self) -> None:
        """The process is gone, in the middle of whatever it was doing."""
        self.alive = False
        self.frozen = False
        self.ready.clear()
        self.world.graveyard.append(self)

    def freeze(self) -> None:
        self.frozen = True

    def thaw(self) -> None:
        self.frozen = False
        if self.alive and self.ready and not self.queued:
            self.queued = True
            self.world.runnable.append(self)

    def bury(self) -> None:
        """Release what a dead process left behind; nothing that its `finally` blocks do counts."""
        for task in list(self.tasks):
            task._log_destroy_pending = False  # type: ignore[attr-defined]  # It is meant to be.
            if not task.done():
                _close(task.get_coro())
        self.tasks.clear()


def _close(coro: Any) -> None:
    # It may await, or fail, in a `finally`: there is no process any more that could care.
    with contextlib.suppress(Exception, BaseExceptionGroup, Violation, asyncio.CancelledError):
        coro.close()


class World:
    """Owns virtual time, chance, and the trace by which two runs of a seed are compared."""

    def __init__(self, seed: int, *, keep_log: bool = False) -> None:
        self.seed = seed
        self.rng = random.Random(seed)
        self.now = 0.0
        self.wall_offset = 0.0
        """What somebody has set the machine's clock forward by."""
        self.runnable: list[NodeLoop] = []
        self.graveyard: list[NodeLoop] = []
        self.steps = 0
        self.acting = ""
        """The process whose code runs at this moment."""
        self.violation: Violation | None = None
        self.keep_log = keep_log
        self.lines: list[str] = []
        self._heap: list[tuple[float, int, Callable[..., object], tuple[Any, ...]]] = []
        self._pushed = 0
        self._order = 0
        self._digest = hashlib.blake2b(digest_size=12)
        self._loops: list[NodeLoop] = []
        self._is_over = False

    # ---- time

    def wall_us(self) -> int:
        """The machine's wall clock, in microseconds since the epoch."""
        return int((BORN_SECONDS + self.now + self.wall_offset) * 1e6)

    def at(self, when: float, callback: Callable[..., object], *args: Any) -> None:
        self._pushed += 1
        heapq.heappush(self._heap, (when, self._pushed, callback, args))

    def after(self, delay: float, callback: Callable[..., object], *args: Any) -> None:
        self.at(self.now + delay, callback, *args)

    # ---- processes

    def loop(self, name: str) -> NodeLoop:
        loop = NodeLoop(self, name, len(self._loops))  # type: ignore[abstract]  # No I/O here.
        self._loops.append(loop)
        return loop

    def run(self, until: float, stop: Callable[[], bool]) -> None:
        """Let everything happen up to `until`, or until `stop` says so or nothing is left to do."""
        set_running, chance = events._set_running_loop, self.rng.random
        heap, runnable = self._heap, self.runnable
        while True:
            while runnable:
                count = len(runnable)
                chosen = int(chance() * count) if count > 1 else 0
                loop = runnable[chosen]
                if not loop.alive or loop.frozen or not loop.ready:
                    runnable[chosen] = runnable[-1]
                    runnable.pop()
                    loop.queued = False
                    continue
                handle = loop.ready.popleft()
                if handle.cancelled():
                    continue
                self.steps += 1
                self._order = (self._order * 1000003 + loop.index + self._pushed) & 0xFFFFFFFFFFFF
                self.acting = loop.name
                set_running(loop)
                try:
                    handle._run()
                finally:
                    set_running(None)
                if self.violation is not None:
                    raise self.violation
                if self.steps > STEPS_MAX:
                    raise self.violated(f"I13: over {STEPS_MAX} steps: messages make more messages")
            if stop() or not heap:
                return
            when = heap[0][0]
            if when > until:
                self.now = until
                return
            self.now = max(self.now, when)
            while heap and heap[0][0] <= self.now:
                _, _, callback, args = heapq.heappop(heap)
                callback(*args)

    def close(self) -> None:
        """Bury every process. Nothing runs afterwards."""
        self._is_over = True
        for loop in self._loops:
            loop.alive = False
            events._set_running_loop(loop)
            try:
                loop.bury()
            finally:
                events._set_running_loop(None)
        self._heap.clear()

    # ---- the trace

    def violated(self, what: str) -> Violation:
        """Note the first thing that must not be. Raise the answer; the run ends in any case."""
        if self.violation is None and not self._is_over:
            self.violation = Violation(what)
            self.log("VIOLATION", what)
        return self.violation or Violation(what)

    def log(self, *parts: object) -> None:
        """Note what happened; every line is part of the digest."""
        line = f"{self.now:.6f} " + " ".join(map(str, parts))
        self._digest.update(line.encode())
        if self.keep_log:
            self.lines.append(line)

    def digest(self) -> str:
        """Equal for two runs of a seed if, and only if, they went the same way."""
        whole = self._digest.copy()
        whole.update(b"%d %d" % (self.steps, self._order))
        return whole.hexdigest()


class WorldLog(logging.Handler):
    """Puts log records into a world's trace; an engine's turn that failed is a violation."""

    def __init__(self, world: World, fatal: frozenset[str]) -> None:
        super().__init__(logging.INFO)
        self.world = world
        self._fatal = fatal

    def emit(self, record: logging.LogRecord) -> None:
        event = getattr(record, "event", record.getMessage())
        reason = getattr(record, "reason", "")
        self.world.log("LOG", record.levelname, event, reason)
        error = record.exc_info[1] if record.exc_info else None
        if event in self._fatal and not isinstance(error, Retryable):
            raise self.world.violated(f"{event} {getattr(record, 'actor', '')}: {error!r}")
