"""Several nodes on one database, each in a process of its own. An edge module.

What stands below `Cluster` runs in those processes, asked for by name.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from types import TracebackType
from typing import Any

from benchmarks.measuring import Round, Usage, closed_loop, median_round, percentile
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


@dataclass(frozen=True, slots=True)
class Measured:
    """What a cluster of one size has done: all rounds, and the traffic of each."""

    rounds: list[Round]
    traffic: list[Traffic]

    @property
    def median(self) -> Round:
        return median_round(self.rounds)

    def figures(self, size: int) -> dict[str, float]:
        """Those of the median round, named after the number of nodes.

        `forwarded_share` is the part of the requests, one for each workflow, that came to a node
        which had to ask another one.
        """
        median = self.median
        traffic = self.traffic[self.rounds.index(median)]
        figures = {
            "rate": median.rate,
            "p50_ms": percentile(median.latencies_ms, 0.5),
            "p99_ms": percentile(median.latencies_ms, 0.99),
            "cpu_ms": median.used.cpu_seconds / median.count * 1000,
            "transactions": median.used.transactions / median.count,
            "forwarded_share": traffic.calls_forwarded / median.count,
            "peer_messages_rate": traffic.messages / median.seconds,
        }
        return {f"nodes_{size}_{name}": value for name, value in figures.items()}


class Cluster:
    """Owns its node processes from enter to exit; entered once the slots are spread evenly."""

    def __init__(
        self,
        options: Options,
        database: str,
        size: int,
        *,
        http: bool = False,
        settings: Mapping[str, Any] | None = None,
    ) -> None:
        self.nodes = [
            NodeProcess(
                options,
                f"{database}-{size}",
                http=http,
                node_id=f"node-{number}",
                settings=settings,
            )
            for number in range(size)
        ]
        self._open = AsyncExitStack()

    async def __aenter__(self) -> Cluster:
        async with AsyncExitStack() as undo:
            for node in self.nodes:
                await undo.enter_async_context(node)
            await self.become_balanced()
            self._open = undo.pop_all()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._open.__aexit__(kind, error, trace)

    async def become_balanced(self) -> None:
        """Wait until every node knows all others and has its even share of the slots."""
        await self.ask_all(f"{__name__}.become_balanced", nodes=len(self.nodes))

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
