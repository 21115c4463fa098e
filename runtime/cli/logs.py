"""Log lines for people, on stderr: time, level, message, fields. An edge module."""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import Container

from perdure.runtime.workflow.context import ReplayFilter

_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName", "event"}
"""Attributes that every record has; `event` is the message once more, for machines."""
_CHATTY = ("asyncio", "aiohttp", "aiosqlite", "concurrent", "grpc", "opentelemetry")
"""Libraries of this node: only their warnings, unless the app sets a level for them."""


class LineFormatter(logging.Formatter):
    """`12:00:03.123 INFO    workflow completed instance_id=o1`, with control characters visible."""

    def format(self, record: logging.LogRecord) -> str:
        when = f"{self.formatTime(record, '%H:%M:%S')}.{int(record.msecs):03d}"
        parts = [when, f"{record.levelname:<7}", _visible(_message(record))]
        if not record.name.startswith("perdure"):
            parts.insert(2, f"{record.name}:")
        parts += [
            f"{name}={_field(value)}"
            for name, value in vars(record).items()
            if name not in _STANDARD
        ]
        line = " ".join(parts)
        if record.exc_info:
            line += "\n" + self.formatException(record.exc_info)
        return line


def set_up(level: str, app: str | None = None) -> None:
    """Send the logs of this process to stderr, once. The loggers of APP and of others included.

    What others say to their own developers is left out, unless a level was set for their logger.
    """
    handler = line_handler()
    own = {"root", "perdure", "py.warnings", *re.split(r"[/.:]", app or "")}
    handler.addFilter(lambda record: is_for_users(record, own))
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    logging.captureWarnings(True)
    for name in _CHATTY:
        logging.getLogger(name).setLevel(logging.WARNING)


def is_for_users(record: logging.LogRecord, own: Container[str]) -> bool:
    """Whether a record is more than debugging, of `own` loggers, or asked for."""
    if record.levelno > logging.DEBUG or record.name.partition(".")[0] in own:
        return True
    logger: logging.Logger | None = logging.getLogger(record.name)
    while logger is not None and logger.parent is not None:
        if logger.level != logging.NOTSET:
            return True
        logger = logger.parent
    return False


def line_handler() -> logging.Handler:
    """Writes lines to stderr; what workflow code logs is said once, not again at every replay."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(LineFormatter())
    handler.addFilter(ReplayFilter())
    return handler


def _message(record: logging.LogRecord) -> str:
    text = record.getMessage()
    # Python's warnings are two lines, the second of which is the source.
    return text.strip().replace("\n  ", ": ") if record.name == "py.warnings" else text


def _field(value: object) -> str:
    text = _visible(", ".join(map(str, value)) if isinstance(value, list) else str(value))
    return f'"{text}"' if " " in text or not text else text


def _visible(text: str) -> str:
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)
