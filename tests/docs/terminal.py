"""A reader at a terminal: types what a page says into one shell, with real nodes behind it."""

from __future__ import annotations

import contextlib
import os
import queue
import re
import shlex
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path
from types import TracebackType
from typing import IO, Self

SECONDS_MAX = 60
_READY = re.compile(r"ready on (http://\S+):(\d+)(?:, grpc://\S+:(\d+))?")
_DONE = "::done::"
_SERVE = re.compile(r"^perdure serve .*&$", re.MULTILINE)
_NO_APP = re.compile(r"^perdure serve (?=[-&])")
_HTTP, _GRPC = "3500", "50001"
_PORTS = {"--port": re.compile(r"--port (\d+)"), "--grpc-port": re.compile(r"--grpc-port (\d+)")}


class Terminal:
    """One bash in `directory`. A command that fails ends it, which is an AssertionError.

    Each `perdure serve … &` takes any free port, because other tests run at the same time. It waits
    for the ready line, and from then on the real ports stand wherever a page has those that it
    names, or the default ones. A node that is started again, and other processes know, has the
    same ones again.
    """

    def __init__(self, directory: Path) -> None:
        assert shutil.which("curl"), "the pages use curl; install it"
        self._directory = directory
        self._ports: dict[str, str] = {}
        """The real ones, by those of the page."""
        own = ("PERDURE_", "DAPR_")
        environ = {name: value for name, value in os.environ.items() if not name.startswith(own)}
        environ |= {
            "PATH": f"{Path(sys.executable).parent}:{environ['PATH']}",
            "PERDURE_PORT": "0",
        }
        self._path = environ["PATH"]
        self._bash = subprocess.Popen(
            ["bash", "--norc", "-eu", "-o", "pipefail"],
            cwd=directory,
            env=environ,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        self._out: queue.Queue[str | None] = queue.Queue()
        self._err: queue.Queue[str | None] = queue.Queue()
        self._said: list[str] = []
        self._readers = [
            threading.Thread(target=_read, args=(stream, lines), daemon=True)
            for stream, lines in ((self._bash.stdout, self._out), (self._bash.stderr, self._err))
        ]
        for thread in self._readers:
            thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            if kind is None:
                # The page may have ended some; programs that are not perdure's die by the signal.
                kill, ended = 'kill "$job" || continue', 'wait "$job" || [ $? = 143 ]'
                self.type(f"for job in $(jobs -pr); do {kill}; {ended}; done")
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._bash.pid, signal.SIGKILL)
            self._bash.wait()
            for thread in self._readers:
                thread.join()
            for stream in (self._bash.stdin, self._bash.stdout, self._bash.stderr):
                assert stream is not None
                stream.close()

    def use(self, *, python: Path | None = None, modules: Path | None = None) -> None:
        """From now on `python` is that one, and Node.js finds those modules."""
        path = self._path if python is None else f"{python.parent}:{self._path}"
        self._run(f"export PATH={shlex.quote(path)} NODE_PATH={shlex.quote(str(modules or ''))}")

    def type(self, commands: str) -> str:
        """Run commands and return what they print to stdout."""
        printed = ""
        while serve := _SERVE.search(commands):
            printed += self._run(commands[: serve.start()])
            self._serve(serve[0])
            commands = commands[serve.end() :]
        return printed + self._run(commands)

    def with_ports(self, text: str) -> str:
        """What a page says, with the real ports."""
        if _HTTP in self._ports:
            text = re.sub(r"http://localhost(?=:\d)", "http://127.0.0.1", text)
        for named, real in self._ports.items():
            text = re.sub(rf"(?<=[:= '\"]){named}\b", real, text)
        return text

    def _run(self, commands: str) -> str:
        assert self._bash.stdin is not None
        self._bash.stdin.write(f"{self.with_ports(commands)}\necho; echo {_DONE}\n")
        self._bash.stdin.flush()
        printed: list[str] = []
        while (line := self._next(self._out, commands)) != f"{_DONE}\n":
            printed.append(line)
        return "".join(printed)

    def _serve(self, command: str) -> None:
        """Start a node, and wait until it is ready."""
        named = {"--port": _HTTP, "--grpc-port": _GRPC}
        for option, pattern in _PORTS.items():
            if found := pattern.search(command):
                named[option] = found[1]
                command = pattern.sub(f"{option} {self._ports.get(found[1], 0)}", command)
        if _NO_APP.match(command):
            # Workers that are connected look for it where it was.
            again = [self._ports.get(port, "0") for port in named.values()]
            command = f"PERDURE_PORT={again[0]} PERDURE_GRPC_PORT={again[1]} {command}"
        assert self._bash.stdin is not None
        self._bash.stdin.write(f"{command}\n")
        self._bash.stdin.flush()
        while (ready := _READY.search(line := self._next(self._err, command))) is None:
            self._said.append(line)
        self._ports[named["--port"]] = ready[2]
        if named["--port"] == _HTTP:
            self._run(f"export PERDURE_URL={ready[1]}:{ready[2]} DAPR_HTTP_PORT={ready[2]}")
        if ready[3]:
            self._ports[named["--grpc-port"]] = ready[3]
        if ready[3] and named["--grpc-port"] == _GRPC:
            self._run(f"export DAPR_GRPC_PORT={ready[3]}")

    def _next(self, lines: queue.Queue[str | None], commands: str) -> str:
        try:
            line = lines.get(timeout=SECONDS_MAX)
        except queue.Empty:
            line = None
        if line is None:
            while not self._err.empty():
                self._said.append(self._err.get() or "")
            raise AssertionError(f"{commands}\nfailed, or took too long:\n{''.join(self._said)}")
        return line


def _read(stream: IO[str], lines: queue.Queue[str | None]) -> None:
    for line in stream:
        lines.put(line)
    lines.put(None)
