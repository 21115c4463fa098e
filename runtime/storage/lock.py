"""The write lock between the processes of a database: a `flock` on `<file>.lock`. An edge.

SQLite's own busy handler polls and is unfair: a waiting process can starve for seconds. The kernel
queues waiters of a file lock, and frees the lock of a process that dies. Every write transaction
and every checkpoint runs under it, so that the two never race (which corrupts SQLite before
3.51.3).

Owned by one connection's thread; only that thread calls `acquire` and `release`.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import threading
from pathlib import Path

from perdure.actors.errors import StoreUnavailable
from perdure.runtime.storage.errors import LockHolder, WriterStuck

_RECORD_BYTES = 256


class WriteLock:
    def __init__(self, path: Path, node_id: str, wait_seconds: float) -> None:
        self._path = path
        self._wait_seconds = wait_seconds
        self._waiter: _Waiter | None = None
        own = LockHolder(os.getpid(), process_started(os.getpid()), node_id)
        self._record = _encode(own)
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        self._file = os.open(path, flags, 0o600)

    def acquire(self) -> None:
        """Take the lock. Raises `WriterStuck`, without it, if that takes too long."""
        if self._waiter is not None or not self._take_at_once():
            self._wait()
        # Of a fixed length, so that a reader never sees parts of two records. Only information: a
        # full disk must not fail the write here, where the lock would stay taken.
        with contextlib.suppress(OSError):
            os.pwrite(self._file, self._record, 0)

    def release(self) -> None:
        fcntl.flock(self._file, fcntl.LOCK_UN)

    def close(self) -> None:
        os.close(self._file)

    def _take_at_once(self) -> bool:
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError as error:
            raise StoreUnavailable(
                f"the write lock {self._path} cannot be taken: {error.strerror}; check the file "
                "system of the database"
            ) from error
        return True

    def _wait(self) -> None:
        if self._waiter is None or not self._waiter.resume():
            self._waiter = _Waiter(self._file)
        if not self._waiter.wait(self._wait_seconds):
            holder = read_holder(self._path)
            raise WriterStuck(
                f"{holder or 'another process'} has held the write lock {self._path} for over "
                f"{self._wait_seconds:g} s; if it hangs, end it: the lock is then free at once",
                holder,
            )
        self._waiter = None


class _Waiter:
    """Waits for a contended lock on a thread of its own.

    A blocking `flock` queues fairly but knows no timeout. Here the one who waits may give up, and
    the lock is released at once should it come afterwards.
    """

    def __init__(self, file: int) -> None:
        # The same lock, but a descriptor of its own: the owner may close the other one meanwhile.
        self._file = os.dup(file)
        self._changed = threading.Condition()
        self._wanted = True
        self._held = False
        self._ended = False
        threading.Thread(target=self._run, name="perdure-write-lock", daemon=True).start()

    def resume(self) -> bool:
        """Wait again after giving up. False if this waiter has come to its end meanwhile."""
        with self._changed:
            self._wanted = True
            return not self._ended

    def wait(self, seconds: float) -> bool:
        """Whether the lock is held now. If not, this waiter has given up."""
        with self._changed:
            self._changed.wait_for(lambda: self._held or self._ended, seconds)
            self._wanted = self._held
            return self._held

    def _run(self) -> None:
        taken = False
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX)
            taken = True
        finally:
            with self._changed:
                self._held = taken and self._wanted
                self._ended = True
                if taken and not self._held:
                    fcntl.flock(self._file, fcntl.LOCK_UN)
                self._changed.notify_all()
            os.close(self._file)


def read_holder(path: Path) -> LockHolder | None:
    """Who took the lock last, None if nobody has or the record cannot be read."""
    try:
        fields = json.loads(path.read_bytes())
        return LockHolder(int(fields["pid"]), int(fields["started"]), str(fields["node_id"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def process_started(pid: int) -> int:
    """The kernel's start time of a process, in ticks since boot; 0 where there is no /proc.

    With the pid it names one process, even after the pid has been used again.
    """
    try:
        stat = Path(f"/proc/{pid}/stat").read_text("utf-8", "replace")
    except OSError:
        return 0
    # The name of the program, in parentheses, may itself hold spaces and parentheses.
    return int(stat.rpartition(")")[2].split()[19])


def _encode(holder: LockHolder) -> bytes:
    fields = {"pid": holder.pid, "started": holder.started, "node_id": holder.node_id[:100]}
    return json.dumps(fields).encode()[:_RECORD_BYTES].ljust(_RECORD_BYTES)
