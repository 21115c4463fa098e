"""Decides when the write-ahead log is copied into the database, and does it. An edge module.

SQLite's automatic checkpoints are off, because they run outside the write lock. Owned by the
writer's thread. The log's size tells what is due: `journal_size_limit` cuts it back to the limit
when it is begun anew after a complete checkpoint, so that it is longer only if that much was
written since.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from pathlib import Path

_PASSIVE_PAGES = 1000
_TRUNCATE_BYTES = 64 << 20
_FRAME_HEADER_BYTES = 24


class Checkpoints:
    def __init__(self, database: Path) -> None:
        self._log = f"{database}-wal"
        self._limit = 0
        self._done_at = 0
        """How long the log was at the last checkpoint, if it has not begun anew since."""

    def configure(self, connection: sqlite3.Connection) -> None:
        """Call once, for the connection that will run the checkpoints."""
        (page_size,) = connection.execute("PRAGMA page_size").fetchone()
        self._limit = _PASSIVE_PAGES * (page_size + _FRAME_HEADER_BYTES)
        connection.execute(f"PRAGMA journal_size_limit = {self._limit}")
        connection.execute("PRAGMA wal_autocheckpoint = 0")

    def run_if_due(self, connection: sqlite3.Connection) -> None:
        """Call under the write lock and outside any transaction."""
        try:
            size = os.stat(self._log).st_size
        except FileNotFoundError:
            return
        if size <= self._limit or not self._limit:
            self._done_at = 0
        # A reader on an old snapshot keeps the log from beginning anew: it is not the log's whole
        # length but its growth that is worth another two fsyncs.
        elif size >= self._done_at + self._limit:
            self._run(connection, "TRUNCATE" if size > _TRUNCATE_BYTES else "PASSIVE")
            self._done_at = size

    def finish(self, connection: sqlite3.Connection) -> None:
        """Empty the log before the connection is closed; under the write lock too."""
        self._run(connection, "TRUNCATE")

    def _run(self, connection: sqlite3.Connection, mode: str) -> None:
        # A checkpoint only tidies up: what hinders it hinders the next write too, and is told
        # there. (An error about a damaged schema may come out as one of decoding its text.)
        with contextlib.suppress(sqlite3.Error, UnicodeDecodeError):
            connection.execute(f"PRAGMA wal_checkpoint({mode})").fetchone()
