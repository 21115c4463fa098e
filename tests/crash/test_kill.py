"""`kill -9` at random moments of a node under load."""

from __future__ import annotations

import asyncio
import random
import socket
from pathlib import Path

import pytest

import perdure
from perdure.runtime.remote.settings import Patience
from tests.crash.rounds import Load, NodeProcess, check, repeats


def free_port() -> int:
    """A free port that the kernel gives to no outgoing connection while the node is down."""
    while True:
        port = random.SystemRandom().randrange(12_000, 30_000)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port


@pytest.mark.parametrize("seed", [1, 2])
async def test_nothing_is_lost_doubled_or_stuck_when_the_node_is_killed(
    tmp_path: Path, seed: int
) -> None:
    rng = random.Random(seed)
    node = NodeProcess(tmp_path, free_port())
    load = Load(rng)
    await node.start()
    await node.answers()
    async with perdure.WorkflowClient(
        f"http://127.0.0.1:{node.port}", patience=Patience(retry_seconds=60)
    ) as client:
        async with asyncio.TaskGroup() as group:
            group.create_task(load.run(client, 90))
            for _ in range(3):
                # Until some progress is seen, so that a kill never hits an idle node.
                before = len(load.expected)
                await load.reached(before + rng.randrange(5, 20))
                await node.kill()
                await node.start()
        await check(client, load)
        assert len(load.expected) == 90
        assert await node.stop() == 0
    # Only what was running at a kill may have run again.
    assert repeats(tmp_path) <= node.kills * 8 * 6
