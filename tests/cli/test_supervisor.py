"""The supervisor of worker processes, with real processes that only pretend to be nodes."""

from __future__ import annotations

import os
import re
import select
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from io import FileIO
from pathlib import Path
from textwrap import dedent

import pytest

PATIENCE_SECONDS = 60
"""Only a limit for what hangs: nothing waits for it to pass."""

WORKER = """
import os, signal, sys
from perdure.runtime.cli.tether import hold_on_to

def say(text):
    print(text, file=sys.stderr, flush=True)

name, tether = sys.argv[1:]
say(f"process {os.getpid()}")
orders = f"{name}.orders"
order, value = open(orders).read().split() if os.path.exists(orders) else ("serve", 0)
if order == "exit":
    sys.exit(int(value))

ended, end = os.pipe()
def stop(number, frame):
    if order != "stubborn":
        os.write(end, b"0")
signal.signal(signal.SIGTERM, stop)
# `cluster drain`, and a failure, which no signal asks for in a real node
signal.signal(signal.SIGUSR1, lambda number, frame: os.write(end, b"0"))
signal.signal(signal.SIGUSR2, lambda number, frame: os.write(end, b"1"))
hold_on_to(int(tether))
say("perdure: ready on http://127.0.0.1:1, store x")
code = int(os.read(ended, 1))
say("bye")
open(f"{os.getpid()}.ended", "w").close()
sys.exit(code)
"""

SUPERVISOR = """
import asyncio, os, sys
from perdure.runtime.cli.supervisor import Supervisor

if len(sys.argv) > 2:
    os.open(sys.argv[2], os.O_RDWR)  # The leader of a session gets its terminal so.

def command(number, tether):
    return [sys.executable, "worker.py", f"w{number}", str(tether)]

def ready(line):
    print("ALL READY", line, file=sys.stderr, flush=True)

sys.exit(asyncio.run(Supervisor(command, int(sys.argv[1]), ready).run()))
"""


Terminal = tuple[FileIO, str]


class Supervised:
    """A running supervisor and the processes that it has started."""

    def __init__(self, place: Path) -> None:
        self._place = place
        self._process: subprocess.Popen[str] | None = None
        self.said: list[str] = []
        self.pids: dict[str, int] = {}
        """The newest process of each worker."""
        self.all_pids: list[int] = []

    def start(self, workers: int, terminal: str = "") -> None:
        for name, text in (("worker.py", WORKER), ("supervisor.py", SUPERVISOR)):
            (self._place / name).write_text(dedent(text))
        self._process = subprocess.Popen(
            [sys.executable, "supervisor.py", str(workers), *filter(None, [terminal])],
            start_new_session=bool(terminal),
            cwd=self._place,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.limit = threading.Timer(PATIENCE_SECONDS, self._process.kill)
        self.limit.start()

    def order(self, name: str, order: str) -> None:
        """What the next process of a worker does instead of serving."""
        (self._place / f"{name}.orders").write_text(order)

    @property
    def process(self) -> subprocess.Popen[str]:
        assert self._process is not None
        return self._process

    def until(self, text: str) -> str:
        """Read stderr up to the first line that holds this text, and return it."""
        assert self.process.stderr is not None
        while line := self.process.stderr.readline():
            self._note(line)
            if text in line:
                return line.rstrip()
        raise AssertionError(f"{text!r} was not said: {self.said}")

    def ended(self) -> int:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self._note(line)
        return self.process.wait(PATIENCE_SECONDS)

    def _note(self, line: str) -> None:
        self.said.append(line.rstrip())
        if found := re.match(r"\[(w\d)\] process (\d+)", line):
            self.pids[found[1]] = int(found[2])
            self.all_pids.append(int(found[2]))

    def has_ended_by_itself(self, pid: int) -> bool:
        """Whether a process got the time to say goodbye."""
        return (self._place / f"{pid}.ended").exists()


@pytest.fixture
def supervised(tmp_path: Path) -> Iterator[Supervised]:
    made = Supervised(tmp_path)
    yield made
    made.limit.cancel()
    made.process.kill()
    made.process.communicate()
    for pid in made.all_pids:
        if is_running(pid):
            os.kill(pid, signal.SIGKILL)


def is_running(pid: int) -> bool:
    """Whether there is such a process; one that has ended and is nobody's child counts as none."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_it_is_ready_when_all_workers_are(supervised: Supervised) -> None:
    supervised.start(3)
    line = supervised.until("ALL READY")
    assert line == "ALL READY perdure: ready on http://127.0.0.1:1, store x"
    assert set(supervised.pids) == {"w1", "w2", "w3"}
    assert not [said for said in supervised.said[:-1] if "ready" in said]


@pytest.fixture
def terminal() -> Iterator[Terminal]:
    """A terminal: the end where a person sits, and the name of the other one."""
    person, program = os.openpty()
    with open(person, "wb", buffering=0) as keyboard:
        yield keyboard, os.ttyname(program)
    os.close(program)


def test_a_ctrl_c_in_the_terminal_reaches_the_supervisor_only(
    supervised: Supervised, terminal: Terminal
) -> None:
    keyboard, name = terminal
    supervised.start(2, terminal=name)
    supervised.until("ALL READY")
    keyboard.write(b"\x03")
    assert supervised.ended() == 0
    assert all(map(supervised.has_ended_by_itself, supervised.all_pids))


def test_closing_the_terminal_ends_all_and_replaces_nobody(
    supervised: Supervised, terminal: Terminal
) -> None:
    keyboard, name = terminal
    supervised.start(2, terminal=name)
    supervised.until("ALL READY")
    keyboard.close()
    assert supervised.ended() == 0
    assert len(supervised.all_pids) == 2
    assert all(map(supervised.has_ended_by_itself, supervised.all_pids))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_drains_all_workers_and_the_exit_code_is_0(
    supervised: Supervised, number: signal.Signals
) -> None:
    supervised.start(2)
    supervised.until("ALL READY")
    supervised.process.send_signal(number)
    assert supervised.ended() == 0
    assert {"[w1] bye", "[w2] bye"} <= set(supervised.said)
    assert all(map(supervised.has_ended_by_itself, supervised.all_pids))


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_second_signal_kills_them(
    supervised: Supervised, number: signal.Signals, code: int
) -> None:
    for name in ("w1", "w2"):
        supervised.order(name, "stubborn 0")
    supervised.start(2)
    supervised.until("ALL READY")
    supervised.process.send_signal(number)
    supervised.until("once more ends them at once")
    supervised.process.send_signal(number)
    assert supervised.ended() == code
    assert not any(map(is_running, supervised.all_pids))


def test_a_worker_that_is_killed_is_started_again(supervised: Supervised) -> None:
    supervised.start(2)
    supervised.until("ALL READY")
    before = dict(supervised.pids)
    os.kill(before["w2"], signal.SIGKILL)
    line = supervised.until("starting it again")
    assert line == (
        f"perdure: w2 (process {before['w2']}) was killed by SIGKILL; starting it again in 0.1 s"
    )
    line = supervised.until("w2 is ready")
    assert line == f"perdure: w2 is ready, process {supervised.pids['w2']}"
    assert supervised.pids["w2"] != before["w2"]
    assert supervised.pids["w1"] == before["w1"]


def test_a_worker_that_fails_again_and_again_waits_longer_each_time(
    supervised: Supervised,
) -> None:
    supervised.start(1)
    supervised.until("ALL READY")
    supervised.order("w1", "exit 5")
    os.kill(supervised.pids["w1"], signal.SIGUSR2)
    lines = [supervised.until("starting it again") for _ in range(3)]
    assert [re.sub(r".*\) ", "", line) for line in lines] == [
        "ended with exit code 1; starting it again in 0.1 s",
        "ended with exit code 5; starting it again in 0.2 s",
        "ended with exit code 5; starting it again in 0.4 s",
    ]


@pytest.mark.parametrize("code", [1, 2, 4, 70])
def test_what_a_restart_does_not_mend_ends_all_with_that_code(
    supervised: Supervised, code: int
) -> None:
    supervised.order("w1", f"exit {code}")
    supervised.start(2)
    assert supervised.ended() == code
    assert set(supervised.pids) == {"w1"}, "the second has nothing to add"
    assert f"perdure: w1 ended with exit code {code}; starting it again would not help" in (
        supervised.said
    )


def test_a_damaged_database_ends_the_others_too(supervised: Supervised) -> None:
    supervised.start(2)
    supervised.until("ALL READY")
    other = supervised.pids["w2"]
    supervised.order("w1", "exit 70")
    os.kill(supervised.pids["w1"], signal.SIGKILL)
    assert supervised.ended() == 70
    assert supervised.has_ended_by_itself(other)


def test_a_worker_that_was_drained_is_not_started_again(supervised: Supervised) -> None:
    supervised.start(2)
    supervised.until("ALL READY")
    os.kill(supervised.pids["w1"], signal.SIGUSR1)
    line = supervised.until("drained")
    pid = supervised.pids["w1"]
    assert line == f"perdure: w1 (process {pid}) was drained, and is not started again"
    os.kill(supervised.pids["w2"], signal.SIGUSR1)
    assert supervised.ended() == 0
    assert len(supervised.all_pids) == 2


def test_sighup_replaces_one_worker_after_the_other(supervised: Supervised) -> None:
    supervised.start(2)
    supervised.until("ALL READY")
    before = dict(supervised.pids)
    supervised.process.send_signal(signal.SIGHUP)
    supervised.until("w1 is ready")
    assert supervised.has_ended_by_itself(before["w1"])
    supervised.until("all workers have been replaced")
    assert supervised.has_ended_by_itself(before["w2"])
    story = [
        line.split("process")[0].strip()
        for line in supervised.said[supervised.said.index("[w1] bye") :]
    ]
    assert story == [
        *("[w1] bye", "[w1]", "perdure: w1 is ready,"),
        *("[w2] bye", "[w2]", "perdure: w2 is ready,"),
        "perdure: all workers have been replaced",
    ]


@pytest.mark.parametrize("order", ["exit 1", "exit 2"])
def test_a_release_that_does_not_start_leaves_the_other_workers_alone(
    supervised: Supervised, order: str
) -> None:
    supervised.start(2)
    supervised.until("ALL READY")
    supervised.order("w1", order)
    supervised.process.send_signal(signal.SIGHUP)
    supervised.until("w1 does not start any more: the other workers are left as they are")
    assert is_running(supervised.pids["w2"])
    supervised.order("w1", "serve 0")
    supervised.until("w1 is ready")
    supervised.process.send_signal(signal.SIGTERM)
    assert supervised.ended() == 0


def test_workers_drain_when_their_supervisor_is_killed(supervised: Supervised) -> None:
    supervised.start(2)
    supervised.until("ALL READY")
    ends = [os.pidfd_open(pid) for pid in supervised.all_pids]
    supervised.process.kill()
    for end in ends:
        _wait_for_end(end)
    assert all(map(supervised.has_ended_by_itself, supervised.all_pids))


def _wait_for_end(end: int) -> None:
    """Wait for the end of a process that is not a child of this one."""
    poll = select.poll()
    poll.register(end, select.POLLIN)
    assert poll.poll(PATIENCE_SECONDS * 1000)
    os.close(end)
