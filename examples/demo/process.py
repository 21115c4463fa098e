"""A node as a process of its own, for the demo."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Self

_ROOT = Path(__file__).resolve().parents[2]
_READY = re.compile(r"ready on (http://[^,\s]+:(\d+))")
READY_SECONDS = 30


class NodeProcess:
    """`perdure serve` on a fresh store in `directory`; never outlives the `with` block."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.store = directory / "orders.db"
        self.journal = directory / "journal"
        self.url = ""
        self._log = directory / "node.log"
        self._port = "0"
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.kill()

    def start(self) -> float:
        """Start it, on the port that it had before; returns after how many seconds it is ready."""
        began = time.monotonic()
        said = self._log.stat().st_size if self._log.exists() else 0
        # Settings of the person who runs the demo must not change it.
        own = ("PERDURE_", "DAPR_")
        environ = {name: value for name, value in os.environ.items() if not name.startswith(own)}
        environ |= {"SHOP_DIR": str(self.directory), "SHOP_JOURNAL": str(self.journal)}
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [
                    *(sys.executable, "-m", "perdure.runtime", "serve"),
                    "examples/order_processing.py",
                    *("--store", str(self.store), "--port", self._port, "--log-level", "warning"),
                ],
                cwd=_ROOT,
                env=environ,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                # Ctrl-C is for the demo, which then ends the node.
                start_new_session=True,
            )
        while (ready := _READY.search(self._said_after(said))) is None:
            late = time.monotonic() > began + READY_SECONDS
            if late or self._process.poll() is not None:
                raise SystemExit(f"the node did not get ready:\n{self.log_tail()}")
            time.sleep(0.01)
        self.url, self._port = ready[1], ready[2]
        return time.monotonic() - began

    def kill(self) -> None:
        """SIGKILL: no handler, no `finally`, no flush."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def stop(self) -> list[str]:
        """SIGTERM, as a service manager does it; returns what was wrong with the answer."""
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)
        try:
            code = self._process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            return ["the node did not stop within 30 s of SIGTERM"]
        return [f"the node stopped with exit code {code}:\n{self.log_tail()}"] if code else []

    def log_tail(self) -> str:
        return "\n".join(self._said_after(0).splitlines()[-30:])

    def _said_after(self, offset: int) -> str:
        return (
            self._log.read_bytes()[offset:].decode(errors="replace") if self._log.exists() else ""
        )
