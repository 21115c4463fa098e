"""Keeps worker processes running: starts, restarts, replaces and ends them. An owner module."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import Enum

from perdure.runtime.cli.exits import ExitCode
from perdure.runtime.cli.restarts import Backoff, Fate, fate_of, how_it_ended
from perdure.runtime.cli.say import say
from perdure.runtime.cli.worker_process import WorkerProcess

Command = Callable[[int, int], Sequence[str]]
"""The command line of a worker, from its number and the descriptor of its tether."""


_ORDERLY = (ExitCode.OK, -signal.SIGTERM, -signal.SIGKILL)
"""How a worker may end that was asked to."""


class Phase(Enum):
    STARTING = "its process runs and is not ready"
    READY = "it serves"
    WAITING = "it has ended and will be started again after a while"
    OVER = "it is not started again"


@dataclass(slots=True, eq=False)
class _Slot:
    """The place of one worker, which one process after the other takes."""

    number: int
    phase: Phase = Phase.WAITING
    process: WorkerProcess | None = None
    leaves: bool = False
    """Its process was asked to make room for another one."""
    is_replacement: bool = False
    """Its process is such another one, and has not been ready yet."""
    starts: int = 0
    backoff: Backoff = field(default_factory=Backoff)

    @property
    def name(self) -> str:
        return f"w{self.number}"


class Supervisor:
    """Owns the worker processes, from `run` to its return.

    SIGINT and SIGTERM end them, SIGHUP replaces one after the other. `ready` is called once, with
    the line by which the first worker said that it was ready.
    """

    def __init__(self, command: Command, workers: int, on_ready: Callable[[str], None]) -> None:
        self._command = command
        self._slots = [_Slot(number) for number in range(1, workers + 1)]
        self._on_ready = on_ready
        self._changed: asyncio.Future[None] | None = None
        self._line = ""
        self._stopping = False
        self._exit_code: int = ExitCode.OK
        self._roll_wanted = False
        self._ignores_hangup = signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
        self._had_terminal = _has_terminal()

    async def run(self) -> int:
        """Keep the workers until they have ended, and return the exit code."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self._signalled, number)
        loop.add_signal_handler(signal.SIGHUP, self._hung_up)
        loop.add_signal_handler(signal.SIGCHLD, self._look)
        # Only this process has the end for writing: when it ends, the workers read the end.
        tether, held = os.pipe()
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._start(group, tether))
                group.create_task(self._roll_when_asked())
        finally:
            self._tell_all(signal.SIGTERM)  # There are none, unless by a bug of ours.
            os.close(held)
            os.close(tether)
        return self._exit_code

    async def _start(self, group: asyncio.TaskGroup, tether: int) -> None:
        """The first worker alone, so that what is wrong is said once; then the others."""
        for slot in self._slots:
            group.create_task(self._keep(slot, tether))
            if slot.number == 1:
                await self._until(lambda: self._stopping or _has_started(self._slots[0]))
            if self._stopping:
                for never_started in self._slots[slot.number :]:
                    never_started.phase = Phase.OVER
                self._pulse()
                return
        await self._until(lambda: self._stopping or self._started())
        if self._line and not self._stopping:
            self._on_ready(self._line)

    # ---- the life of one worker

    async def _keep(self, slot: _Slot, tether: int) -> None:
        try:
            while not self._stopping:
                code, lived = await self._run_once(slot, tether)
                if self._stopping:
                    if code not in _ORDERLY:
                        say(f"{slot.name} {how_it_ended(code)}")
                    break
                if slot.leaves:
                    slot.leaves, slot.is_replacement = False, True
                    continue
                fate = self._fate(slot, code)
                if fate is not Fate.RESTART:
                    break
                await self._pause(slot, code, slot.backoff.after(lived))
        finally:
            slot.phase = Phase.OVER
            slot.process = None
            self._pulse()

    async def _run_once(self, slot: _Slot, tether: int) -> tuple[int, float]:
        """Run a process to its end: its exit code, and how long it has lived."""
        slot.phase = Phase.STARTING
        slot.process = None
        slot.starts += 1
        self._pulse()
        try:
            process = slot.process = WorkerProcess(
                slot.name,
                self._command(slot.number, tether),
                tether,
                lambda line: self._has_become_ready(slot, line),
            )
        except OSError as error:
            say(f"{slot.name} cannot be started: {error.strerror}")
            return ExitCode.UNREACHABLE, 0.0
        process.look()  # Its end may have been signalled before anybody knew the process.
        return await process.ended, process.lived_seconds

    def _has_become_ready(self, slot: _Slot, line: str) -> None:
        process = slot.process
        assert process is not None
        if slot.starts > 1:
            say(f"{slot.name} is ready, process {process.pid}")
        slot.phase = Phase.READY
        slot.is_replacement = False
        self._line = self._line or line
        self._pulse()

    def _fate(self, slot: _Slot, code: int) -> Fate:
        process = slot.process
        fate = fate_of(code, anyone_was_ready=bool(self._line), is_replacement=slot.is_replacement)
        if fate is Fate.DRAINED:
            pid = f" (process {process.pid})" if process else ""
            say(f"{slot.name}{pid} was drained, and is not started again")
        if fate is Fate.HOPELESS:
            say(f"{slot.name} {how_it_ended(code)}; starting it again would not help")
            self._exit_code = code
            self._stop()
        return fate

    async def _pause(self, slot: _Slot, code: int, seconds: float) -> None:
        pid = f" (process {slot.process.pid})" if slot.process else ""
        say(f"{slot.name}{pid} {how_it_ended(code)}; starting it again in {seconds:g} s")
        slot.phase = Phase.WAITING
        self._pulse()
        try:
            async with asyncio.timeout(seconds):
                await self._until(lambda: self._stopping)
        except TimeoutError:
            return

    # ---- replacing all workers

    async def _roll_when_asked(self) -> None:
        while True:
            await self._until(lambda: self._all_over() or (self._roll_wanted and self._started()))
            if self._all_over():
                return
            self._roll_wanted = False
            if await self._roll() and not self._stopping:
                say("all workers have been replaced")

    async def _roll(self) -> bool:
        """Replace one worker after the other; whether that went well."""
        say("replacing the workers, one after the other")
        for slot in self._slots:
            # Others have been drained, or will have what is new when they start.
            if slot.phase is Phase.READY and not await self._replace(slot):
                return False
        return True

    async def _replace(self, slot: _Slot) -> bool:
        """Drain a worker and wait for the next one to be ready; whether it is."""
        old = slot.process
        assert old is not None
        slot.leaves = True
        old.signal(signal.SIGTERM)
        await self._until(lambda: self._stopping or _is_replaced(slot, old))
        if slot.is_replacement and not self._stopping:
            say(
                f"{slot.name} does not start any more: the other workers are left as they are; "
                "once it is ready, SIGHUP again replaces them"
            )
        return not self._stopping and not slot.is_replacement

    # ---- the end

    def _signalled(self, number: signal.Signals) -> None:
        if self._stopping:
            say("ending the workers at once; nothing that was acknowledged is lost")
            self._exit_code = 128 + number
            self._tell_all(signal.SIGKILL)
            return
        say("stopping all workers; once more ends them at once")
        self._stop()

    def _hung_up(self) -> None:
        if self._had_terminal and not self._ignores_hangup and not _has_terminal():
            # Nobody asked for new workers: the terminal was closed.
            self._stop()
            return
        self._roll_wanted = True
        self._pulse()

    def _stop(self) -> None:
        self._stopping = True
        self._tell_all(signal.SIGTERM)
        self._pulse()

    def _tell_all(self, number: signal.Signals) -> None:
        for slot in self._slots:
            if slot.process is not None:
                slot.process.signal(number)

    def _look(self) -> None:
        for slot in self._slots:
            if slot.process is not None:
                slot.process.look()

    # ---- waiting for each other

    def _started(self) -> bool:
        return all(map(_has_started, self._slots))

    def _all_over(self) -> bool:
        return all(slot.phase is Phase.OVER for slot in self._slots)

    def _pulse(self) -> None:
        """Let everybody look who waits for something."""
        changed, self._changed = self._changed, None
        if changed is not None and not changed.done():
            changed.set_result(None)

    async def _until(self, holds: Callable[[], bool]) -> None:
        while not holds():
            if self._changed is None:
                self._changed = asyncio.get_running_loop().create_future()
            await asyncio.shield(self._changed)


def _has_started(slot: _Slot) -> bool:
    return slot.phase in (Phase.READY, Phase.OVER)


def _is_replaced(slot: _Slot, old: WorkerProcess) -> bool:
    """Whether another process has the place of `old`, or will not have it for some time."""
    if slot.phase is Phase.READY:
        return slot.process is not old
    return slot.phase in (Phase.WAITING, Phase.OVER)


def _has_terminal() -> bool:
    """Whether this process has a terminal that can still be spoken to."""
    try:
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_CLOEXEC))
    except OSError:
        return False
    return True
