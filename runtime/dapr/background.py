"""A node on a thread of its own, for programs that know nothing of asyncio. An owner module.

`RUNNING` is the one piece of global state in perdure. Programs written for Dapr's SDK construct
runtimes and clients independently, each believing in a sidecar at some address; so the address is
all that can bring them together.
"""

from __future__ import annotations

import asyncio
import atexit
import concurrent.futures
import errno
import re
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from typing import Any, TypeVar

from perdure.actors.errors import NodeStopping
from perdure.runtime.config import NodeConfig
from perdure.runtime.dapr.local import LocalClient
from perdure.runtime.node import Node
from perdure.runtime.workflow.registry import Registry

T = TypeVar("T")

# A node has to drain before the interpreter forbids new work in threads, which is before `atexit`.
_at_exit: Callable[[Callable[[], None]], object] = getattr(
    threading, "_register_atexit", atexit.register
)


class BackgroundNode:
    """Works from `start` to `stop`; `submit` may be called from any thread."""

    def __init__(self, registry: Registry, config: NodeConfig) -> None:
        self._registry = registry
        self._config = config
        self._ready: Future[Node] = Future()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._ended: Future[None] | None = None

    def start(self) -> None:
        """Return once the node works. Raises what keeps it from that."""
        thread = ThreadPoolExecutor(1, "perdure-node")
        self._ended = thread.submit(asyncio.run, self._live())
        thread.shutdown(wait=False)
        self._ended.add_done_callback(lambda _: self._ready.cancel())
        _at_exit(self.stop)
        try:
            self._ready.result()
        except concurrent.futures.CancelledError:
            self._explain()

    def _explain(self) -> None:
        """Raise why the node did not start."""
        try:
            self.stop()
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                who, setting = "The HTTP API", "PERDURE_PORT"
                if _is_about(error, self._config.grpc_port):
                    who, setting = "The gRPC API", "PERDURE_GRPC_PORT"
                error.add_note(
                    f"{who} wants this port: set {setting} to another one, or to 0 for "
                    "any free one. Is a node, or Dapr itself, running there?"
                )
            raise

    async def _live(self) -> None:
        self._loop = asyncio.get_running_loop()
        async with Node(self._registry, config=self._config, http=True) as node:
            self._ready.set_result(node)
            await node.run_until_stopped()

    def stop(self) -> None:
        """Drain the node. Raises the error that has ended it, if one has."""
        ended, self._ended = self._ended, None
        if ended is None:
            return
        # The suppressed errors say that it has ended by itself; `ended` tells why.
        with suppress(concurrent.futures.CancelledError, RuntimeError):
            node = self._ready.result()
            assert self._loop is not None
            self._loop.call_soon_threadsafe(node.request_shutdown)
        ended.result()

    @property
    def is_own_thread(self) -> bool:
        """Whether the caller runs on the node's loop, where nothing may wait for the node."""
        try:
            return asyncio.get_running_loop() is self._loop
        except RuntimeError:
            return False

    def submit(self, work: Callable[[LocalClient], Coroutine[Any, Any, T]]) -> Future[T]:
        """Have the node do something. Raises `NodeStopping`."""
        ended = self._ended
        if ended is None or ended.done() or self._loop is None:
            raise NodeStopping("the workflow runtime of this process has stopped")
        client = LocalClient(self._ready.result().service)
        return asyncio.run_coroutine_threadsafe(work(client), self._loop)

    def __repr__(self) -> str:
        return f"<BackgroundNode store={self._config.store}>"


def _is_about(error: OSError, port: int | None) -> bool:
    """Whether a server of ours could not have this port: its text has the address."""
    return bool(port) and re.search(rf"', {port}[,)]", str(error)) is not None


class Running:
    """The nodes that work in this process, by the address that they stand for."""

    def __init__(self) -> None:
        self._nodes: dict[str, BackgroundNode] = {}
        self._lock = threading.Lock()

    def add(self, address: str, node: BackgroundNode) -> None:
        with self._lock:
            if address in self._nodes:
                raise RuntimeError(
                    f"a workflow runtime is running at {address} in this process already: shut it "
                    "down first, or register everything with that one"
                )
            self._nodes[address] = node

    def remove(self, address: str) -> None:
        with self._lock:
            self._nodes.pop(address, None)

    def at(self, address: str) -> BackgroundNode | None:
        return self._nodes.get(address)

    def __repr__(self) -> str:
        return f"<Running {sorted(self._nodes)}>"


RUNNING = Running()
