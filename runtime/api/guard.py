"""Who may call: the API token, and which web pages may not. A value module.

With a token, the token decides. Without one the node trusts its own machine, but a browser on that
machine runs other people's code: a page may not call us from its own origin, nor by a name of its
own that it has pointed to the loopback address (DNS rebinding).
"""

from __future__ import annotations

import hmac
import ipaddress
from collections.abc import Mapping

from aiohttp import hdrs

from perdure.runtime.api.errors import Refusal
from perdure.runtime.api.ports import ApiConfig

TOKEN_HEADER = "dapr-api-token"
FORBIDDEN = "ERR_FORBIDDEN"

_LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "[::1]"})


class Guard:
    """Judges request heads."""

    def __init__(self, config: ApiConfig) -> None:
        self._tokens = [token.encode() for token in config.tokens]
        self._hosts: frozenset[str] = frozenset()
        if is_loopback(config.host):
            names = {config.host.lower(), *(name.lower() for name in config.allowed_hosts)}
            self._hosts = _LOOPBACK_NAMES | names

    def knows_token(self, headers: Mapping[str, str]) -> bool:
        """Whether a token of ours is given, or none is asked for."""
        if not self._tokens:
            return True
        given = headers.get(TOKEN_HEADER, "").encode("utf-8", "surrogateescape")
        # Every token is compared, so that the time does not tell which one was near.
        return any([hmac.compare_digest(given, token) for token in self._tokens])

    def refusal(self, headers: Mapping[str, str]) -> Refusal | None:
        """Why a request may not be made from where it comes from; None if it may."""
        if self._tokens:
            return None
        host = headers.get(hdrs.HOST)
        if self._hosts and host is not None and _name(host) not in self._hosts:
            return Refusal(
                403,
                FORBIDDEN,
                f"host {host!r} is not allowed: this node listens on loopback without a token, "
                "so it answers to localhost only; set an API token, or allow the host",
            )
        origin = headers.get(hdrs.ORIGIN)
        if origin is not None and origin.partition("://")[2].lower() != (host or "").lower():
            return Refusal(
                403,
                FORBIDDEN,
                f"origin {origin!r} is not allowed: without an API token, web pages of other "
                "origins may not call this node",
            )
        return None


def is_loopback(host: str) -> bool:
    """Whether something that listens on `host` is reachable from its own machine only."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def _name(host: str) -> str:
    """The name in a `Host` header, without its port."""
    if host.startswith("["):
        return host.partition("]")[0].lower() + "]"
    return host.partition(":")[0].lower()
