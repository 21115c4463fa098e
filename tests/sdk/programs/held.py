"""An activity that says which process runs it, and waits for leave to go on."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any


def hold(_ctx: Any, paths: dict[str, str]) -> int:
    """Notes that it runs, and in which process; then waits for leave to go on."""
    with Path(paths["mark"]).open("a") as mark:
        mark.write(f"{os.getpid()}\n")
    deadline = time.monotonic() + 60
    while not Path(paths["until"]).exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    return os.getpid()
