"""Workloads whose workflows run in a worker of an SDK, through gRPC. An edge module.

Three processes share the machine: the node (or another server, to compare with), the worker, and
the client that makes the load, which is this one. What each of them uses is told apart.
"""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from itertools import count as counting
from typing import Protocol

from benchmarks.measuring import (
    Round,
    Usage,
    closed_loop,
    cpu_seconds,
    measured,
    median_round,
    percentile,
)
from benchmarks.node_process import NodeProcess
from benchmarks.options import Options
from benchmarks.result import Result
from benchmarks.sdk_process import DAPR, DURABLETASK, SdkProcess
from benchmarks.task_hub import TaskHub

_ids = counting()


class Server(Protocol):
    """What serves the task hub, and tells what it has used."""

    async def usage(self) -> Usage: ...


class _OtherServer:
    """A server that is not ours; what it writes is not counted."""

    def __init__(self, process: SdkProcess) -> None:
        self._process = process

    async def usage(self) -> Usage:
        return Usage(await self._process.cpu_seconds(), 0)


@dataclass(frozen=True, slots=True)
class Setting:
    """A server, a worker and a client that know each other."""

    server: Server
    worker: SdkProcess
    hub: TaskHub

    async def run(self, load: Load) -> None:
        await self.check(await self.start(load), load)

    async def start(self, load: Load) -> str:
        instance_id = f"b{next(_ids)}"
        await self.hub.start(load.workflow, instance_id, load.number)
        return instance_id

    async def check(self, instance_id: str, load: Load) -> None:
        """Wait for it, and accept one output only."""
        output = await self.hub.output_of(instance_id)
        if int(output) != load.output:
            raise AssertionError(f"{load.workflow} has come to {output}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """The same workflow over and over."""

    workflow: str
    number: int
    """Its input."""
    output: int
    steps: int
    """Activities in one of them."""
    count: int
    in_flight: int


@dataclass(frozen=True, slots=True)
class Measured:
    """One round, and what the server and the worker have used for each step of it."""

    round: Round
    server_ms: float
    worker_ms: float


@contextlib.asynccontextmanager
async def perdure_with(sdk: str, options: Options, database: str) -> AsyncIterator[Setting]:
    """A node, and a worker of that SDK."""
    program = "dapr_worker" if sdk == DAPR else "durabletask_worker"
    async with (
        NodeProcess(options, database, settings={"grpc_port": 0}) as node,
        SdkProcess(sdk, program, node.grpc_port) as worker,
        TaskHub(node.grpc_port) as hub,
    ):
        yield Setting(node, worker, hub)


@contextlib.asynccontextmanager
async def microsoft_backend() -> AsyncIterator[Setting]:
    """Microsoft's server in memory, with its own SDK's worker."""
    port = _free_port()
    async with (
        SdkProcess(DURABLETASK, "microsoft_backend", port) as server,
        SdkProcess(DURABLETASK, "durabletask_worker", port) as worker,
        TaskHub(port) as hub,
    ):
        yield Setting(_OtherServer(server), worker, hub)


async def measure_round(setting: Setting, load: Load) -> Measured:
    async def one(number: int) -> None:
        await setting.run(load)

    async def used() -> Usage:
        worker = Usage(await setting.worker.cpu_seconds(), 0)
        return await setting.server.usage() + worker + Usage(cpu_seconds(), 0)

    server, worker = await setting.server.usage(), await setting.worker.cpu_seconds()
    found = await measured(used, load.count, closed_loop(one, load.count, load.in_flight))
    steps = load.count * load.steps
    server_ms = ((await setting.server.usage()) - server).cpu_seconds / steps * 1000
    worker_ms = (await setting.worker.cpu_seconds() - worker) / steps * 1000
    return Measured(found, server_ms, worker_ms)


async def steps_of_a_burst(setting: Setting, load: Load) -> float:
    """Steps per second if all are started at once and waited for one after the other.

    Microsoft's server has a thread for each caller and few of them: with many who wait at a time
    it stands still.
    """
    began = time.perf_counter()
    started = [await setting.start(load) for _ in range(load.count)]
    for instance_id in started:
        await setting.check(instance_id, load)
    return load.count * load.steps / (time.perf_counter() - began)


async def measure_remote(workload: str, load: Load, options: Options) -> Result:
    """Rounds with Dapr's worker; then one each of Microsoft's worker here and at its own server."""
    async with perdure_with(DAPR, options, workload) as setting:
        await measure_round(setting, load)
        rounds = [await measure_round(setting, load) for _ in range(options.rounds)]
    compared: dict[str, float] = {}
    for name, opened in (
        ("durabletask_here", perdure_with(DURABLETASK, options, f"{workload}-durabletask")),
        ("durabletask_at_its_own", microsoft_backend()),
    ):
        async with opened as setting:
            await steps_of_a_burst(setting, replace(load, count=load.in_flight))
            compared[name] = await steps_of_a_burst(setting, load)
    median = median_round([each.round for each in rounds])
    of_median = next(each for each in rounds if each.round is median)
    return Result(
        workload=workload,
        unit="steps",
        rates=[each.round.rate * load.steps for each in rounds],
        p50_ms=percentile(median.latencies_ms, 0.5),
        p99_ms=percentile(median.latencies_ms, 0.99),
        load=f"{load.in_flight} in flight, {load.steps} steps each, one worker of dapr 1.19",
        latency_of="start to completion",
        cpu_ms=median.used.cpu_seconds / load.count * 1000,
        transactions=median.used.transactions / load.count,
        figures={
            "server_ms_per_step": of_median.server_ms,
            "worker_ms_per_step": of_median.worker_ms,
            "worker_busy": of_median.worker_ms * median.rate * load.steps / 1000,
            "transactions_per_step": median.used.transactions / load.count / load.steps,
            **compared,
            "to_microsoft": compared["durabletask_here"] / compared["durabletask_at_its_own"],
        },
    )


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port
