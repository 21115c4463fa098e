"""What a node does when the disk is full, when code misbehaves, and when data is damaged."""

from __future__ import annotations

import json
import resource
import signal
import sqlite3
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from email.message import Message
from pathlib import Path
from textwrap import dedent

import pytest

from perdure import SyncWorkflowClient
from tests.e2e.conftest import Perdure as Command

APP = """
import asyncio, os, time
import perdure

@perdure.activity
async def echo(ctx, value=None):
    return value

@perdure.activity
async def sleeps_for_ever(ctx, _=None):
    print("asleep", flush=True)
    await asyncio.sleep(3600)

@perdure.activity
def hangs_for_ever(ctx, _=None):
    print("hanging", flush=True)
    while True:
        time.sleep(3600)

@perdure.workflow
async def echoes(ctx, value=None):
    return await ctx.call_activity(echo, input=value)

@perdure.workflow
async def sleeper(ctx, _=None):
    return await ctx.call_activity(sleeps_for_ever)

@perdure.workflow
async def hanger(ctx, _=None):
    return await ctx.call_activity(hangs_for_ever)

@perdure.workflow
async def waits(ctx, _=None):
    return await ctx.wait_for_external_event("go")

@perdure.workflow
async def blocks(ctx, _=None):
    time.sleep(3)
    return "at last"

@perdure.workflow
async def deadly(ctx, _=None):
    await ctx.call_activity(echo)
    os._exit(9)

@perdure.workflow
async def deadly_later(ctx, _=None):
    await asyncio.sleep(0.01)
    os._exit(9)
"""


ClientOf = Callable[[str], SyncWorkflowClient]


@pytest.fixture
def client_of() -> Iterator[ClientOf]:
    """Clients that are closed at the end of the test."""
    with ExitStack() as opened:
        yield lambda url: opened.enter_context(SyncWorkflowClient(url))


@dataclass(frozen=True)
class Answer:
    status: int
    headers: Message
    body: str


def post(url: str, path: str, body: str) -> Answer:
    request = urllib.request.Request(f"{url}/v1.0/workflows/dapr/{path}", body.encode())
    try:
        with urllib.request.urlopen(request) as answer:
            return Answer(answer.status, answer.headers, answer.read().decode())
    except urllib.error.HTTPError as refusal:
        with refusal:
            return Answer(refusal.code, refusal.headers, refusal.read().decode())


def stalled_or_dead(url: str, instance_id: str) -> str | None:
    """Why an instance is stalled, once it is; None if the node dies before."""
    while True:
        try:
            with urllib.request.urlopen(f"{url}/v1.0/workflows/dapr/{instance_id}") as answer:
                properties = json.loads(answer.read()).get("properties", {})
        except OSError:
            return None
        if "perdure.stalled.reason" in properties:
            return str(properties["perdure.stalled.reason"])


@pytest.fixture
def app(perdure: Command) -> Path:
    path = perdure.place / "app.py"
    path.write_text(dedent(APP))
    return path


def test_a_full_disk_refuses_with_503_and_the_node_recovers_by_itself(
    perdure: Command, app: Path, client_of: ClientOf
) -> None:
    served = perdure.serve("app.py")
    client = client_of(served.url)
    client.schedule_new_workflow("waits", instance_id="before")
    pid = served.process.pid
    # What counts is that a write fails; a limit on the file's size does that without a real disk.
    size = (perdure.place / "perdure.db-wal").stat().st_size
    unlimited = resource.prlimit(pid, resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))
    answer = post(served.url, "echoes/start?instanceID=refused", "x" * 100_000)
    assert answer.status == 503
    assert answer.headers["Retry-After"]
    assert json.loads(answer.body)["errorCode"] == "ERR_START_WORKFLOW"
    state = client.get_workflow_state("before")  # Reads go on.
    assert state is not None
    assert state.runtime_status.name == "RUNNING"
    resource.prlimit(pid, resource.RLIMIT_FSIZE, unlimited)
    # The client retries for as long as it is told to come again later.
    client.schedule_new_workflow("echoes", input=1, instance_id="after")
    done = client.wait_for_workflow_completion("after", timeout_in_seconds=30)
    assert done.serialized_output == "1"
    assert client.get_workflow_state("refused") is None
    client.raise_workflow_event("before", "go", data="on")
    assert client.wait_for_workflow_completion("before").serialized_output == '"on"'
    served.signal(signal.SIGTERM)
    assert served.ended()[0] == 0


def test_code_that_blocks_the_loop_is_named(
    perdure: Command, app: Path, client_of: ClientOf
) -> None:
    served = perdure.serve("app.py")
    client = client_of(served.url)
    client.schedule_new_workflow("blocks", instance_id="b1")
    assert client.wait_for_workflow_completion("b1").serialized_output == '"at last"'
    served.signal(signal.SIGTERM)
    _, said = served.ended()
    assert "the event loop is blocked" in said
    assert "code=\"workflow 'blocks'\"" in said
    assert "<" not in said
    assert "app.py" in said


@pytest.mark.parametrize(("workflow", "sign"), [("sleeper", "asleep"), ("hanger", "hanging")])
def test_an_activity_that_never_ends_does_not_keep_the_node_from_stopping(
    perdure: Command, app: Path, client_of: ClientOf, workflow: str, sign: str
) -> None:
    served = perdure.serve("app.py", "--drain", "100ms")
    client_of(served.url).schedule_new_workflow(workflow, instance_id="w")
    assert served.printed() == sign
    served.signal(signal.SIGTERM)
    code, said = served.ended()
    assert code == 0
    assert "cancelled" in said
    again = perdure.serve("app.py")
    assert again.printed() == sign  # It runs again: it never answered.


@pytest.mark.parametrize("workflow", ["deadly", "deadly_later"])
def test_an_instance_that_kills_its_node_every_time_is_set_aside(
    perdure: Command, app: Path, client_of: ClientOf, workflow: str
) -> None:
    served = perdure.serve("app.py")
    client_of(served.url).schedule_new_workflow(workflow, instance_id="poison")
    deaths, reason = 0, None
    while reason is None:
        assert served.process.wait() == 9
        deaths += 1
        assert deaths < 10, "it goes on for ever"
        served = perdure.try_to_serve("app.py")
        if served.ready:
            reason = stalled_or_dead(served.url, "poison")
    assert deaths == 6
    assert "died 6 times" in reason
    client = client_of(served.url)
    client.schedule_new_workflow("echoes", input=1, instance_id="neighbour")
    assert client.wait_for_workflow_completion("neighbour").serialized_output == "1"


def test_one_flipped_byte_in_the_database_is_never_served_as_data(
    perdure: Command, app: Path, client_of: ClientOf
) -> None:
    served = perdure.serve("app.py")
    client = client_of(served.url)
    secret = "unmistakable" * 20
    client.schedule_new_workflow("waits", input=secret, instance_id="w")
    served.signal(signal.SIGTERM)
    served.ended()
    file = perdure.place / "perdure.db"
    content = bytearray(file.read_bytes())
    content[content.index(b"unmistakable") + 30] ^= 1
    file.write_bytes(content)
    served = perdure.serve("app.py")
    client = client_of(served.url)
    (listed,) = list(client.list_workflows())
    assert listed.runtime_status.name in ("STALLED", "RUNNING")
    # The event that finds the damage is kept for the repaired instance; from then on it is known.
    assert post(served.url, "w/raiseEvent/go", '"on"').status == 202
    answer = post(served.url, "w/raiseEvent/go", '"on"')
    assert answer.status == 500
    assert "workflow is stalled" in answer.body
    assert "checksum" in answer.body
    client.schedule_new_workflow("echoes", input=1, instance_id="neighbour")
    assert client.wait_for_workflow_completion("neighbour").serialized_output == "1"


def test_a_database_that_is_none_is_refused_with_exit_code_70(perdure: Command, app: Path) -> None:
    (perdure.place / "perdure.db").write_bytes(b"this is not a database\n" * 1000)
    ended = perdure("serve", "app.py", "--port", "0")
    assert ended.returncode == 70
    assert "perdure.db" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_database_of_a_newer_release_is_refused(perdure: Command, app: Path) -> None:
    served = perdure.serve("app.py")
    served.signal(signal.SIGTERM)
    served.ended()
    with sqlite3.connect(perdure.place / "perdure.db") as connection:
        connection.execute("UPDATE meta SET value = 99 WHERE key = 'schema_version'")
    connection.close()
    ended = perdure("serve", "app.py", "--port", "0")
    assert ended.returncode == 70
    assert "99" in ended.stderr
