"""`perdure serve --workers`: several real nodes on one port and one file."""

from __future__ import annotations

import json
import os
import select
import signal
import sqlite3
from collections.abc import Container, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

from perdure.runtime.sync_client import SyncWorkflowClient
from tests.e2e.conftest import PATIENCE_SECONDS, Perdure, Served

STATUS_ATTEMPTS = 50

APP = """
import asyncio
import os
import perdure

@perdure.activity
async def greet(ctx, name):
    return f"hi {name}"

@perdure.workflow
def hello(ctx, name):
    said = yield ctx.call_activity(greet, input=name)
    return said

@perdure.activity
async def dawdle(ctx, _):
    print("dawdling", flush=True)
    while not os.path.exists("enough"):
        await asyncio.sleep(0.01)

@perdure.workflow
def slow(ctx, _=None):
    yield ctx.call_activity(dawdle, input=1)

@perdure.workflow
def patient(ctx, _=None):
    said = yield ctx.wait_for_external_event("go")
    return said
"""


@pytest.fixture
def app(perdure: Perdure) -> str:
    (perdure.place / "app.py").write_text(dedent(APP))
    return "app.py"


def nodes_of(
    perdure: Perdure, served: Served, count: int = 2, without: Container[int] = ()
) -> list[dict[str, Any]]:
    """The nodes, once there are so many and none has one of these pids.

    Each node knows the rows that it has read last; it reads them again with its next heartbeat.
    """
    for _ in range(STATUS_ATTEMPTS):
        done = perdure("cluster", "status", "-o", "json", "--url", served.url)
        assert done.returncode == 0, done.stderr
        nodes: list[dict[str, Any]] = json.loads(done.stdout)["nodes"]
        if len(nodes) == count and not any(node["pid"] in without for node in nodes):
            return nodes
    raise AssertionError(f"not {count} nodes without {without}: {nodes}")


def pids_of(perdure: Perdure, served: Served, without: Container[int] = ()) -> list[int]:
    return [node["pid"] for node in nodes_of(perdure, served, without=without)]


def until(served: Served, text: str) -> str:
    """Read stderr up to the line that holds this text."""
    said = []
    while line := served.line():
        said.append(line)
        if text in line:
            return line
    raise AssertionError(f"{text!r} was not said: {said}")


def said_by_now(served: Served) -> str:
    """What stands on stderr and was not read yet."""
    assert served.process.stderr is not None
    poll = select.poll()
    poll.register(served.process.stderr, select.POLLIN)
    return os.read(served.process.stderr.fileno(), 65_536).decode() if poll.poll(0) else ""


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@contextmanager
def ends_of(pids: list[int]) -> Iterator[select.poll]:
    """Watches processes that are not children of this one."""
    watched = [os.pidfd_open(pid) for pid in pids]
    poll = select.poll()
    for end in watched:
        poll.register(end, select.POLLIN)
    yield poll
    for end in watched:
        os.close(end)


def assert_works(served: Served) -> None:
    with SyncWorkflowClient(served.url) as client:
        client.schedule_new_workflow("hello", input="you", instance_id="still-here")
        assert client.wait_for_workflow_completion("still-here").result() == "hi you"


def test_workers_are_one_cluster_behind_one_port(perdure: Perdure, app: str) -> None:
    served = perdure.serve(app, "--workers", "2")
    assert served.ready.startswith("perdure: ready on http://127.0.0.1:")
    assert served.ready.endswith("store perdure.db (full), 3 workflows, 2 activities, 2 workers")
    nodes = nodes_of(perdure, served)
    assert [node["state"] for node in nodes] == ["up", "up"]
    assert {node["address"] for node in nodes} == {served.url}
    assert {node["nodeId"] for node in nodes} == {f"default-{node['pid']}" for node in nodes}
    for number in range(20):
        # A connection of its own each, which the kernel gives to one of the two.
        with SyncWorkflowClient(served.url) as client:
            client.schedule_new_workflow("hello", input=number, instance_id=f"o{number}")
        with SyncWorkflowClient(served.url) as client:
            state = client.wait_for_workflow_completion(f"o{number}")
            assert state.result() == f"hi {number}"


def test_a_worker_that_is_killed_comes_back_and_nothing_is_lost(perdure: Perdure, app: str) -> None:
    served = perdure.serve(app, "--workers", "2")
    ids = [f"o{number}" for number in range(20)]
    with SyncWorkflowClient(served.url) as client:
        for instance_id in ids:
            client.schedule_new_workflow("patient", instance_id=instance_id)
    before = pids_of(perdure, served)
    os.kill(before[0], signal.SIGKILL)
    assert "was killed by SIGKILL; starting it again" in until(served, "starting it again")
    until(served, "is ready")
    with SyncWorkflowClient(served.url) as client:
        for instance_id in ids:
            client.raise_workflow_event(instance_id, "go", data=instance_id)
        for instance_id in ids:
            assert client.wait_for_workflow_completion(instance_id).result() == instance_id
    assert before[1] in pids_of(perdure, served, without=before[:1])


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_them_all_with_0(perdure: Perdure, app: str, number: signal.Signals) -> None:
    served = perdure.serve(app, "--workers", "2")
    pids = pids_of(perdure, served)
    served.signal(number)
    code, said = served.ended()
    assert (code, said.splitlines()[-1]) == (0, "perdure: stopped")
    assert {"[w1] perdure: stopped", "[w2] perdure: stopped"} <= set(said.splitlines())
    assert not any(map(is_running, pids))


def test_a_service_manager_that_tells_all_processes_to_end_does_not_cut_the_drain_short(
    perdure: Perdure, app: str
) -> None:
    served = perdure.serve(app, "--workers", "2", "--drain", "1h")
    with SyncWorkflowClient(served.url) as client:
        client.schedule_new_workflow("slow")
    assert served.printed() == "dawdling"
    pids = pids_of(perdure, served)
    for pid in pids:
        os.kill(pid, signal.SIGTERM)
    until(served, "perdure: stopping: running activities")
    served.signal(signal.SIGTERM)
    until(served, "stopping all workers")
    (perdure.place / "enough").touch()
    code, said = served.ended()
    assert code == 0
    assert "at once" not in said
    assert not any(map(is_running, pids))


def test_sighup_brings_in_new_code_without_an_error_for_clients(perdure: Perdure, app: str) -> None:
    served = perdure.serve(app, "--workers", "2")
    before = pids_of(perdure, served)
    path = perdure.place / app
    path.write_text(path.read_text().replace("hi {name}", "good day {name}"))
    served.signal(signal.SIGHUP)
    said, results = "", []
    while "all workers have been replaced" not in said:
        with SyncWorkflowClient(served.url) as client:
            instance_id = client.schedule_new_workflow("hello", input="Ada")
            results.append(client.wait_for_workflow_completion(instance_id).result())
        said += said_by_now(served)
        assert "does not start" not in said
        assert served.process.poll() is None, said
    assert set(results) <= {"hi Ada", "good day Ada"}
    pids_of(perdure, served, without=before)
    with SyncWorkflowClient(served.url) as client:
        instance_id = client.schedule_new_workflow("hello", input="Ada")
        assert client.wait_for_workflow_completion(instance_id).result() == "good day Ada"


def test_a_supervisor_that_is_killed_leaves_no_process(perdure: Perdure, app: str) -> None:
    served = perdure.serve(app, "--workers", "2")
    pids = pids_of(perdure, served)
    with ends_of(pids) as ends:
        served.process.kill()
        while any(map(is_running, pids)):
            assert ends.poll(PATIENCE_SECONDS * 1000)


def test_workers_that_are_drained_are_not_started_again(perdure: Perdure, app: str) -> None:
    served = perdure.serve(app, "--workers", "2")
    first, second = [node["nodeId"] for node in nodes_of(perdure, served)]
    done = perdure("cluster", "drain", first, "--url", served.url)
    assert (done.returncode, done.stderr) == (0, f"draining {first}\n")
    assert "is not started again" in until(served, "was drained")
    [left] = nodes_of(perdure, served, 1)
    assert left["nodeId"] == second
    assert perdure("cluster", "drain", first, "--url", served.url).returncode == 3
    perdure("cluster", "drain", second, "--url", served.url)
    code, said = served.ended()
    assert (code, said.splitlines()[-1]) == (0, "perdure: stopped")


def test_what_is_wrong_with_the_app_is_said_once(perdure: Perdure) -> None:
    (perdure.place / "app.py").write_text("1 / 0\n")
    done = perdure("serve", "app.py", "--workers", "3", "--port", "0")
    assert done.returncode == 1
    assert done.stderr.count("ZeroDivisionError") == 1
    assert "[w1] app.py cannot be imported: ZeroDivisionError: division by zero" in done.stderr


def test_nodes_that_were_started_one_by_one_are_a_cluster_too(perdure: Perdure, app: str) -> None:
    first, second = perdure.serve(app), perdure.serve(app)
    assert {node["address"] for node in nodes_of(perdure, first)} == {first.url, second.url}
    with SyncWorkflowClient(first.url) as client:
        client.schedule_new_workflow("patient", instance_id="o1")
    first.process.kill()
    with SyncWorkflowClient(second.url) as client:
        client.raise_workflow_event("o1", "go", data=1)
        assert client.wait_for_workflow_completion("o1").result() == 1


def test_a_node_id_is_given_to_one_node_only(perdure: Perdure, app: str) -> None:
    perdure.serve(app, "--node-id", "n1")
    done = perdure("serve", app, "--node-id", "n1", "--port", "0")
    assert done.returncode == 4
    assert "n1" in done.stderr
    assert "Traceback" not in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_node_with_another_secret_is_refused_and_those_that_run_go_on(
    perdure: Perdure, app: str
) -> None:
    served = perdure.serve(app)
    perdure.environment["PERDURE_CLUSTER_SECRET"] = "another"
    done = perdure("serve", app, "--port", "0")
    assert done.returncode == 4
    assert len(done.stderr.splitlines()) == 1
    assert "PERDURE_CLUSTER_SECRET" in done.stderr
    assert "another" not in done.stderr
    assert_works(served)


def test_a_node_of_an_older_release_is_refused_and_those_that_run_go_on(
    perdure: Perdure, app: str
) -> None:
    served = perdure.serve(app)
    with closing(sqlite3.connect(perdure.place / "perdure.db", timeout=60)) as connection:
        connection.execute("UPDATE meta SET value = value + 1 WHERE key = 'schema_version'")
        connection.commit()
    done = perdure("serve", app, "--port", "0")
    assert done.returncode == 70
    assert len(done.stderr.splitlines()) == 1
    assert "install the release that wrote it" in done.stderr
    assert_works(served)


def test_the_names_of_workers_come_from_the_node_id(perdure: Perdure, app: str) -> None:
    served = perdure.serve(app, "--node-id", "shop", "--workers", "2")
    assert [node["nodeId"] for node in nodes_of(perdure, served)] == ["shop-1", "shop-2"]
    pids = pids_of(perdure, served)
    os.kill(pids[0], signal.SIGKILL)
    until(served, "is ready")
    nodes = nodes_of(perdure, served, without=pids[:1])
    assert [node["nodeId"] for node in nodes] == ["shop-1", "shop-2"]
