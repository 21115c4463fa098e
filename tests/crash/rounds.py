"""A node that is killed while clients use it, and what is checked of it afterwards."""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import sys
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import perdure

APP = Path(__file__).with_name("app.py")


@dataclass
class NodeProcess:
    """`perdure serve`, which can be killed and started again on the same file and port."""

    place: Path
    port: int
    durability: str = "full"
    process: asyncio.subprocess.Process | None = None
    kills: int = 0

    async def start(self) -> None:
        with open(self.place / "node.log", "ab") as log:  # noqa: ASYNC230 (a local file)
            self.process = await asyncio.create_subprocess_exec(
                sys.executable,
                *("-m", "perdure.runtime", "serve", str(APP), "--port", str(self.port)),
                *("--store", str(self.place / "crash.db"), "--durability", self.durability),
                env={**os.environ, "CRASH_JOURNAL": str(self.place / "journal")},
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    async def answers(self) -> None:
        """Wait until the node accepts connections."""
        async with asyncio.timeout(60):
            while True:
                try:
                    _, writer = await asyncio.open_connection("127.0.0.1", self.port)
                except ConnectionRefusedError:
                    await asyncio.sleep(0.02)  # A process cannot be awaited in a better way.
                else:
                    writer.close()
                    return

    async def kill(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGKILL)
        await self.process.wait()
        self.kills += 1

    async def stop(self) -> int:
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        return await self.process.wait()


@dataclass
class Load:
    """What clients asked for, and what each answer must be."""

    rng: random.Random
    expected: dict[str, Any] = field(default_factory=dict)
    progress: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def run(self, client: perdure.WorkflowClient, count: int) -> None:
        """Start `count` workflows of all kinds, a few at a time."""
        limit = asyncio.Semaphore(8)

        async def one(number: int) -> None:
            async with limit:
                await self._start(client, number)

        async with asyncio.TaskGroup() as group:
            for number in range(count):
                group.create_task(one(number))

    async def reached(self, count: int) -> None:
        """Wait until so many starts have been acknowledged."""
        async with self.progress:
            await self.progress.wait_for(lambda: len(self.expected) >= count)

    async def _start(self, client: perdure.WorkflowClient, number: int) -> None:
        kind = ("chain", "fan", "family", "patient", "stubborn", "again")[number % 6]
        instance_id = f"{kind}-{number}"
        value = self.rng.randrange(2, 6)
        argument: Any = [value, 0] if kind == "again" else value
        await client.schedule_new_workflow(kind, input=argument, instance_id=instance_id)
        self.expected[instance_id] = {
            "chain": value * 32,
            "fan": sum(n + 1 for n in range(value)),
            "family": [(value + n) * 32 for n in range(3)],
            "patient": list(range(value)),
            "stubborn": value,
            "again": [0, 2 * value],
        }[kind]
        async with self.progress:
            self.progress.notify_all()
        if kind == "patient":
            for event in range(value):
                await client.raise_workflow_event(instance_id, "news", data=event)


async def check(client: perdure.WorkflowClient, load: Load) -> None:
    """Every acknowledged start has come to the end that it must have, by itself."""
    for instance_id, wanted in load.expected.items():
        state = await client.wait_for_workflow_completion(instance_id, timeout_in_seconds=60)
        assert state is not None, f"{instance_id} is lost"
        assert state.runtime_status.name == "COMPLETED", (instance_id, state)
        assert json.loads(state.serialized_output or "null") == wanted, (instance_id, state)
        await check_history(client, instance_id)


async def check_history(client: perdure.WorkflowClient, instance_id: str) -> None:
    """No task is completed twice, and every event is there exactly once."""
    events = await client.get_workflow_history(instance_id)
    answers = Counter(
        event.details["taskScheduledId"] for event in events if "taskScheduledId" in event.details
    )
    doubled = [task for task, times in answers.items() if times > 1]
    assert not doubled, f"{instance_id}: tasks {doubled} are completed twice"
    assert sum(event.type == "ExecutionCompleted" for event in events) == 1


def repeats(place: Path) -> int:
    """How many activity runs were repeats, that is, of a call that had begun to run before."""
    lines = (place / "journal").read_text().splitlines()
    runs = Counter(line for line in lines if " fails_twice " not in line)
    return sum(times - 1 for times in runs.values())
