"""Servers, workers and drivers as processes, which say on failure what all of them said."""

from __future__ import annotations

import json
import os
import queue
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import pytest

from tests.support.source import ROOT

START_SECONDS = 30
LINE_SECONDS = 45
END_SECONDS = 30
"""Only limits for what hangs: nothing waits for them to pass."""

EXPECTED_LINES = re.compile(
    r"^\d\d:\d\d:\d\d\.\d{3} (DEBUG|INFO)\b|^perdure: stopp(ing: running activities get|ed$)"
)
"""A line of a server's stderr that nobody has to worry about."""


class Program:
    """A child process. Threads read what it says, so that it never waits for us."""

    def __init__(self, name: str, command: Sequence[str], env: dict[str, str], cwd: Path) -> None:
        self.name = name
        self._err: list[str] = []
        self._out: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self.process = subprocess.Popen(
            command,
            cwd=cwd,
            env=env,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._readers = [
            threading.Thread(target=self._read_out, args=[self.process.stdout], daemon=True),
            threading.Thread(target=self._read_err, args=[self.process.stderr], daemon=True),
        ]
        for reader in self._readers:
            reader.start()

    def _read_out(self, stream: IO[str]) -> None:
        for line in stream:
            self._out.put(line.rstrip("\n"))
        self._out.put(None)

    def _read_err(self, stream: IO[str]) -> None:
        self._err.extend(line for line in stream)

    @property
    def pid(self) -> int:
        return self.process.pid

    def said(self) -> list[str]:
        """The lines of its stderr so far."""
        return [line.rstrip("\n") for line in self._err]

    def line(self, seconds: float = LINE_SECONDS) -> str | None:
        """The next line that it prints; None if it has ended, or says nothing for so long."""
        try:
            return self._out.get(timeout=seconds)
        except queue.Empty:
            return None

    def tell(self, line: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()

    def kill(self) -> None:
        """kill -9, as a fault."""
        self.process.kill()
        self.ended()

    def close(self) -> int:
        """Let it end by itself: its standard input ends."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        return self.ended()

    def terminate(self) -> None:
        """SIGTERM, and no waiting."""
        self.process.send_signal(signal.SIGTERM)

    def stop(self) -> int:
        """SIGTERM; the exit code."""
        self.terminate()
        return self.ended()

    def ended(self) -> int:
        try:
            code = self.process.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            code = -99
        for reader in self._readers:
            reader.join(5)
        return code

    def give_up(self) -> None:
        """At the end of a test, whatever it does."""
        if self.process.poll() is None:
            self.process.kill()
        self.ended()
        for stream in (self.process.stdin, self.process.stdout, self.process.stderr):
            if stream is not None and not stream.closed:
                stream.close()

    def __repr__(self) -> str:
        return f"<{self.name} pid={self.pid} code={self.process.poll()}>"


@dataclass(frozen=True)
class Ports:
    http: int
    grpc: int


def free_ports() -> Ports:
    """Two ports that nobody has at present; a server that is started again takes them again."""
    with socket.socket() as one, socket.socket() as other:
        one.bind(("127.0.0.1", 0))
        other.bind(("127.0.0.1", 0))
        return Ports(one.getsockname()[1], other.getsockname()[1])


class Place:
    """The processes of one test, in a folder of its own, and what they said if it fails."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.programs: list[Program] = []
        strange = ("PERDURE_", "DAPR_", "DURABLETASK_")
        clean = {name: text for name, text in os.environ.items() if not name.startswith(strange)}
        self.environment = {**clean, "PYTHONDONTWRITEBYTECODE": "1", "PYTHONPATH": str(ROOT)}

    def run(self, name: str, command: Sequence[str], env: dict[str, str]) -> Program:
        program = Program(name, command, {**self.environment, **env}, self.folder)
        self.programs.append(program)
        return program

    def serve(self, ports: Ports, *options: str, store: str = "store.db") -> Program:
        """`perdure serve` without an APP, from its ready line on."""
        command = [sys.executable, "-m", "perdure.runtime", "serve", "--store", store]
        command += ["--port", str(ports.http), "--grpc-port", str(ports.grpc)]
        # What survives a kill -9 does so either way; the fsyncs would only cost time.
        command += ["--durability", "normal", *options]
        server = self.run("server", command, {})
        self.until_said(server, "ready on")
        return server

    def until_said(self, program: Program, words: str, times: int = 1) -> None:
        """Wait for these words on its stderr, on so many lines."""
        pause = threading.Event()
        for _ in range(int(START_SECONDS / 0.02)):
            if sum(words in line for line in program.said()) >= times:
                return
            if program.process.poll() is not None:
                break
            pause.wait(0.02)
        self.fail(f"{program} has not said {words!r}")

    def ready(self, program: Program) -> Program:
        """Wait for a worker's READY line."""
        if program.line(START_SECONDS) != "READY":
            self.fail(f"{program} is not ready")
        return program

    def results(self, driver: Program, count: int | None = None) -> dict[str, dict[str, Any]]:
        """What a driver prints, by scenario, until it ends or has printed `count` lines."""
        found: dict[str, dict[str, Any]] = {}
        while (count is None or len(found) < count) and (line := driver.line()) is not None:
            answer = json.loads(line)
            found[answer["scenario"]] = answer
        return found

    def ask(self, driver: Program, name: str, *arguments: Any) -> Any:
        """What a driver that was started with `-` gets for one scenario."""
        driver.tell(f"{name} {json.dumps(arguments)}")
        answer = self.results(driver, 1).get(name)
        if answer is None or not answer["ok"]:
            self.fail(f"{name}: {answer}")
        assert answer is not None
        return answer["got"]

    def ended_well(self, server: Program, *, asked: bool = False, besides: str = "") -> None:
        """A server ends by SIGTERM, exits with 0, and has had nothing to complain about.

        `asked`: it has had its SIGTERM. `besides`: words of complaints that are to be expected.
        """
        code = server.ended() if asked else server.stop()
        complaints = [
            line for line in unexpected(server.said()) if not besides or besides not in line
        ]
        if code != 0 or complaints:
            self.fail(f"{server} ended with {code}\n" + "\n".join(complaints[:40]))

    def close(self) -> None:
        for program in reversed(self.programs):
            program.give_up()

    def fail(self, what: str) -> None:
        """Fail the test, with the end of what every process said."""
        pytest.fail("\n".join([what, *self.told()]), pytrace=False)

    def told(self) -> list[str]:
        lines = []
        for program in self.programs:
            lines += [f"---- {program!r}", *program.said()[-30:]]
        return lines


def unexpected(lines: Iterable[str]) -> list[str]:
    """The lines of a server's stderr, from its ready line on, that are no ordinary log."""
    lines = list(lines)
    ready = next((at for at, line in enumerate(lines) if "ready on" in line), -1)
    return [line for line in lines[ready + 1 :] if not EXPECTED_LINES.match(line)]
