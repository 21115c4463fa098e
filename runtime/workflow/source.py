"""Where in the user's code a call was made. A value module."""

from __future__ import annotations

import os
import sys

_OWN = os.path.dirname(__file__) + os.sep
_ASYNCIO = f"{os.sep}asyncio{os.sep}"


def source_line() -> str:
    """`file.py:line` of the innermost frame that is neither asyncio's nor the engine's."""
    frame = sys._getframe(1)
    while True:
        name = frame.f_code.co_filename
        if not name.startswith(_OWN) and _ASYNCIO not in name:
            return f"{name.rpartition(os.sep)[2]}:{frame.f_lineno}"
        if frame.f_back is None:
            return ""
        frame = frame.f_back
