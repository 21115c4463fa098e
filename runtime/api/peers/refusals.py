"""Says once that a peer was refused, however often it tries. An owner module."""

from __future__ import annotations

import asyncio
import logging

REMEMBERED_MAX = 256
FORGOTTEN_AFTER_SECONDS = 3600.0


class RefusalLog:
    """Remembers what was said, for an hour, and no more of it than fits.

    Ids and addresses are what strangers say: a flood of invented ones fills neither the log nor
    the memory.
    """

    def __init__(self, log: logging.Logger) -> None:
        self._log = log
        self._said: set[tuple[str, str]] = set()
        self._since = 0.0

    def refused(self, node_id: str, address: str, reason: str) -> None:
        now = asyncio.get_running_loop().time()
        if now - self._since > FORGOTTEN_AFTER_SECONDS:
            self._said.clear()
            self._since = now
        key = (node_id, address)
        if key in self._said or len(self._said) > REMEMBERED_MAX:
            return
        if len(self._said) == REMEMBERED_MAX:
            key = ("", "")  # The last place is that of this line.
            node_id, address, reason = "", "", "too many peers are refused to log each of them"
        self._said.add(key)
        self._log.warning(
            "a peer was refused",
            extra={
                "event": "peer_refused",
                "node_id": node_id,
                "address": address,
                "reason": reason,
            },
        )

    def accepted(self, node_id: str, address: str) -> None:
        """If it is refused again, that is news."""
        self._said.discard((node_id, address))
