"""Where in the user's code a call was made. A value module."""

from __future__ import annotations

import asyncio
import os
import sys
from types import TracebackType

_PACKAGE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
_OURS = (
    os.path.dirname(os.path.abspath(asyncio.__file__)) + os.sep,
    os.path.normpath(_PACKAGE) + os.sep,
)
_BOUNDARY = "run_until_blocked"
"""Where the engine enters the user's code: whoever called that is not the user's workflow."""


def is_engine_code(filename: str) -> bool:
    """Whether a file is asyncio's or the runtime's own."""
    return filename.startswith(_OURS)


def line_in(trace: TracebackType | None) -> str:
    """`file.py:line` of the last place in a traceback that is neither asyncio's nor ours; or ""."""
    line = ""
    while trace is not None:
        name = trace.tb_frame.f_code.co_filename
        if not name.startswith(_OURS):
            line = f"{name.rpartition(os.sep)[2]}:{trace.tb_lineno}"
        trace = trace.tb_next
    return line


def source_line() -> str:
    """`file.py:line` of the innermost frame that is neither asyncio's nor the engine's; else ""."""
    frame = sys._getframe(1)
    while True:
        name = frame.f_code.co_filename
        if not name.startswith(_OURS):
            return f"{name.rpartition(os.sep)[2]}:{frame.f_lineno}"
        if frame.f_back is None or frame.f_code.co_name == _BOUNDARY:
            return ""
        frame = frame.f_back
