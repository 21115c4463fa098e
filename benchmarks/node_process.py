"""A node in a process of its own, and what the process that started it can ask of it. An edge.

Run as a program it opens a node, says so on its standard output, and then answers questions: one
line of JSON each, a function of the benchmarks and its arguments. At the end of its input it
drains. Everybody else uses `NodeProcess`.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import json
import logging
import signal
import sys
import time
from collections.abc import Mapping
from dataclasses import replace
from types import TracebackType
from typing import Any

from benchmarks import app
from benchmarks.measuring import Usage, resident_bytes, usage_of
from benchmarks.options import Options, decoded, loop_factory
from perdure import Node
from perdure.runtime import garbage
from perdure.runtime.workflow.history import Status
from perdure.runtime.workflow.records import ListQuery

_LINE_BYTES_MAX = 64 << 20


class NodeProcess:
    """Owns the process from enter to exit; leaving it lets the node drain.

    `settings` are those of `NodeConfig` that are not as `options` would have them.
    """

    def __init__(
        self,
        options: Options,
        database: str,
        *,
        http: bool = False,
        node_id: str = "",
        settings: Mapping[str, Any] | None = None,
    ) -> None:
        self._arguments = (
            *(options.encoded(), database, "http" if http else "no-http", node_id),
            json.dumps(dict(settings or {})),
        )
        self._process: asyncio.subprocess.Process | None = None
        self.url = ""
        self.grpc_port = 0
        self.asked_at = 0.0
        """When the process was started, on the clock that all processes share."""
        self.start_seconds = 0.0
        """From then until the node was ready."""

    async def __aenter__(self) -> NodeProcess:
        self.asked_at = time.perf_counter()
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            __name__,
            *self._arguments,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            limit=_LINE_BYTES_MAX,
        )
        ready = await self._line()
        self.url = ready["url"] or ""
        self.grpc_port = int((ready["grpc"] or ":0").rpartition(":")[2])
        self.start_seconds = ready["at"] - self.asked_at
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        process = self._process
        assert process is not None
        assert process.stdin is not None
        if process.returncode is None:
            if error is None:
                process.stdin.close()
            else:
                process.kill()
            await process.wait()

    async def ask(self, function: str, **arguments: Any) -> Any:
        """Call `module.function(node, **arguments)` there; what it returns must be JSON."""
        process = self._process
        assert process is not None
        assert process.stdin is not None
        question = json.dumps([function, arguments])
        process.stdin.write(f"{question}\n".encode())
        return (await self._line())["answer"]

    @property
    def lives(self) -> bool:
        return self._process is not None and self._process.returncode is None

    async def usage(self) -> Usage:
        return Usage(*await self.ask(f"{__name__}.report_usage"))

    async def resident_bytes(self) -> int:
        found: int = await self.ask(f"{__name__}.report_memory")
        return found

    async def kill(self) -> None:
        """End it as `kill -9` does."""
        assert self._process is not None
        self._process.kill()
        await self._process.wait()

    def freeze(self) -> None:
        """Have it stand still, alive and silent, until `thaw`."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    async def _line(self) -> Any:
        assert self._process is not None
        assert self._process.stdout is not None
        line = await self._process.stdout.readline()
        if not line:
            raise RuntimeError("the node's process has ended; what it said stands above")
        return json.loads(line)


async def report_usage(node: Node) -> tuple[float, int]:
    used = usage_of(node)
    return used.cpu_seconds, used.transactions


async def report_memory(node: Node) -> int:
    return resident_bytes()


async def all_completed(node: Node, count: int) -> None:
    """Wait until `count` instances are completed; no other outcome is accepted."""
    while True:
        counts = await node.service.counts(ListQuery(limit=1))
        if counts.get(Status.COMPLETED, 0) >= count:
            return
        if set(counts) - {Status.COMPLETED, Status.RUNNING, Status.PENDING}:
            raise AssertionError(f"instances have come to {counts}")
        await asyncio.sleep(0.1)


def _say(**fields: Any) -> None:
    """A line of JSON; the other side reads them one at a time."""
    sys.stdout.write(json.dumps(fields) + "\n")
    sys.stdout.flush()


async def _serve(
    options: Options, database: str, http: bool, node_id: str, settings: Mapping[str, Any]
) -> None:
    loop = asyncio.get_running_loop()
    questions = asyncio.StreamReader(limit=_LINE_BYTES_MAX)
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(questions), sys.stdin)
    config = replace(options.config(database), node_id=node_id or None, **settings)
    async with Node(app, config=config, http=http) as node:
        if options.settle:
            garbage.settle()
        _say(url=node.url, grpc=node.grpc_address, at=time.perf_counter())
        while line := await questions.readline():
            path, arguments = json.loads(line)
            module, _, name = path.rpartition(".")
            function = getattr(importlib.import_module(module), name)
            _say(answer=await function(node, **arguments))


def main() -> None:
    text, database, http, node_id, settings = sys.argv[1:]
    options = decoded(text)
    logging.basicConfig(level=logging.ERROR)
    with (
        contextlib.suppress(KeyboardInterrupt),
        asyncio.Runner(loop_factory=loop_factory(options)) as runner,
    ):
        runner.run(_serve(options, database, http == "http", node_id, json.loads(settings)))


if __name__ == "__main__":
    main()
