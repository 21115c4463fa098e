"""Where in the user's code a call was made. A value module."""

from __future__ import annotations

import asyncio
import os
import sys

_OURS = tuple(
    os.path.dirname(os.path.abspath(path)) + os.sep
    for path in (asyncio.__file__, os.path.dirname(__file__))
)


def is_engine_code(filename: str) -> bool:
    """Whether a file is asyncio's or the runtime's own."""
    return filename.startswith(_OURS)


def source_line() -> str:
    """`file.py:line` of the innermost frame that is neither asyncio's nor the engine's."""
    frame = sys._getframe(1)
    while True:
        name = frame.f_code.co_filename
        if not name.startswith(_OURS):
            return f"{name.rpartition(os.sep)[2]}:{frame.f_lineno}"
        if frame.f_back is None:
            return ""
        frame = frame.f_back
