"""Nodes that stand still for longer than their lease, and then go on as if nothing had been.

Others have taken over meanwhile. Such a node writes nothing any more, throws away all that it had
in memory, joins again under a new generation, and serves; its process does not end. That clocks
which are set decide nothing is shown by the simulator, whose fault "clock" sets them back and
forward (`tests/simulation/scenario.py`).
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import signal
import sqlite3
import threading
from collections.abc import AsyncIterator, Coroutine, Iterator
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass, field
from pathlib import Path
from textwrap import dedent
from typing import Any

import aiohttp
import pytest

import perdure
from perdure.placement.membership import Membership
from perdure.runtime.client import WorkflowClient
from perdure.runtime.config import NodeConfig
from perdure.runtime.node import App, Node
from perdure.runtime.workflow.errors import InstanceNotFound
from tests.cluster.nodes import LEASE, SETTINGS, Nodes, in_time, output, recorded, until
from tests.e2e.conftest import Perdure, Served

ZOMBIE = "zombie"


class Ledger:
    """Who wrote what, noted by the database itself: no node knows of it.

    Every transaction of a member begins with its heartbeat, so a turn is written by the node whose
    heartbeat stands before it. What was rolled back is not noted.
    """

    _TRIGGERS = """
        CREATE TABLE noted
            (n INTEGER PRIMARY KEY, what TEXT, who TEXT, generation INTEGER, id TEXT);
        CREATE TRIGGER note_beat AFTER UPDATE OF heartbeat ON nodes BEGIN
            INSERT INTO noted (what, who, generation)
            VALUES ('beat', NEW.node_id, NEW.generation);
        END;
        CREATE TRIGGER note_death AFTER UPDATE OF state ON nodes WHEN NEW.state = 'dead' BEGIN
            INSERT INTO noted (what, who, generation)
            VALUES ('death', NEW.node_id, NEW.generation);
        END;
        CREATE TRIGGER note_turn AFTER INSERT ON history BEGIN
            INSERT INTO noted (what, id)
            SELECT 'turn', instance_id FROM workflows WHERE key = NEW.key;
        END;
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        with closing(sqlite3.connect(path, timeout=30)) as connection:
            connection.executescript(self._TRIGGERS)

    def _notes(self) -> list[tuple[str, str, int, str]]:
        with closing(sqlite3.connect(self._path, timeout=30)) as connection:
            return connection.execute(
                "SELECT what, who, generation, id FROM noted ORDER BY n"
            ).fetchall()

    def writers(self, instance_id: str) -> list[Membership]:
        """Who wrote each turn of an instance, in their order."""
        found, beat = [], Membership("nobody", 0)
        for what, who, generation, id_ in self._notes():
            if what == "beat":
                beat = Membership(who, generation)
            elif what == "turn" and id_ == instance_id:
                found.append(beat)
        return found

    def wrote_after_its_death(self, who: Membership) -> bool:
        """Whether a stay of a node has written anything after it was declared dead."""
        notes = [(what, Membership(name, number)) for what, name, number, _ in self._notes()]
        return ("beat", who) in notes[notes.index(("death", who)) :]


# ---- what the other node sees of it


def stay(witness: Node) -> Membership | None:
    """The zombie's present stay in the cluster."""
    present = witness.engine.router.view.present()
    return next((node.membership for node in present if node.node_id == ZOMBIE), None)


def id_at_zombie(witness: Node, prefix: str) -> str:
    """An instance id in a slot of the zombie's."""
    owner_of = witness.engine.router.owner_of
    ids = (f"{prefix}{number}" for number in range(10_000))
    return next(id_ for id_ in ids if getattr(owner_of(id_), "node_id", "") == ZOMBIE)


def slots_of_zombie(witness: Node) -> int:
    """How many slots are the zombie's by the view of the other node."""
    table, found = witness.engine.router.view.table("default"), stay(witness)
    return 0 if table is None or found is None else len(table.owned_by(*found))


async def has_its_share(witness: Node) -> Membership:
    """The zombie's stay, once it is a member and owns half of the slots."""
    half = SETTINGS["slots"] // 2
    await until(lambda: slots_of_zombie(witness) == half, "it owns half of the slots")
    found = stay(witness)
    assert found is not None
    return found


async def is_taken_over(witness: Node) -> None:
    router = witness.engine.router
    await until(
        lambda: stay(witness) is None and len(router.owned_slots) == SETTINGS["slots"],
        "the other node has taken over",
    )


async def completions_of(node: Node, instance_id: str) -> int:
    """How many results of activities stand in a history."""
    _, turns = await node.service.history(instance_id)
    events = [event for turn in turns for event in turn.incoming]
    return sum(type(event).__name__ == "TaskCompleted" for event in events)


# ---- a process that is stopped

APP = """
import asyncio
import os
import perdure

@perdure.activity
async def dawdle(ctx, _):
    print("dawdling", flush=True)
    while not os.path.exists("enough"):
        await asyncio.sleep(0.01)
    return "zombie"

@perdure.workflow
async def lazy(ctx, _):
    return await ctx.call_activity(dawdle, input=1)

@perdure.workflow
async def patient(ctx, _):
    return await ctx.wait_for_external_event("go")
"""


def witness_app() -> App:
    """The same on the other node, where nothing takes long."""

    @perdure.activity
    async def dawdle(ctx: perdure.ActivityContext, _: Any) -> str:
        return "witness"

    @perdure.workflow
    async def lazy(ctx: perdure.WorkflowContext, _: Any) -> Any:
        return await ctx.call_activity(dawdle, input=1)

    @perdure.workflow
    async def patient(ctx: perdure.WorkflowContext, _: Any) -> Any:
        return await ctx.wait_for_external_event("go")

    return [dawdle, lazy, patient]


@pytest.fixture
def command(tmp_path: Path) -> Iterator[Perdure]:
    command = Perdure(tmp_path)
    command.environment["PERDURE_LEASE_SECONDS"] = str(LEASE)
    (tmp_path / "app.py").write_text(dedent(APP))
    yield command
    for served in command.served:
        served.process.kill()
        served.process.communicate()


async def served_as_zombie(command: Perdure, nodes: Nodes) -> Served:
    store = ("--store", str(nodes.path), "--node-id", ZOMBIE)
    return await asyncio.to_thread(command.serve, "app.py", *store)


def freeze(served: Served, store: Path) -> None:
    """SIGSTOP, at a moment at which the process holds no lock: it would stop everybody then."""
    lock = os.open(f"{store}.lock", os.O_RDWR)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        served.signal(signal.SIGSTOP)
        os.waitid(os.P_PID, served.process.pid, os.WSTOPPED | os.WNOWAIT)
    finally:
        os.close(lock)


async def posted(session: aiohttp.ClientSession, url: str, body: Any) -> int:
    """The status that a client is answered with which tries once."""
    async with session.post(url, json=body) as response:
        await response.read()
        return response.status


async def awaited(session: aiohttp.ClientSession, url: str) -> str:
    """The output that a client is told of which waits for the end."""
    async with session.get(url) as response:
        properties: dict[str, str] = (await response.json())["properties"]
        return properties["dapr.workflow.output"]


async def test_a_process_that_was_stopped_writes_nothing_and_joins_again(
    command: Perdure, nodes: Nodes
) -> None:
    witness = await nodes.start(witness_app())
    ledger = Ledger(nodes.path)
    zombie = await served_as_zombie(command, nodes)
    before = await has_its_share(witness)
    lazy, told, new = (id_at_zombie(witness, name) for name in ("lazy", "told", "new"))
    await witness.service.start("lazy", "1", instance_id=lazy)
    await witness.service.start("patient", "1", instance_id=told)
    assert await asyncio.to_thread(zombie.printed) == "dawdling"

    base = f"{zombie.url}/v1.0/workflows/dapr"
    async with aiohttp.ClientSession() as session, asyncio.TaskGroup() as group:
        waiting = group.create_task(awaited(session, f"{base}/{lazy}?wait=completed&timeout=30"))
        await asyncio.to_thread(freeze, zombie, nodes.path)
        # They lie before it when it wakes up, and it does not know yet what has happened.
        urls = [f"{base}/patient/start?instanceID={new}", f"{base}/{told}/raiseEvent/go"]
        asked = [group.create_task(posted(session, url, "said")) for url in urls]
        await is_taken_over(witness)
        assert await output(witness, lazy) == '"witness"'
        with pytest.raises(InstanceNotFound):
            await witness.service.get(new)
        assert not any(task.done() for task in (waiting, *asked))
        (command.place / "enough").touch()
        zombie.signal(signal.SIGCONT)
        assert [await in_time(task) for task in asked] == [202, 202]
        assert await in_time(waiting) == '"witness"'
    assert await output(witness, told) == '"said"'
    await witness.service.raise_event(new, "go", '"on"')
    assert await output(witness, new) == '"on"'

    after = await has_its_share(witness)
    assert after.generation > before.generation
    assert not ledger.wrote_after_its_death(before)
    assert ledger.writers(lazy)[0] == before
    assert before not in [*ledger.writers(lazy)[1:], *ledger.writers(told)[1:]]
    assert before not in ledger.writers(new)
    assert (await completions_of(witness, lazy), await output(witness, lazy)) == (1, '"witness"')

    own = id_at_zombie(witness, "own")
    async with WorkflowClient(zombie.url) as client:
        await client.schedule_new_workflow("lazy", input=1, instance_id=own)
        assert (await client.wait_for_workflow_completion(own)).result() == "zombie"
    assert after in ledger.writers(own)
    assert zombie.process.poll() is None


# ---- a loop that is blocked


@dataclass
class Block:
    """Where code of the zombie's blocks its loop, the first time that it comes here."""

    reached: threading.Event = field(default_factory=threading.Event)
    go_on: threading.Event = field(default_factory=threading.Event)

    def here(self) -> None:
        self.reached.set()
        assert self.go_on.wait(30)


class Apart:
    """A node on a loop and a thread of its own, so that it may be blocked without the others."""

    node: Node
    _loop: asyncio.AbstractEventLoop

    def __init__(self, path: Path, app: App) -> None:
        self._config = NodeConfig(store=path, node_id=ZOMBIE, **SETTINGS)
        self._app = app
        self.is_ready = threading.Event()
        self.thread = threading.Thread(target=lambda: asyncio.run(self._live()))

    async def _live(self) -> None:
        self._loop = asyncio.get_running_loop()
        async with Node(self._app, config=self._config) as self.node:
            self.is_ready.set()
            await self.node.run_until_stopped()

    def begin(self, coroutine: Coroutine[Any, Any, Any]) -> asyncio.Future[Any]:
        """Run something of the node's on its loop."""
        return asyncio.wrap_future(asyncio.run_coroutine_threadsafe(coroutine, self._loop))

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self.node.request_shutdown)


@asynccontextmanager
async def apart(nodes: Nodes, app: App, block: Block) -> AsyncIterator[Apart]:
    zombie = Apart(nodes.path, app)
    zombie.thread.start()
    try:
        await until(zombie.is_ready.is_set, "the node that will be blocked has started")
        yield zombie
    finally:
        block.go_on.set()
        zombie.stop()
        await in_time(asyncio.to_thread(zombie.thread.join))


def blocking_app(block: Block | None) -> App:
    """Blocks in a turn, or in an activity; the app without a block says "witness"."""

    def name() -> str:
        if block is not None:
            block.here()
        return ZOMBIE if block is not None else "witness"

    @perdure.activity
    async def hog(ctx: perdure.ActivityContext, _: Any) -> str:
        return name()

    @perdure.workflow
    async def busy(ctx: perdure.WorkflowContext, _: Any) -> str:
        return name()

    @perdure.workflow
    async def calls(ctx: perdure.WorkflowContext, _: Any) -> Any:
        return await ctx.call_activity(hog, input=1)

    return [hog, busy, calls]


async def test_a_loop_that_a_turn_has_blocked_commits_and_answers_nothing_of_it(
    nodes: Nodes,
) -> None:
    block = Block()
    witness = await nodes.start(blocking_app(None))
    ledger = Ledger(nodes.path)
    with recorded() as records:
        async with apart(nodes, blocking_app(block), block) as zombie:
            before = await has_its_share(witness)
            id_ = id_at_zombie(witness, "o")
            started = zombie.begin(zombie.node.service.start("busy", "1", instance_id=id_))
            await until(block.reached.is_set, "the turn is under way")
            await is_taken_over(witness)
            with pytest.raises(InstanceNotFound):
                await witness.service.get(id_)
            assert not started.done()
            block.go_on.set()
            assert await in_time(started) == id_
            # An answer means that it is there.
            await witness.service.get(id_)
            await output(witness, id_)
            after = await has_its_share(witness)
            assert after.generation > before.generation
            assert not ledger.wrote_after_its_death(before)
            assert before not in ledger.writers(id_)
            own = id_at_zombie(witness, "own")
            await in_time(zombie.begin(zombie.node.service.start("busy", "1", instance_id=own)))
            assert await output(witness, own) == '"zombie"'
    assert len(records.of("node_fenced")) == 1


async def test_a_loop_that_an_activity_has_blocked_keeps_its_result_to_itself(
    nodes: Nodes,
) -> None:
    block = Block()
    witness = await nodes.start(blocking_app(None))
    ledger = Ledger(nodes.path)
    async with apart(nodes, blocking_app(block), block) as zombie:
        before = await has_its_share(witness)
        id_ = id_at_zombie(witness, "o")
        await witness.service.start("calls", "1", instance_id=id_)
        await until(block.reached.is_set, "the activity runs")
        await is_taken_over(witness)
        assert await output(witness, id_) == '"witness"'
        block.go_on.set()
        after = await has_its_share(witness)
        assert after.generation > before.generation
        assert not ledger.wrote_after_its_death(before)
        assert (await completions_of(witness, id_), await output(witness, id_)) == (1, '"witness"')
        own = id_at_zombie(witness, "own")
        await witness.service.start("calls", "1", instance_id=own)
        assert await output(witness, own) == '"zombie"'
        assert zombie.thread.is_alive()
