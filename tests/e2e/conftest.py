"""The `perdure` command as real processes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

PATIENCE_SECONDS = 60
"""Only a limit for what hangs: nothing waits for it to pass."""


@dataclass
class Served:
    """A running `perdure serve`, from its ready line on."""

    process: subprocess.Popen[str]
    ready: str
    """The line of its stderr that says so."""
    said: str = ""
    """What stood on stderr before."""

    @property
    def url(self) -> str:
        return self.ready.partition("ready on ")[2].partition(",")[0]

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def line(self) -> str:
        """The next line of stderr."""
        assert self.process.stderr is not None
        return self.process.stderr.readline().rstrip()

    def printed(self) -> str:
        """The next line that the app itself prints."""
        assert self.process.stdout is not None
        return self.process.stdout.readline().rstrip()

    def ended(self) -> tuple[int, str]:
        """The exit code, and the rest of stderr."""
        _, rest = self.process.communicate(timeout=PATIENCE_SECONDS)
        return self.process.returncode, rest


class Perdure:
    """Runs command lines in a working directory."""

    def __init__(self, place: Path) -> None:
        self.place = place
        clean = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith("PERDURE_") and name != "DAPR_API_TOKEN"
        }
        self.environment = {**clean, "PYTHONDONTWRITEBYTECODE": "1"}
        self.served: list[Served] = []

    def start(self, *args: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "perdure.runtime", *args],
            cwd=self.place,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def __call__(self, *args: str) -> subprocess.CompletedProcess[str]:
        """Run one command to its end."""
        with self.start(*args) as process:
            try:
                out, err = process.communicate(timeout=PATIENCE_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                out, err = process.communicate()
                raise AssertionError(f"{args} does not end; it said:\n{out}\n{err}") from None
        return subprocess.CompletedProcess(args, process.returncode, out, err)

    def serve(self, *args: str) -> Served:
        """Start a node on any free port, and wait for its ready line."""
        served = self.try_to_serve(*args)
        assert served.ready, served.said
        return served

    def try_to_serve(self, *args: str) -> Served:
        """The same, for a node that may end before it is ready; then `ready` is empty."""
        process = self.start("serve", *args, "--port", "0")
        assert process.stderr is not None
        said = []
        while "ready on" not in (line := process.stderr.readline()) and line:
            said.append(line)
        self.served.append(Served(process, line.rstrip(), "".join(said)))
        return self.served[-1]

    def on(self, served: Served) -> Callable[..., subprocess.CompletedProcess[str]]:
        """`perdure workflow …` on that node."""
        return lambda *args: self("workflow", *args, "--url", served.url)


@pytest.fixture
def perdure(tmp_path: Path) -> Iterator[Perdure]:
    command = Perdure(tmp_path)
    yield command
    for served in command.served:
        served.process.kill()
        served.process.communicate()
