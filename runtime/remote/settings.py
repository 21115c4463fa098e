"""Where a client's node is, and how patient the client is. A value module."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

DEFAULT_URL = "http://127.0.0.1:3500"
TOKEN_HEADER = "dapr-api-token"


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How long a client tries.

    `timeout_seconds` is for one answer, `retry_seconds` for all attempts of one call together.
    """

    timeout_seconds: float = 30.0
    retry_seconds: float = 30.0


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A node's URL without a trailing slash, and the headers of every request."""

    url: str
    headers: Mapping[str, str]


def endpoint_of(url: str, api_token: str | None) -> Endpoint:
    """Check the URL; the API token comes from the environment if none is given."""
    given = url if "://" in url else f"http://{url}"
    try:
        parts = urlsplit(given)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if usable and parts.username is not None:
        raise ValueError("the URL of a node holds no user; the API token is given by itself")
    if not usable or parts.query or parts.fragment:
        raise ValueError(
            f"{url!r} is not the URL of a node; one looks like {DEFAULT_URL} (http or https)"
        )
    token = api_token or os.environ.get("PERDURE_API_TOKEN") or os.environ.get("DAPR_API_TOKEN")
    return Endpoint(given.rstrip("/"), {TOKEN_HEADER: token} if token else {})
