"""The port of the gRPC server, held from the start until the server itself listens. An edge module.

gRPC can only bind and listen at once, and tells nobody why it cannot. A port that is held here has
its number and its problem before that, and nobody connects to a server that does not answer yet.
"""

from __future__ import annotations

import errno
import socket
import sys
from collections.abc import Callable
from contextlib import ExitStack

PORTS_TRIED = 32

_LOOPBACK = ("127.0.0.1", "localhost")
_NO_IPV6 = frozenset({errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT, errno.EPROTONOSUPPORT})


class HeldPort:
    """A port on all addresses of a host. Raises `OSError` if it cannot be had.

    IPv4 loopback brings that of IPv6 along, if the machine has it: a client that dials `localhost`
    may try either first, and must not find somebody else there.
    """

    def __init__(self, host: str, port: int, *, shared: bool = False) -> None:
        tries = 1 if port else PORTS_TRIED
        for left in reversed(range(tries)):
            try:
                self._held = _held(host, port, shared)
                break
            except OSError as error:
                # Free for one family, and not for the other.
                if not left or error.errno != errno.EADDRINUSE:
                    raise
        names = [made.getsockname()[:2] for made in self._held]
        self.addresses = [f"[{host}]:{at}" if ":" in host else f"{host}:{at}" for host, at in names]
        """In gRPC's form; the first is the one to show."""

    def hand_over(self, listen: Callable[[str], object]) -> None:
        """Have somebody else bind and listen on each address, then let go."""
        try:
            for made, address in zip(self._held, self.addresses, strict=True):
                if sys.platform == "linux":
                    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                else:
                    made.close()  # Elsewhere two sockets cannot have it, not even for a moment.
                listen(address)
        finally:
            self.close()

    def close(self) -> None:
        """Let go of the port. May be done twice."""
        for made in self._held:
            made.close()


def _held(host: str, port: int, shared: bool) -> list[socket.socket]:
    with ExitStack() as undo:
        held: list[socket.socket] = []
        for number, (family, address) in enumerate(_addresses(host)):
            try:
                made = undo.enter_context(_bound(family, (address, port), shared))
            except OSError as error:
                if number and error.errno in _NO_IPV6:
                    continue
                raise
            held.append(made)
            port = made.getsockname()[1]  # One number for all, also if that may be any.
        undo.pop_all()
    return held


def _addresses(host: str) -> list[tuple[int, str]]:
    if host.lower() in _LOOPBACK:
        return [(socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")]
    name = host.strip("[]")
    found = socket.getaddrinfo(name, None, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    return list(dict.fromkeys((int(family), str(address[0])) for family, *_, address in found))


def _bound(family: int, address: tuple[str, int], shared: bool) -> socket.socket:
    try:
        return bound(family, address, shared=shared)
    except OSError as error:
        text = (error.strerror or "").lower()
        raise OSError(
            error.errno, f"error while attempting to bind on address {address!r}: {text}"
        ) from None


def bound(family: int, address: tuple[object, ...], *, shared: bool) -> socket.socket:
    """A socket that has an address and does not listen. Raises `OSError`."""
    made = socket.socket(family, socket.SOCK_STREAM)
    try:
        # As asyncio does it: connections of a former listener may still be in their last state.
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if shared:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if family == socket.AF_INET6:
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        made.bind(address)
        # From now on against us: with it on both sides, Linux gives away a port that nobody listens
        # on.
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 0)
    except OSError:
        made.close()
        raise
    return made
