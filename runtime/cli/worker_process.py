"""A worker process as its supervisor sees it: its end, and its stderr. An owner module."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence

READY = b"perdure: ready on "
"""What the line begins with by which a node says that it serves."""
_READ_BYTES = 1 << 16
_LINE_BYTES_MAX = 1 << 16


class Lines:
    """Cuts a stream of bytes into lines. One without an end is cut, not kept in memory."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, received: bytes) -> list[bytes]:
        """The lines, without their ends, that are whole by now."""
        *lines, self._rest = (self._rest + received).split(b"\n")
        if len(self._rest) > _LINE_BYTES_MAX:
            lines.append(self.rest())
        return lines

    def rest(self) -> bytes:
        """What came after the last end of a line."""
        rest, self._rest = self._rest, b""
        return rest


class WorkerProcess:
    """A process from its start to its end, in a session of its own.

    A Ctrl-C in the terminal so reaches its supervisor only. `ended` becomes its exit code, or the
    number of a signal below zero, once `look` finds that it has ended. What it writes to stderr is
    passed on with `name` before each line, but for the line that says that it is ready: with that,
    `on_ready` is called.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        tether: int,
        on_ready: Callable[[str], None],
    ) -> None:
        """Start it. Raises `OSError`."""
        loop = asyncio.get_running_loop()
        self._prefix = f"[{name}] ".encode()
        self._on_ready = on_ready
        self._lines = Lines()
        self._started_at = loop.time()
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            pass_fds=(tether,),
            start_new_session=True,
        )
        self.pid = self._process.pid
        self.ended: asyncio.Future[int] = loop.create_future()
        assert self._process.stderr is not None
        self._stderr = self._process.stderr.fileno()
        os.set_blocking(self._stderr, False)
        loop.add_reader(self._stderr, self._read)

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal; nothing happens if it has ended."""
        self._process.send_signal(number)

    def look(self) -> None:
        """See whether it has ended."""
        code = self._process.poll()
        if code is None or self.ended.done():
            return
        # Not to the end of the pipe: a process that it started may hold that open for ever.
        while self._read():
            pass
        self._close()
        self.ended.set_result(code)

    @property
    def lived_seconds(self) -> float:
        return asyncio.get_running_loop().time() - self._started_at

    def _read(self) -> bool:
        """Pass on what has come; whether there was anything."""
        if self._process.stderr is None or self._process.stderr.closed:
            return False
        try:
            received = os.read(self._stderr, _READ_BYTES)
        except BlockingIOError:
            return False
        for line in self._lines.feed(received):
            self._pass_on(line)
        if not received:
            self._close()
        return bool(received)

    def _pass_on(self, line: bytes) -> None:
        if line.startswith(READY):
            self._on_ready(line.decode(errors="replace"))
            return
        with contextlib.suppress(OSError):
            sys.stderr.buffer.write(self._prefix + line + b"\n")
            sys.stderr.buffer.flush()

    def _close(self) -> None:
        stderr = self._process.stderr
        if stderr is None or stderr.closed:
            return
        asyncio.get_running_loop().remove_reader(self._stderr)
        if rest := self._lines.rest():
            self._pass_on(rest)
        stderr.close()
