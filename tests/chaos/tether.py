"""The processes of a round end with whoever has started them. An edge module."""

from __future__ import annotations

import ctypes
import os
import signal

_PR_SET_PDEATHSIG = 1


def end_with_the_parent() -> None:
    """He may be killed himself; this process must not outlive him."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != int(os.environ["CHAOS_PARENT"]):
        os._exit(1)
