"""A reader at a terminal: types what a page says into one shell, with real nodes behind it."""

from __future__ import annotations

import contextlib
import os
import queue
import re
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path
from types import TracebackType
from typing import IO, Self

SECONDS_MAX = 60
_READY = re.compile(r"ready on (http://\S+:\d+)")
_DONE = "::done::"
_URL = re.compile(r"http://(localhost|127\.0\.0\.1):3500")


class Terminal:
    """One bash in `directory`. A command that fails ends it, which is an AssertionError.

    After a `perdure serve … &` it waits for the ready line, and from then on the node's real URL
    stands wherever a page says `http://localhost:3500`.
    """

    def __init__(self, directory: Path) -> None:
        assert shutil.which("curl"), "the pages use curl; install it"
        self._directory = directory
        self._url = ""
        own = ("PERDURE_", "DAPR_")
        environ = {name: value for name, value in os.environ.items() if not name.startswith(own)}
        environ |= {
            "PATH": f"{Path(sys.executable).parent}:{environ['PATH']}",
            # Any free port: other tests run at the same time.
            "PERDURE_PORT": "0",
        }
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
                self.type('for job in $(jobs -p); do kill "$job"; wait "$job"; done')
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._bash.pid, signal.SIGKILL)
            self._bash.wait()
            for thread in self._readers:
                thread.join()
            for stream in (self._bash.stdin, self._bash.stdout, self._bash.stderr):
                assert stream is not None
                stream.close()

    def type(self, commands: str) -> str:
        """Run commands and return what they print to stdout."""
        assert self._bash.stdin is not None
        self._bash.stdin.write(f"{self.with_url(commands)}\necho; echo {_DONE}\n")
        self._bash.stdin.flush()
        printed: list[str] = []
        while (line := self._next(self._out, commands)) != f"{_DONE}\n":
            printed.append(line)
        if re.search(r"^perdure serve .*&$", commands, re.MULTILINE):
            self._wait_until_ready(commands)
        return "".join(printed)

    def with_url(self, text: str) -> str:
        return _URL.sub(self._url, text) if self._url else text

    def _wait_until_ready(self, commands: str) -> None:
        while (ready := _READY.search(line := self._next(self._err, commands))) is None:
            self._said.append(line)
        self._url = ready[1].rstrip(",")
        self.type(f"export PERDURE_URL={self._url}")

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
