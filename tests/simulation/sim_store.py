"""One database file on a disk with bad days, and each process's way to it. An edge module.

The engine's own transactions run on a real in-memory SQLite, each whole, at a seeded instant. The
faults happen where they happen in life: as errors of single statements of the connection, so that
the store's own handling of them is what is tested.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from perdure.actors.errors import StoreUnavailable
from perdure.runtime.storage.migrations import migrate
from tests.simulation.world import NodeLoop, World

T = TypeVar("T")


class Crash(BaseException):
    """The process dies at this statement."""


class CommitOracle(Protocol):
    """Looks into every write transaction."""

    def before_commit(self, connection: sqlite3.Connection, process: Process) -> None: ...

    def after_commit(self, connection: sqlite3.Connection, process: Process) -> None: ...


class Process(Protocol):
    """What the store has to know of the process that uses it."""

    name: str
    incarnation: str
    loop: NodeLoop

    @property
    def latest_us(self) -> int: ...

    def kill(self, why: str) -> None: ...


@dataclass(slots=True)
class Trouble:
    """What goes wrong at present. Probabilities are per write transaction."""

    busy: float = 0.0
    slow: float = 1.0
    is_full: bool = False
    unknown: float = 0.0
    crash: float = 0.0
    read_error: float = 0.0


class Disk:
    """The database, shared by all processes; dies with none of them."""

    def __init__(self, world: World, oracle: CommitOracle) -> None:
        self.world = world
        self.oracle = oracle
        self.trouble = Trouble()
        self.commits = 0
        self.doubts: list[float] = []
        """When some process could not tell whether its transaction stood, or was refused one."""
        self.connection = sqlite3.connect(":memory:", isolation_level=None, factory=SimConnection)
        migrate(self.connection)
        self.connection.disk = self

    def close(self) -> None:
        self.connection.disk = None
        self.connection.close()


class SimConnection(sqlite3.Connection):
    """A connection whose statements fail as those of a real one do."""

    disk: Disk | None = None
    process: Process | None = None
    _busy = 0
    _is_writing = False

    def execute(self, sql: str, *args: Any) -> sqlite3.Cursor:
        if self.disk is not None and self.process is not None:
            if sql == "COMMIT":
                return self._commit(self.disk, self.process)
            if sql == "BEGIN IMMEDIATE":
                self._begin(self.disk)
            elif sql == "ROLLBACK" and self._is_writing:
                self._roll_back()
                return super().execute("SELECT 1")
        return super().execute(sql, *args)

    def executemany(self, sql: str, *args: Any) -> sqlite3.Cursor:
        disk = self.disk
        if disk is not None and disk.trouble.is_full and disk.world.rng.random() < 0.3:
            # SQLite gives up the whole transaction by itself.
            self._roll_back()
            raise _error("database or disk is full", sqlite3.SQLITE_FULL)
        return super().executemany(sql, *args)

    def _begin(self, disk: Disk) -> None:
        if self._busy > 0:
            self._busy -= 1
            raise _error("database is locked", sqlite3.SQLITE_BUSY)
        trouble = disk.trouble
        if trouble.busy and disk.world.rng.random() < trouble.busy:
            self._busy = disk.world.rng.choice((0, 2, 7))
            raise _error("database is locked", sqlite3.SQLITE_BUSY)
        self._is_writing = True

    def _roll_back(self) -> None:
        self._is_writing = False
        if self.in_transaction:
            super().execute("ROLLBACK")

    def _commit(self, disk: Disk, process: Process) -> sqlite3.Cursor:
        world, trouble = disk.world, disk.trouble
        disk.oracle.before_commit(self, process)
        if trouble.is_full:
            self._roll_back()
            raise _error("database or disk is full", sqlite3.SQLITE_FULL)
        fate = world.rng.random()
        if fate < trouble.crash:
            if fate < trouble.crash / 2:
                self._roll_back()
            else:
                self._stand(disk, process)
            raise Crash
        if fate < trouble.crash + trouble.unknown:
            world.log("UNKNOWN", process.name)
            if world.rng.random() < 0.5:
                self._roll_back()
            else:
                self._stand(disk, process)
            raise _error("disk I/O error", sqlite3.SQLITE_IOERR_READ)
        if trouble.busy and fate > 1.0 - trouble.busy / 2:
            raise _error("database is locked", sqlite3.SQLITE_BUSY)
        return self._stand(disk, process)

    def _stand(self, disk: Disk, process: Process) -> sqlite3.Cursor:
        cursor = super().execute("COMMIT")
        self._is_writing = False
        disk.commits += 1
        disk.oracle.after_commit(self, process)
        return cursor


def _error(text: str, code: int) -> sqlite3.Error:
    error = sqlite3.OperationalError(text)
    error.sqlite_errorcode = code
    error.sqlite_errorname = f"SQLITE_{code}"
    return error


class _Lane:
    """Transactions that wait for one connection, in the order of the calls."""

    def __init__(self) -> None:
        self.waiting: deque[tuple[Callable[[Any], Any], asyncio.Future[Any]]] = deque()
        self.is_busy = False


class SimRunner:
    """Implements `Runner` for one process."""

    def __init__(self, disk: Disk, process: Process) -> None:
        self._disk = disk
        self._process = process
        self._world = disk.world
        self._writes = _Lane()
        self._reads = _Lane()

    async def write(self, transaction: Callable[[sqlite3.Connection], T]) -> T:
        result: T = await self._submit(self._writes, transaction)
        return result

    async def read(self, transaction: Callable[[sqlite3.Connection], T]) -> T:
        if self._disk.trouble.read_error:
            transaction = self._flawed(transaction)
        result: T = await self._submit(self._reads, transaction)
        return result

    def _submit(self, lane: _Lane, transaction: Callable[[Any], Any]) -> asyncio.Future[Any]:
        future = self._process.loop.create_future()
        lane.waiting.append((transaction, future))
        if not lane.is_busy:
            lane.is_busy = True
            self._world.after(self._delay(), self._run, lane)
        return future

    def _delay(self) -> float:
        return self._world.rng.uniform(0.0002, 0.003) * self._disk.trouble.slow

    def _run(self, lane: _Lane) -> None:
        process, world = self._process, self._world
        if not process.loop.alive:
            return
        if process.loop.frozen:
            world.after(0.2, self._run, lane)
            return
        transaction, future = lane.waiting.popleft()
        connection = self._disk.connection
        connection.process = process
        result, error = None, None
        try:
            result = transaction(connection)
        except Crash:
            process.kill("at its commit")
            return
        except Exception as raised:
            error = raised
            self._disk.doubts.append(world.now)
        finally:
            connection.process = None
        if world.violation is not None:
            raise world.violation
        world.after(self._delay(), self._reply, future, result, error)
        if lane.waiting:
            world.after(self._delay(), self._run, lane)
        else:
            lane.is_busy = False

    def _reply(self, future: asyncio.Future[Any], result: Any, error: Exception | None) -> None:
        if future.done() or not self._process.loop.alive:
            return
        if error is None:
            future.set_result(result)
        else:
            future.set_exception(error)

    def _flawed(self, transaction: Callable[[Any], T]) -> Callable[[Any], T]:
        def run(connection: sqlite3.Connection) -> T:
            if self._world.rng.random() < self._disk.trouble.read_error:
                raise StoreUnavailable("cannot access the database: input/output error")
            return transaction(connection)

        return run

    def __repr__(self) -> str:
        return f"<SimRunner {self._process.name}>"
