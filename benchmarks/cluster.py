"""Several nodes on one database, each in a process of its own. An edge module.

What stands below `Cluster` runs in those processes, asked for by name.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from types import TracebackType
from typing import Any

from benchmarks.measuring import Usage, closed_loop
from benchmarks.node_process import NodeProcess
from benchmarks.options import Options
from perdure import Node

_LOOK_SECONDS = 0.02
_BALANCE_SECONDS_MAX = 60.0


@dataclass(frozen=True, slots=True)
class Traffic:
    """What the nodes have told each other so far."""

    calls_local: int
    calls_forwarded: int
    messages: int
    batches: int

    def __sub__(self, other: Traffic) -> Traffic:
        return Traffic(
            self.calls_local - other.calls_local,
            self.calls_forwarded - other.calls_forwarded,
            self.messages - other.messages,
            self.batches - other.batches,
        )

    @property
    def forwarded_share(self) -> float:
        """Of the calls to actors that were made, the part that went to another node."""
        return self.calls_forwarded / max(self.calls_local + self.calls_forwarded, 1)


class Cluster:
    """Owns its node processes from enter to exit; entered once the slots are spread evenly."""

    def __init__(self, options: Options, database: str, size: int, *, http: bool = False) -> None:
        self.nodes = [
            NodeProcess(options, f"{database}-{size}", http=http, node_id=f"node-{number}")
            for number in range(size)
        ]
        self._open = AsyncExitStack()

    async def __aenter__(self) -> Cluster:
        async with AsyncExitStack() as undo:
            for node in self.nodes:
                await undo.enter_async_context(node)
            await self.ask_all(f"{__name__}.become_balanced", nodes=len(self.nodes))
            self._open = undo.pop_all()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._open.__aexit__(kind, error, trace)

    async def ask_all(self, function: str, **arguments: Any) -> list[Any]:
        """Ask all nodes the same at the same time."""
        return await asyncio.gather(*[node.ask(function, **arguments) for node in self.nodes])

    async def usage(self) -> Usage:
        """That of all nodes together."""
        return sum([await node.usage() for node in self.nodes], Usage(0.0, 0))

    async def traffic(self) -> Traffic:
        told = [Traffic(*each) for each in await self.ask_all(f"{__name__}.report_traffic")]
        return Traffic(
            sum(each.calls_local for each in told),
            sum(each.calls_forwarded for each in told),
            sum(each.messages for each in told),
            sum(each.batches for each in told),
        )


# ---- in the process of a node


async def become_balanced(node: Node, nodes: int) -> None:
    """Wait until this node knows all others and has its even share of the slots."""
    slots = node.config.slots
    async with asyncio.timeout(_BALANCE_SECONDS_MAX):
        while True:
            router = node.engine.router
            shares = (slots // nodes, -(-slots // nodes))
            if len(router.view.present()) == nodes and len(router.owned_slots) in shares:
                return
            await asyncio.sleep(_LOOK_SECONDS)


async def report_traffic(node: Node) -> Sequence[int]:
    router, told = node.engine.router, node.peer_statistics
    assert told is not None
    return (router.calls_local, router.calls_forwarded, told.messages_sent, told.batches_sent)


async def drive(node: Node, workflow: str, input: str, count: int, in_flight: int) -> Any:
    """A closed loop of workflows that this node starts itself, under ids of its own slots.

    When it began and ended, on the clock that all processes share, and how many ms each took.
    """
    service = node.service

    async def run(number: int) -> None:
        view = await service.run(workflow, input)
        if view.row.output != input:
            raise AssertionError(f"{workflow} came to {view.row}")

    began = time.perf_counter()
    latencies = await closed_loop(run, count, in_flight)
    return {"began": began, "ended": time.perf_counter(), "latencies_ms": latencies}
