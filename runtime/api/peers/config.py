"""Settings of the links between nodes, and what they count. A value module."""

from __future__ import annotations

from dataclasses import dataclass

from perdure.runtime.api.peers.handshake import HANDSHAKE_BYTES_MAX


@dataclass(frozen=True, slots=True, kw_only=True)
class PeerConfig:
    """Where a node listens for its peers, and the limits of each link."""

    host: str = "127.0.0.1"
    port: int = 0
    """0 takes a free one."""
    message_bytes_max: int = 16 << 20
    """Of one WebSocket message; the largest payload must fit in."""
    calls_max: int = 20_000
    """Unanswered calls to one node: beyond it, `MailboxFull`."""
    buffer_bytes_max: int = 16 << 20
    """Unsent bytes to one node: beyond it calls are `MailboxFull` and tells are dropped; a link
    that stays beyond it for `stuck_seconds` is closed."""
    stuck_seconds: float = 5.0
    connect_seconds: float = 2.0
    """For a connection and its handshake, at either end."""

    def __post_init__(self) -> None:
        if self.message_bytes_max < HANDSHAKE_BYTES_MAX:
            raise ValueError(f"message_bytes_max must be at least {HANDSHAKE_BYTES_MAX}")
        if min(self.calls_max, self.buffer_bytes_max) < 1:
            raise ValueError("calls_max and buffer_bytes_max must be positive")
        if min(self.connect_seconds, self.stuck_seconds) <= 0:
            raise ValueError("connect_seconds and stuck_seconds must be positive")


@dataclass(slots=True)
class Traffic:
    """What the links of a node have done so far. Each link adds to the one of its node."""

    messages_sent: int = 0
    messages_received: int = 0
    batches_sent: int = 0
    batches_received: int = 0
    tells_dropped: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class PeerStatistics:
    """The links of a node at one moment, and their traffic since its start.

    A message is a call, its answer, or a tell; a batch is what was written at once.
    """

    links_open: int
    calls_pending: int
    unsent_bytes: int
    messages_sent: int
    messages_received: int
    batches_sent: int
    batches_received: int
    tells_dropped: int
