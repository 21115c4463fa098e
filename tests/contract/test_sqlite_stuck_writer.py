"""A process that holds the write lock and does not go on: who may be killed, and who may not."""

from __future__ import annotations

import fcntl
import json
import logging
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from perdure.runtime.storage.errors import WriterStuck
from perdure.runtime.storage.lock import WriteLock, process_started, read_holder

pytestmark = pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="needs pidfd and /proc")

_HOLDER = """
import sys
from pathlib import Path
from perdure.runtime.storage.lock import WriteLock

lock = WriteLock(Path(sys.argv[1]), "n7", 10.0, kill_stuck=sys.argv[2] == "True")
lock.acquire()
print("held", flush=True)
sys.stdin.read()
"""

Hold = Callable[[bool], subprocess.Popen[str]]
WAIT_SECONDS = 0.05


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "shop.db.lock"


@pytest.fixture
def hold(path: Path) -> Iterator[Hold]:
    """Starts a process that takes the lock, and stops it there."""
    started: list[subprocess.Popen[str]] = []

    def start(may_be_killed: bool) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-c", _HOLDER, str(path), str(may_be_killed)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        process.send_signal(signal.SIGSTOP)
        os.waitpid(process.pid, os.WUNTRACED)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def test_a_stuck_holder_is_killed_and_the_lock_is_ours(
    path: Path, hold: Hold, caplog: pytest.LogCaptureFixture
) -> None:
    process = hold(True)
    with closing(WriteLock(path, "n8", WAIT_SECONDS, kill_stuck=True)) as lock:
        lock.acquire()
        assert process.wait() == -signal.SIGKILL
        holder = read_holder(path)
        assert holder is not None
        assert (holder.pid, holder.node_id) == (os.getpid(), "n8")
        lock.release()
        lock.acquire()
    [record] = caplog.records
    assert record.levelno == logging.ERROR
    assert vars(record)["event"] == "stuck_writer_killed"
    assert (vars(record)["pid"], vars(record)["node_id"]) == (process.pid, "n7")


@pytest.mark.parametrize(("holder", "waiter"), [(False, True), (True, False)])
def test_a_holder_lives_unless_both_sides_allow_to_kill_it(
    path: Path, hold: Hold, holder: bool, waiter: bool
) -> None:
    process = hold(holder)
    with closing(WriteLock(path, "n8", WAIT_SECONDS, kill_stuck=waiter)) as lock:
        with pytest.raises(WriterStuck, match="'n7'"):
            lock.acquire()
        process.send_signal(signal.SIGCONT)
        process.communicate("")
        assert process.returncode == 0
        lock.acquire()


def test_a_process_that_only_stands_in_the_record_lives(path: Path) -> None:
    """The true holder was stopped between taking the lock and writing its own record."""
    with (
        subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as bystander,
        closing(WriteLock(path, "n8", WAIT_SECONDS, kill_stuck=True)) as lock,
    ):
        held = os.open(path, os.O_RDWR)
        try:
            path.write_text(_record_of(bystander.pid, process_started(bystander.pid)))
            fcntl.flock(held, fcntl.LOCK_EX)
            with pytest.raises(WriterStuck):
                lock.acquire()
        finally:
            os.close(held)
        bystander.communicate(b"\n")
        assert bystander.returncode == 0


def test_a_process_that_has_got_the_pid_of_the_holder_lives(path: Path, hold: Hold) -> None:
    process = hold(True)
    path.write_text(_record_of(process.pid, process_started(process.pid) - 1))
    with closing(WriteLock(path, "n8", WAIT_SECONDS, kill_stuck=True)) as lock:
        with pytest.raises(WriterStuck):
            lock.acquire()
        process.send_signal(signal.SIGCONT)
        process.communicate("")
    assert process.returncode == 0


def test_a_node_never_kills_its_own_process(path: Path) -> None:
    with (
        closing(WriteLock(path, "n7", WAIT_SECONDS, kill_stuck=True)) as neighbour,
        closing(WriteLock(path, "n8", WAIT_SECONDS, kill_stuck=True)) as lock,
    ):
        neighbour.acquire()
        with pytest.raises(WriterStuck, match="'n7'"):
            lock.acquire()
        neighbour.release()
        lock.acquire()


def test_each_time_that_the_lock_is_taken_has_a_record_of_its_own(path: Path) -> None:
    """By it, a waiter tells one long hold from many short ones."""
    with closing(WriteLock(path, "n7", WAIT_SECONDS)) as lock:
        records = []
        for _ in range(12):
            lock.acquire()
            records.append(path.read_bytes())
            lock.release()
    assert len(set(records)) == 12
    assert len(set(map(len, records))) == 1


def _record_of(pid: int, started: int) -> str:
    fields = {"pid": pid, "started": started, "may_be_killed": True, "node_id": "n7"}
    return json.dumps(fields).ljust(256)
