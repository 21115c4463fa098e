"""What a caller hands to a client, as the wire wants it. A value module."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import msgspec

from perdure.runtime.workflow import payload


def body_of(value: Any, what: str) -> bytes | None:
    """The JSON of a payload; None stands for no payload. A `msgspec.Raw` is JSON already."""
    if isinstance(value, msgspec.Raw):
        return bytes(value)
    text = payload.encode(value, what)
    return None if text is None else text.encode()


def verbatim_body_of(value: Any, what: str) -> bytes | None:
    """As `body_of`, but bytes are sent as they are, as Dapr's older client does."""
    return value if isinstance(value, bytes) else body_of(value, what)


def new_key() -> str:
    """An idempotency key: two requests with the same one are one request to the node."""
    return secrets.token_hex(16)


def start_time_of(options: Mapping[str, str] | None) -> datetime | None:
    """The start time in the options of Dapr's older client."""
    text = (options or {}).get("dapr.workflow.start_time")
    return None if text is None else datetime.fromisoformat(text)
