"""The real clock, randomness, ids and process. An edge module."""

from __future__ import annotations

import logging
import os
import random
import time
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


def identity_of_this_process(
    node_id: str, app_id: str, address: str, incarnation: str
) -> NodeIdentity:
    """Who this process is when it joins a cluster."""
    pid = os.getpid()
    return NodeIdentity(
        node_id=node_id,
        incarnation=incarnation,
        app_id=app_id,
        address=address,
        pid=pid,
        started=_start_time(pid) or 0,
        boot_id=_boot_id(),
        hosted_types=("workflow", "activity"),
    )


def is_alive(identity: NodeIdentity) -> bool:
    """Whether the process behind `identity` may still run; False only if that is certain."""
    boot_id = _boot_id()
    if not boot_id or not identity.boot_id:
        return _exists(identity.pid)
    if boot_id != identity.boot_id:
        return False  # The machine has been started since; the file is on no other machine's disk.
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


def _boot_id() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
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
