"""The write lock between the processes of a database: a `flock` on `<file>.lock`. An edge.

SQLite's own busy handler polls and is unfair: a waiting process can starve for seconds. The kernel
queues waiters of a file lock, and frees the lock of a process that dies. Every write transaction
and every checkpoint runs under it, so that the two never race (which corrupts SQLite before
3.51.3).

A process that was stopped, or hangs in its disk, while it holds the lock stops all others too. One
that is supervised may be killed then: on one machine there is no better fence.

Owned by one connection's thread; only that thread calls `acquire` and `release`.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import logging
import os
import signal
import threading
from pathlib import Path

from perdure.actors.errors import StoreUnavailable
from perdure.runtime.storage.errors import LockHolder, WriterStuck

_RECORD_BYTES = 256
_DEATH_SECONDS = 10.0
"""How long a killed process may take to end: the kernel waits for its disk operations."""

_log = logging.getLogger(__name__)


class WriteLock:
    """With `kill_stuck`, a holder for over `wait_seconds` is killed if it has said that it may be.

    This process says so itself then.
    """

    def __init__(
        self, path: Path, node_id: str, wait_seconds: float, kill_stuck: bool = False
    ) -> None:
        self._path = path
        self._wait_seconds = wait_seconds
        self._kill_stuck = kill_stuck
        self._waiter: _Waiter | None = None
        self._own = LockHolder(os.getpid(), process_started(os.getpid()), node_id, kill_stuck)
        self._times_taken = 0
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        self._file = os.open(path, flags, 0o600)

    def acquire(self) -> None:
        """Take the lock. Raises `WriterStuck`, without it, if that takes too long."""
        if self._waiter is not None or not self._take_at_once():
            self._wait()
        self._times_taken += 1
        # Of a fixed length, so that a reader never sees parts of two records. Only information: a
        # full disk must not fail the write here, where the lock would stay taken.
        with contextlib.suppress(OSError):
            os.pwrite(self._file, _encode(self._own, self._times_taken), 0)

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
        before = _record(self._path)
        if not self._waited(self._wait_seconds) and not self._took_by_force(before):
            holder = read_holder(self._path)
            raise WriterStuck(
                f"{holder or 'another process'} has held the write lock {self._path} for over "
                f"{self._wait_seconds:g} s; if it hangs, end it: the lock is then free at once",
                holder,
            )
        self._waiter = None

    def _waited(self, seconds: float) -> bool:
        if self._waiter is None or not self._waiter.resume():
            self._waiter = _Waiter(self._file)
        return self._waiter.wait(seconds)

    def _took_by_force(self, before: bytes) -> bool:
        """Kill the holder if both sides allow it. Returns whether the lock is ours then.

        `before` is the record from the beginning of the wait: if it is another one by now, the
        lock went round without us, and nobody is stuck.
        """
        if not self._kill_stuck or _record(self._path) != before:
            return False
        holder = read_holder(self._path)
        if holder is None or not self._is_held_by(holder) or not _kill(holder):
            return False
        _log.error(
            "killed a node that held the write lock and did not go on",
            extra={
                "event": "stuck_writer_killed",
                "node_id": holder.node_id,
                "pid": holder.pid,
                "seconds": self._wait_seconds,
            },
        )
        return self._waited(_DEATH_SECONDS)

    def _is_held_by(self, holder: LockHolder) -> bool:
        """Whether the kernel agrees with the record, which is written after the lock is taken."""
        inode = str(os.fstat(self._file).st_ino)
        try:
            lines = [line.split() for line in Path("/proc/locks").read_text().splitlines()]
        except OSError:
            return True
        # `1: FLOCK ADVISORY WRITE 4711 08:01:1234 0 EOF`; those that wait have `->` in between.
        pids = [
            int(words[4])
            for words in lines
            if words[1] == "FLOCK" and words[5].rpartition(":")[2] == inode
        ]
        # On layered file systems the kernel may know the file by another number.
        return not pids or holder.pid in pids


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


def _kill(holder: LockHolder) -> bool:
    """Kill the process of the record, if it is the very one, of this user, and allows it."""
    # Without a start time, another process could have the pid by now. Nor ever ourselves: two
    # nodes may live in one process.
    if not holder.may_be_killed or not holder.started or holder.pid == os.getpid():
        return False
    try:
        # From here on the pid is bound to one process, even if that ends.
        process = os.pidfd_open(holder.pid)
    except OSError:
        return False
    try:
        same = process_started(holder.pid) == holder.started
        if not same or Path(f"/proc/{holder.pid}").stat().st_uid != os.geteuid():
            return False
        signal.pidfd_send_signal(process, signal.SIGKILL)
    except OSError:
        return False
    finally:
        os.close(process)
    return True


def _record(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""


def read_holder(path: Path) -> LockHolder | None:
    """Who took the lock last, None if nobody has or the record cannot be read."""
    try:
        fields = json.loads(_record(path))
        return LockHolder(
            int(fields["pid"]),
            int(fields["started"]),
            str(fields["node_id"]),
            fields.get("may_be_killed") is True,
        )
    except (ValueError, KeyError, TypeError):
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


def _encode(holder: LockHolder, times_taken: int) -> bytes:
    fields = {
        "pid": holder.pid,
        "started": holder.started,
        "may_be_killed": holder.may_be_killed,
        "times_taken": times_taken,
        "node_id": holder.node_id[:100],
    }
    return json.dumps(fields).encode()[:_RECORD_BYTES].ljust(_RECORD_BYTES)
