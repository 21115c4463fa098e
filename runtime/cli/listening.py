"""Ports of a node: held for several processes; what to say if one is not free. An edge module."""

from __future__ import annotations

import errno
import re
import socket
from contextlib import ExitStack
from types import TracebackType
from typing import Any

from perdure.runtime.cli.exits import ExitCode
from perdure.runtime.config import NodeConfig
from perdure.runtime.rpc.listening import HeldPort, bound


class SharedPort:
    """Holds a port for processes that listen on it by SO_REUSEPORT; it does not listen itself.

    A socket that is bound and does not listen gets no connections, but keeps the port from
    everybody else, also while no process listens. Raises `OSError` if the port is in use.
    """

    def __init__(self, host: str, port: int) -> None:
        with ExitStack() as undo:
            for family, _, _, _, address in _addresses(host, port):
                wanted = (address[0], port, *address[2:])
                if port:
                    # Shared by SO_REUSEPORT, it could be had even if another node listens on it.
                    bound(family, wanted, shared=False).close()
                held = undo.enter_context(bound(family, wanted, shared=True))
                # All addresses of a name under one number, also if that may be any.
                port = held.getsockname()[1]
            self._held = undo.pop_all()
        self.port: int = port

    def __enter__(self) -> SharedPort:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._held.close()


class SharedGrpcPort(SharedPort):
    """The same for gRPC, whose port is also on the other family's loopback."""

    def __init__(self, host: str, port: int) -> None:
        if port:
            HeldPort(host, port).close()
        held = HeldPort(host, port, shared=True)
        self._held = ExitStack()
        self._held.callback(held.close)
        self.port = int(held.addresses[0].rpartition(":")[2])


def _addresses(host: str, port: int) -> list[tuple[Any, ...]]:
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    return list(dict.fromkeys(found))


_ADDRESS = re.compile(r"', (\d+)[,)]")
"""In the error of a server of ours: `… to bind on address ('127.0.0.1', 3500): …`."""


def problem_of_node(error: OSError, config: NodeConfig) -> tuple[str, ExitCode] | None:
    """What to say about the one of a node's ports that the error is about, and the exit code.

    None if it is about something else.
    """
    found = _ADDRESS.search(str(error))
    port = int(found[1]) if found else config.port
    if port and port == config.peer_port:
        in_use = error.errno == errno.EADDRINUSE
        why = "is in use by another process" if in_use else f"cannot be had: {error.strerror}"
        return f"peer_port {port} on {config.peer_host} {why}", ExitCode.FAILED
    if port and port == config.grpc_port:
        return problem_of(error, config.host, port, "--grpc-port")
    return problem_of(error, config.host, config.port)


def problem_of(
    error: OSError, host: str, port: int, flag: str = "--port"
) -> tuple[str, ExitCode] | None:
    """What to say about a port, set by `flag`, that cannot be listened on, and the exit code.

    None if the error is about something else.
    """
    where = f"port {port} on {host}"
    if isinstance(error, socket.gaierror) or error.errno == errno.EADDRNOTAVAIL:
        return f"{host} is not an address of this machine (--host)", ExitCode.USAGE
    if error.errno == errno.EADDRINUSE:
        text = (
            f"{where} is in use by another process; choose another with {flag}, "
            f"or {flag} 0 for any free one"
        )
        return text, ExitCode.FAILED
    if error.errno == errno.EACCES:
        text = f"this user may not listen on {where}; choose a port above 1023 with {flag}"
        return text, ExitCode.FAILED
    return None
