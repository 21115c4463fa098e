"""The nodes of a cluster as processes, and what was done to each of them."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
import socket
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from random import SystemRandom
from types import TracebackType
from typing import Self

APP = Path(__file__).with_name("app.py")
ROOT = APP.parents[2]
LEASE_SECONDS = 2.0
DRAIN_SECONDS = 3.0
START_SECONDS = 60.0
STOP_SECONDS = 4 * DRAIN_SECONDS + 20
"""Only limits for what hangs."""

KILLED, FROZEN, DRAINED = "killed", "frozen", "drained"
SLEPT = "slept"
"""Frozen together with all others: no reason for anybody to take it for dead."""

_STAMP = re.compile(r"(\d\d):(\d\d):(\d\d)\.(\d\d\d) (?=[A-Z])")
_DAY_SECONDS = 86_400


@dataclass
class Fault:
    """What was done to a process, by the machine's monotonic clock."""

    kind: str
    began: float
    ended: float = float("inf")


@dataclass
class Process:
    """One life of a node."""

    node_id: str
    log: Path
    handle: asyncio.subprocess.Process
    faults: list[Fault] = field(default_factory=list)

    @property
    def pid(self) -> int:
        return self.handle.pid

    @property
    def lives(self) -> bool:
        return self.handle.returncode is None

    def had(self, *kinds: str) -> bool:
        return any(fault.kind in kinds for fault in self.faults)

    def send(self, number: signal.Signals) -> None:
        """Not by the handle, which would look for its end as well, and take it from asyncio."""
        if self.lives:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def said(self) -> str:
        return self.log.read_text(errors="replace")

    def tail(self) -> str:
        return "\n".join(self.said().splitlines()[-15:])


class NodeFailed(Exception):
    """A node has not done what it was told to: start, or stop."""


@dataclass
class Cluster:
    """Three nodes on one database; none of them outlives the `async with` block."""

    place: Path
    settings: Mapping[str, str]
    names: tuple[str, ...] = ("n1", "n2", "n3")
    ports: dict[str, int] = field(default_factory=dict)
    worker_ports: dict[str, int] = field(default_factory=dict)
    """Where workers connect to each node; a worker is known by its port."""
    workers: dict[str, Process] = field(default_factory=dict)
    """The present worker of each node."""
    processes: list[Process] = field(default_factory=list)
    current: dict[str, Process] = field(default_factory=dict)

    def __post_init__(self) -> None:
        while len(set(self.ports.values())) < len(self.names):
            self.ports = {name: free_port() for name in self.names}
        while len({*self.ports.values(), *self.worker_ports.values()}) < 2 * len(self.names):
            self.worker_ports = {name: free_port() for name in self.names}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for process in self.processes:
            process.send(signal.SIGKILL)
        for process in self.processes:
            await process.handle.wait()

    @property
    def store(self) -> Path:
        return self.place / "chaos.db"

    def url(self, name: str) -> str:
        return f"http://127.0.0.1:{self.ports[name]}"

    @property
    def urls(self) -> list[str]:
        return [self.url(name) for name in self.names]

    async def start(self, name: str) -> None:
        """Start a node and wait until it says that it is ready. Raises `NodeFailed`."""
        await self.spawn(name)
        await self.ready(name)

    async def spawn(self, name: str) -> None:
        lives = sum(process.node_id == name for process in self.processes)
        log = self.place / f"{name}.{lives + 1}.log"
        with log.open("wb") as output:
            handle = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "perdure.runtime", "serve", str(APP)),
                *("--port", str(self.ports[name]), "--store", str(self.store)),
                *("--node-id", name, "--grpc-port", str(self.worker_ports[name])),
                cwd=ROOT,
                env=self._environment(),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                # Ctrl-C is for whoever runs the rounds, and ends the nodes then.
                start_new_session=True,
            )
        process = self.current[name] = Process(name, log, handle)
        self.processes.append(process)

    async def employ(self, name: str) -> None:
        """Start a worker that stays with this node."""
        lives = sum(process.node_id == f"w-{name}" for process in self.processes)
        log = self.place / f"w-{name}.{lives + 1}.log"
        with log.open("wb") as output:
            handle = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "tests.chaos.worker", str(self.worker_ports[name])),
                cwd=ROOT,
                env=self._environment(),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        process = self.workers[name] = Process(f"w-{name}", log, handle)
        self.processes.append(process)

    async def kill_worker(self, name: str) -> None:
        process = self.workers[name]
        process.faults.append(Fault(KILLED, time.monotonic()))
        process.send(signal.SIGKILL)
        await process.handle.wait()

    def blame_nodes(self) -> None:
        """What a worker runs is lost with its node as well."""
        for worker in [process for process in self.processes if process.node_id[:2] == "w-"]:
            node_id = worker.node_id[2:]
            for process in self.processes:
                if process.node_id == node_id:
                    worker.faults += process.faults

    async def ready(self, name: str) -> None:
        process = self.current[name]
        log = process.log
        give_up_at = time.monotonic() + START_SECONDS
        while "ready on" not in process.said():
            if not process.lives:
                raise NodeFailed(f"{log.name} ended at its start:\n{process.tail()}")
            if time.monotonic() > give_up_at:
                raise NodeFailed(f"{log.name} does not get ready:\n{process.tail()}")
            await asyncio.sleep(0.02)  # A process cannot be awaited in a better way.

    def _environment(self) -> dict[str, str]:
        own = ("PERDURE_", "DAPR_")
        clean = {name: value for name, value in os.environ.items() if not name.startswith(own)}
        return {
            **clean,
            "CHAOS_PLACE": str(self.place),
            "CHAOS_PARENT": str(os.getpid()),
            "PERDURE_LEASE_SECONDS": str(LEASE_SECONDS),
            "PERDURE_DRAIN_SECONDS": str(DRAIN_SECONDS),
            **self.settings,
        }

    # ---- what is done to them

    def strike(self, name: str) -> None:
        """SIGKILL: no handler, no `finally`, no flush."""
        process = self.current[name]
        if process.lives and not process.had(KILLED):
            process.faults.append(Fault(KILLED, time.monotonic()))
            process.send(signal.SIGKILL)

    async def kill(self, name: str) -> None:
        self.strike(name)
        await self.current[name].handle.wait()

    async def freeze(self, name: str, seconds: float, kind: str = FROZEN) -> None:
        """SIGSTOP for so long. Another node may kill it meanwhile, if settings allow it."""
        process = self.current[name]
        if not process.lives:
            return
        fault = Fault(kind, time.monotonic())
        process.faults.append(fault)
        process.send(signal.SIGSTOP)
        try:
            await asyncio.wait_for(process.handle.wait(), seconds)
        except TimeoutError:
            process.send(signal.SIGCONT)
        fault.ended = time.monotonic()

    async def drain(self, name: str) -> None:
        """SIGTERM, and wait for its end. Raises `NodeFailed`."""
        process = self.current[name]
        if process.lives:
            self.told_to_drain(name)
            process.send(signal.SIGTERM)
        await self.ended(name)

    def told_to_drain(self, name: str) -> None:
        self.current[name].faults.append(Fault(DRAINED, time.monotonic()))

    async def ended(self, name: str) -> None:
        """Wait until a node that was told to stop has done so. Raises `NodeFailed`."""
        process = self.current[name]
        try:
            code = await asyncio.wait_for(process.handle.wait(), STOP_SECONDS)
        except TimeoutError:
            raise NodeFailed(f"{process.log.name} does not stop:\n{process.tail()}") from None
        if code == -signal.SIGKILL and process.had(KILLED, FROZEN):
            return  # By us, or by another node that waited for its lock for too long.
        if code:
            raise NodeFailed(f"{process.log.name} stopped with code {code}:\n{process.tail()}")


def free_port() -> int:
    """A free port that the kernel gives to no outgoing connection while the node is down."""
    while True:
        port = SystemRandom().randrange(12_000, 30_000)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port


def said_at(line: str) -> float | None:
    """When a line was logged, by the monotonic clock; None if it bears no time of day."""
    stamp = _STAMP.match(line)
    if stamp is None:
        return None
    hours, minutes, seconds, thousandths = map(int, stamp.groups())
    of_day = 3600 * hours + 60 * minutes + seconds + thousandths / 1000
    now = time.clock_gettime(time.CLOCK_REALTIME)
    local = time.localtime(now)
    today = 3600 * local.tm_hour + 60 * local.tm_min + local.tm_sec + now % 1
    return time.monotonic() - (today - of_day) % _DAY_SECONDS
