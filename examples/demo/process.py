"""A cluster for the demo: three nodes as processes of their own, on one database file."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from random import SystemRandom
from types import TracebackType
from typing import Self

_ROOT = Path(__file__).resolve().parents[2]
_READY = re.compile(r"ready on (http://\S+)(?=,)")
NAMES = ("n1", "n2", "n3")
READY_SECONDS = 30
STOP_SECONDS = 30


@dataclass
class Life:
    """A node from its start to its end. What it ran stands in a journal of its own."""

    name: str
    journal: Path
    killed: bool = False


class NodeProcess:
    """`perdure serve` under a name and a port that stay the same when it is started again."""

    def __init__(self, name: str, directory: Path) -> None:
        self.name = name
        self.port = _free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.lives: list[Life] = []
        self.drained = False
        self._directory = directory
        self._log = directory / f"{name}.log"
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def is_up(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def start(self) -> float:
        """Start it; returns after how many seconds it is ready."""
        began = time.monotonic()
        said = len(self._said())
        life = Life(self.name, self._directory / f"journal-{self.name}-{len(self.lives) + 1}")
        # Settings of the person who runs the demo must not change it.
        own = ("PERDURE_", "DAPR_")
        environ = {name: value for name, value in os.environ.items() if not name.startswith(own)}
        environ |= {"SHOP_DIR": str(self._directory), "SHOP_JOURNAL": str(life.journal)}
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [
                    *(sys.executable, "-m", "perdure.runtime", "serve"),
                    "examples/order_processing.py",
                    *("--store", str(self._directory / "orders.db"), "--node-id", self.name),
                    *("--port", str(self.port), "--log-level", "warning"),
                ],
                cwd=_ROOT,
                env=environ,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                # Ctrl-C is for the demo, which then ends the node.
                start_new_session=True,
            )
        self.lives.append(life)
        while not _READY.search(self._said()[said:]):
            late = time.monotonic() > began + READY_SECONDS
            if late or self._process.poll() is not None:
                raise SystemExit(f"{self.name} did not get ready:\n{self.log_tail()}")
            time.sleep(0.01)
        return time.monotonic() - began

    def kill(self) -> None:
        """SIGKILL: no handler, no `finally`, no flush."""
        if self._process is not None and self.is_up:
            self.lives[-1].killed = True
            self._process.kill()
            self._process.wait()

    def ask_to_stop(self) -> None:
        """SIGTERM, as a service manager does it."""
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)

    def stopped(self) -> list[str]:
        """Wait for the end of a node that was asked to stop; returns what was wrong with it."""
        assert self._process is not None
        try:
            code = self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            return [f"{self.name} did not stop within {STOP_SECONDS} s of SIGTERM"]
        return [f"{self.name} stopped with exit code {code}:\n{self.log_tail()}"] if code else []

    def log_tail(self) -> str:
        return "\n".join(self._said().splitlines()[-30:])

    def _said(self) -> str:
        return self._log.read_text(errors="replace") if self._log.exists() else ""


class Cluster:
    """The nodes; none of them ever outlives the `with` block."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.nodes = [NodeProcess(name, directory) for name in NAMES]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for node in self.nodes:
            node.kill()

    def __getitem__(self, name: str) -> NodeProcess:
        return self.nodes[NAMES.index(name)]

    def start(self) -> float:
        """Start all at once; returns after how many seconds they are ready."""
        began = time.monotonic()
        with ThreadPoolExecutor(len(self.nodes)) as pool:
            list(pool.map(NodeProcess.start, self.nodes))
        return time.monotonic() - began

    def stop(self) -> list[str]:
        """End those that still run, at the same time; returns what was wrong with that."""
        running = list(self.up())
        for node in running:
            node.ask_to_stop()
        return [problem for node in running for problem in node.stopped()]

    def up(self) -> Iterator[NodeProcess]:
        return (node for node in self.nodes if node.is_up)

    def lives(self) -> list[Life]:
        return [life for node in self.nodes for life in node.lives]

    def log_tails(self) -> str:
        return "\n".join(f"{node.name}:\n{node.log_tail()}" for node in self.nodes)


def _free_port() -> int:
    """A free port that the kernel gives to no outgoing connection while the node is down."""
    while True:
        port = SystemRandom().randrange(12_000, 30_000)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
