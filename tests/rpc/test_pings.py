"""Signs of life on a stream without work: to whom, in which form, and no heap of them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from perdure.runtime.environment import SystemEnv
from perdure.runtime.rpc import taskhub_pb2 as pb
from perdure.runtime.rpc.worker_methods import WorkerConfig, WorkerMethods
from perdure.runtime.workflow.messages import RunActivity
from perdure.runtime.workflow.workers.capacity import Capacity
from perdure.runtime.workflow.workers.pool import WorkerPool
from perdure.runtime.workflow.workers.stream import WorkerStream
from tests.rpc.frames import field
from tests.rpc.serving import Hub, serving
from tests.rpc.wire_worker import HELLO

PATIENCE = 15.0


@asynccontextmanager
async def pinging() -> AsyncIterator[tuple[Hub, WorkerPool]]:
    """A server that pings without a pause."""
    pool = WorkerPool(SystemEnv())
    config = WorkerConfig(ping_seconds=0.001)
    table = WorkerMethods(pool, SystemEnv(), config).table()
    async with asyncio.timeout(PATIENCE), serving(table) as hub:
        yield hub, pool


@pytest.mark.parametrize(
    ("hello", "ping"),
    [("dapr with a memory", 6), ("neutral", 4), ("microsoft", 4)],
)
async def test_an_idle_stream_is_pinged_in_the_form_of_its_worker(hello: str, ping: int) -> None:
    async with pinging() as (hub, _):
        stream = hub.client.stream("GetWorkItems", HELLO[hello].SerializeToString())
        for _ in range(3):
            assert await stream.read() == field(ping, b"")
        stream.cancel()


async def test_a_worker_that_does_not_know_pings_gets_none() -> None:
    async with pinging() as (hub, pool):
        stream = hub.client.stream("GetWorkItems", HELLO["dapr"].SerializeToString())
        while not pool.streams:
            await hub.client.raw("Hello")
        for _ in range(20):  # Longer than the pause between pings.
            await hub.client.raw("Hello")
        pool.offer_activity(RunActivity("o", 1, 1, 1, "pay", None, "e"), lambda outcome: None)
        assert pb.WorkItem.FromString(await stream.read()).HasField("activityRequest")
        stream.cancel()


async def test_a_worker_that_does_not_read_is_kept_one_ping_and_what_it_is_to_do() -> None:
    pool = WorkerPool(SystemEnv())
    stream: WorkerStream = pool.connect(Capacity(), "slow")
    for _ in range(3):
        stream.put_ping()
    item = pool.offer_activity(RunActivity("o", 1, 1, 1, "pay", None, "e"), lambda outcome: None)
    stream.put_ping()
    assert [await stream.next_or_ping() for _ in range(2)] == [None, item]
    stream.put_ping()
    assert await stream.next_or_ping() is None
