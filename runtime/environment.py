"""The real clock, randomness, ids and process. An edge module."""

from __future__ import annotations

import functools
import logging
import os
import random
import time
from dataclasses import dataclass
from pathlib import Path

from perdure.placement.membership import NodeIdentity

_IDS_AT_ONCE = 64


class SystemEnv:
    """`actors.ports.Env` of a real process."""

    def __init__(self, log: logging.Logger | None = None) -> None:
        self.random = random.Random()
        self.log = log or logging.getLogger("perdure")
        self._entropy = b""

    def now_us(self) -> int:
        return time.time_ns() // 1000

    def new_id(self) -> str:
        # As `str(uuid.uuid4())`, at a tenth of its cost: each call of `urandom` hands the
        # interpreter over to another thread.
        if not self._entropy:
            self._entropy = os.urandom(16 * _IDS_AT_ONCE)
        entropy, self._entropy = self._entropy[:16], self._entropy[16:]
        text = entropy.hex()
        variant = "89ab"[entropy[8] >> 4 & 3]
        return f"{text[:8]}-{text[8:12]}-4{text[13:16]}-{variant}{text[17:20]}-{text[20:]}"


@dataclass(frozen=True, slots=True)
class Process:
    """One process of this machine, as `NodeIdentity` names it."""

    pid: int
    started: int
    boot_id: str


def this_process() -> Process:
    """Who this process is."""
    pid = os.getpid()
    return Process(pid, _start_time(pid) or 0, _boot_id())


def is_alive(identity: NodeIdentity) -> bool:
    """Whether the process behind `identity` may still run; False only if that is certain."""
    boot_id, _, pids = _boot_id().partition("/")
    its_boot_id, _, its_pids = identity.boot_id.partition("/")
    if not boot_id or not its_boot_id:
        return _exists(identity.pid)
    if boot_id != its_boot_id:
        return False  # The machine has been started since; the file is on no other machine's disk.
    if pids != its_pids and its_pids:
        return True  # In another container: its pid means something else here.
    return _start_time(identity.pid) == identity.started


def _start_time(pid: int) -> int | None:
    """When a process began, in the kernel's ticks since boot; None if there is no such process."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None if Path("/proc/self/stat").exists() or not _exists(pid) else 0
    fields = text.rpartition(")")[2].split()
    # A zombie has ended and only waits for its parent to take note.
    return None if fields[0] == "Z" else int(fields[19])


@functools.cache
def _boot_id() -> str:
    """Of the machine's run and, behind a slash, of the space in which process ids are counted."""
    try:
        boot_id = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot_id}/{os.stat('/proc/self/ns/pid').st_ino}"
    except OSError:
        return ""


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
