"""`python -m benchmarks.peer_link`: how fast two nodes in two processes talk. An edge module.

Prints request/reply messages per second with many calls in flight, and the latency of one call at
a time. The other process answers each request with the same bytes.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib.util
import logging
import sys
import time

from benchmarks.measuring import cpu_seconds, percentile
from perdure.placement.membership import NodeIdentity, NodeRecord, NodeState
from perdure.placement.ports import Answer
from perdure.runtime.api.peers.links import PeerConfig, PeerLinks

SECRET = "of the benchmark"
ANSWER_SECONDS = 10.0


def main() -> None:
    arguments = _arguments()
    logging.basicConfig(level=logging.WARNING)
    factory = None
    if not arguments.no_uvloop and importlib.util.find_spec("uvloop"):
        import uvloop

        factory = uvloop.new_event_loop
    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(_echo(arguments.echo) if arguments.echo else _measure(arguments))


async def _measure(arguments: argparse.Namespace) -> None:
    async with PeerLinks(PeerConfig(), _give_back, logging.getLogger("asker")) as links:
        own = _record("asker", links.address, 1)
        links.admit("asker", own.identity.incarnation, SECRET)
        echo = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-m", "benchmarks.peer_link", "--echo", links.address),
            *(["--no-uvloop"] if arguments.no_uvloop else []),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        assert echo.stdin is not None
        assert echo.stdout is not None
        try:
            peer = _record("echo", (await echo.stdout.readline()).decode().strip(), 2)
            links.adopt([own, peer])
            await _report(links, peer, arguments)
        finally:
            echo.stdin.close()
            await echo.wait()


async def _report(links: PeerLinks, peer: NodeRecord, arguments: argparse.Namespace) -> None:
    body = b"x" * arguments.bytes
    await _calls(links, peer, body, arguments.count // 10, arguments.in_flight)
    before, began, used = links.statistics(), time.perf_counter(), cpu_seconds()
    await _calls(links, peer, body, arguments.count, arguments.in_flight)
    seconds, used, after = time.perf_counter() - began, cpu_seconds() - used, links.statistics()
    batches = after.batches_sent - before.batches_sent
    print(
        f"{arguments.count / seconds:,.0f} request/reply messages/s of {len(body)} bytes, "
        f"{arguments.in_flight} in flight, {arguments.count / batches:.0f} in a batch, "
        f"{used / arguments.count * 1e6:.1f} us of CPU at the asker"
    )
    alone = await _calls(links, peer, body, arguments.singles, 1)
    median, slow = percentile(alone, 0.5), percentile(alone, 0.99)
    print(f"one at a time: p50 {median:.3f} ms, p99 {slow:.3f} ms")


async def _calls(
    links: PeerLinks, peer: NodeRecord, body: bytes, count: int, in_flight: int
) -> list[float]:
    """Milliseconds of each call."""
    left = iter(range(count))
    latencies: list[float] = []

    async def caller() -> None:
        for _ in left:
            began = time.perf_counter()
            await links.call(peer, body, ANSWER_SECONDS)
            latencies.append((time.perf_counter() - began) * 1000)

    async with asyncio.TaskGroup() as group:
        for _ in range(in_flight):
            group.create_task(caller())
    return latencies


async def _echo(asker: str) -> None:
    """The other process, until its input ends."""
    async with PeerLinks(PeerConfig(), _give_back, logging.getLogger("echo")) as links:
        own = _record("echo", links.address, 2)
        links.admit("echo", own.identity.incarnation, SECRET)
        links.adopt([own, _record("asker", asker, 1)])
        print(links.address, flush=True)
        ended = asyncio.StreamReader()
        await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(ended), sys.stdin
        )
        await ended.read()


def _give_back(request: bytes, answer: Answer | None) -> None:
    assert answer is not None
    answer(request)


def _record(node_id: str, peer_address: str, generation: int) -> NodeRecord:
    identity = NodeIdentity(
        node_id=node_id,
        incarnation=f"{node_id}-1",
        app_id="benchmark",
        address="",
        pid=0,
        started=0,
        boot_id="",
        peer_address=peer_address,
    )
    return NodeRecord(identity=identity, generation=generation, heartbeat=0, state=NodeState.UP)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.peer_link", description=__doc__)
    parser.add_argument("--count", type=int, default=200_000, help="calls  [%(default)s]")
    parser.add_argument("--in-flight", type=int, default=200, help="at a time  [%(default)s]")
    parser.add_argument("--bytes", type=int, default=200, help="of each body  [%(default)s]")
    parser.add_argument("--singles", type=int, default=3_000, help="one by one  [%(default)s]")
    parser.add_argument("--no-uvloop", action="store_true")
    parser.add_argument("--echo", metavar="ADDRESS", help=argparse.SUPPRESS)
    return parser.parse_args()


if __name__ == "__main__":
    main()
