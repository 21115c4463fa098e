"""`perdure serve` as a process: how it starts, what it says when it cannot, and how it stops."""

from __future__ import annotations

import json
import os
import signal
import socket
import urllib.request
from pathlib import Path
from textwrap import dedent

import pytest

from tests.e2e.conftest import PATIENCE_SECONDS, Perdure

APP = """
import asyncio
import perdure

@perdure.activity
async def greet(ctx, name):
    return f"hi {name}"

@perdure.activity
async def dawdle(ctx, _):
    print("dawdling", flush=True)
    await asyncio.sleep(3600)

@perdure.workflow
def hello(ctx, name="nobody"):
    said = yield ctx.call_activity(greet, input=name)
    return said

@perdure.workflow
def broken(ctx, _=None):
    raise ValueError("no stock")

@perdure.workflow
def patient(ctx, _=None):
    ctx.set_custom_status("waiting")
    yield ctx.wait_for_external_event("go")

@perdure.workflow
def slow(ctx, _=None):
    yield ctx.call_activity(dawdle, input=1)
"""


@pytest.fixture
def app(perdure: Perdure) -> str:
    (perdure.place / "app.py").write_text(dedent(APP))
    return "app.py"


def test_the_ready_line_names_url_store_and_contents(perdure: Perdure, app: str) -> None:
    node = perdure.serve(app)
    assert node.ready.startswith("perdure: ready on http://127.0.0.1:")
    assert node.ready.endswith("store perdure.db (full), 4 workflows, 2 activities")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_drains_the_node_and_the_exit_code_is_0(
    perdure: Perdure, app: str, number: signal.Signals
) -> None:
    node = perdure.serve(app)
    node.signal(number)
    code, said = node.ended()
    assert code == 0
    assert [line.split(":")[1].strip() for line in said.splitlines()] == ["stopping", "stopped"]


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_second_signal_ends_the_node_at_once(
    perdure: Perdure, app: str, number: signal.Signals, code: int
) -> None:
    node = perdure.serve(app, "--drain", "1h")
    perdure.on(node)("run", "slow")
    assert node.printed() == "dawdling"
    node.signal(number)
    assert "stopping: running activities get 3600 seconds" in node.line()
    node.signal(number)
    ended, said = node.ended()
    assert ended == code
    assert said.startswith("perdure: stopped at once")


def test_what_was_started_before_a_stop_is_there_after_a_restart(
    perdure: Perdure, app: str
) -> None:
    first = perdure.serve(app, "--store", "orders.db")
    perdure.on(first)("run", "patient", "--id", "o1")
    first.signal(signal.SIGTERM)
    first.ended()
    second = perdure.serve(app, "--store", "orders.db")
    perdure.on(second)("raise-event", "o1", "go")
    done = perdure.on(second)("wait", "o1")
    assert (done.returncode, done.stdout) == (0, "null\n")


def test_a_workflow_is_run_to_its_result(perdure: Perdure, app: str) -> None:
    workflow = perdure.on(perdure.serve(app))
    done = workflow("run", "hello", "--input", '"Ada"', "--wait")
    assert (done.returncode, done.stdout) == (0, '"hi Ada"\n')
    assert "COMPLETED" in done.stderr.splitlines()[-1]


def test_a_workflow_may_be_run_without_an_input(perdure: Perdure, app: str) -> None:
    done = perdure.on(perdure.serve(app))("run", "hello", "--wait")
    assert (done.returncode, done.stdout) == (0, '"hi nobody"\n')


def test_a_failing_workflow_has_exit_code_1(perdure: Perdure, app: str) -> None:
    done = perdure.on(perdure.serve(app))("run", "broken", "--wait", "--id", "o1")
    assert (done.returncode, done.stdout) == (1, "")
    assert "workflow 'o1' ended FAILED: ValueError: no stock" in done.stderr


def test_ctrl_c_ends_the_following_but_not_the_workflow(perdure: Perdure, app: str) -> None:
    node = perdure.serve(app)
    following = perdure.start(
        "workflow", "run", "patient", "--id", "o1", "--wait", "--url", node.url
    )
    assert following.stderr is not None
    while "waiting" not in following.stderr.readline():
        pass
    following.send_signal(signal.SIGINT)
    _, said = following.communicate(timeout=PATIENCE_SECONDS)
    assert following.returncode == 130
    assert "to follow it again: perdure workflow wait o1" in said
    assert "Traceback" not in said
    found = json.loads(perdure.on(node)("get", "o1", "-o", "json").stdout)
    assert (found["runtimeStatus"], found["customStatus"]) == ("RUNNING", "waiting")


def test_the_management_commands_work_on_a_real_node(perdure: Perdure, app: str) -> None:
    workflow = perdure.on(perdure.serve(app))
    workflow("run", "patient", "--id", "o1")
    for verb, status in [("suspend", "SUSPENDED"), ("resume", "RUNNING")]:
        assert workflow(verb, "o1").returncode == 0
        assert f"status         {status}" in workflow("get", "o1").stdout
    assert workflow("run", "patient", "--id", "o1").returncode == 4
    assert workflow("purge", "o1").returncode == 4
    assert workflow("terminate", "o1").returncode == 0
    counted = json.loads(workflow("list", "--count", "-o", "json").stdout)
    assert counted["counts"] == {"TERMINATED": 1}
    events = json.loads(workflow("history", "o1", "-o", "json").stdout)["events"]
    assert events[-1]["type"] == "ExecutionCompleted"
    assert workflow("purge", "o1").returncode == 0
    assert workflow("get", "o1").returncode == 3


def test_an_app_that_is_not_there_is_answered_with_the_nearest(perdure: Perdure, app: str) -> None:
    done = perdure("serve", "ap.py")
    assert done.returncode == 2
    assert done.stderr == "perdure: no such file: ap.py; did you mean app.py?\n"


def test_an_app_that_raises_shows_its_own_frames_only(perdure: Perdure) -> None:
    (perdure.place / "app.py").write_text("def connect():\n    1 / 0\n\nconnect()\n")
    done = perdure("serve", "app.py")
    assert done.returncode == 1
    lines = done.stderr.splitlines()
    assert sum(line.lstrip().startswith("File ") for line in lines) == 2
    assert lines[-1] == "app.py cannot be imported: ZeroDivisionError: division by zero"


def test_an_app_without_workflows_says_what_to_do(perdure: Perdure) -> None:
    (perdure.place / "app.py").write_text("def hello(ctx): ...\n")
    done = perdure("serve", "app.py")
    assert done.returncode == 2
    assert "no workflows in module 'app'" in done.stderr
    assert "@perdure.workflow" in done.stderr


def test_a_port_in_use_is_named_with_the_option(perdure: Perdure, app: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = perdure("serve", app, "--port", str(port))
    assert done.returncode == 1
    assert done.stderr == (
        f"perdure: port {port} on 127.0.0.1 is in use by another process; choose another with "
        "--port, or --port 0 for any free one\n"
    )


def test_a_peer_port_in_use_is_named_too(perdure: Perdure, app: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        perdure.environment["PERDURE_PEER_PORT"] = port = str(taken.getsockname()[1])
        done = perdure("serve", app, "--port", "0")
    assert done.returncode == 1
    assert done.stderr == f"perdure: peer_port {port} on 127.0.0.1 is in use by another process\n"


def test_a_shutdown_by_force_is_no_clean_end(perdure: Perdure, app: str) -> None:
    served = perdure.serve(app)
    forced = urllib.request.Request(
        f"{served.url}/v1.0/shutdown", method="POST", headers={"dapr-force-shutdown": "true"}
    )
    with urllib.request.urlopen(forced) as answer:
        assert answer.status == 204
    code, rest = served.ended()
    assert code == 1
    assert "stopped" not in rest


@pytest.mark.parametrize(
    ("store", "text"), [("missing/orders.db", "missing"), ("folder", "folder")]
)
def test_a_store_that_cannot_be_used_is_named(
    perdure: Perdure, app: str, store: str, text: str
) -> None:
    (perdure.place / "folder").mkdir()
    done = perdure("serve", app, "--store", store)
    assert done.returncode == 4
    assert text in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_store_in_a_directory_that_is_read_only_is_refused(perdure: Perdure, app: str) -> None:
    folder = perdure.place / "folder"
    folder.mkdir(mode=0o500)
    done = perdure("serve", app, "--store", "folder/orders.db")
    assert done.returncode == 4
    assert "folder/orders.db" in done.stderr


def test_a_file_that_is_no_database_has_exit_code_70(perdure: Perdure, app: str) -> None:
    (perdure.place / "perdure.db").write_bytes(b"This is a letter to my aunt. " * 1000)
    done = perdure("serve", app)
    assert done.returncode == 70
    assert "perdure.db" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("args", "text"),
    [
        (["--durability", "maybe"], "--durability: expected full or normal, found 'maybe'"),
        (["--port", "http"], "--port: expected a whole number, found 'http'"),
        (["--drain", "soon"], "--drain-seconds: expected a duration"),
        (["--host", "0.0.0.0"], "can be reached from other machines"),
        (["--config", "none.toml"], "cannot read none.toml"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_wrong_setting_has_exit_code_2(
    perdure: Perdure, app: str, args: list[str], text: str
) -> None:
    done = perdure("serve", app, *args)
    assert done.returncode == 2
    assert text in done.stderr


def test_settings_come_from_perdure_toml(perdure: Perdure, app: str) -> None:
    (perdure.place / "perdure.toml").write_text('store = "orders.db"\ndurability = "normal"\n')
    node = perdure.serve(app)
    assert "store orders.db (normal)" in node.ready
    assert Path(perdure.place / "orders.db").exists()


def test_an_unknown_setting_is_answered_with_the_nearest(perdure: Perdure, app: str) -> None:
    (perdure.place / "perdure.toml").write_text("prot = 1\n")
    done = perdure("serve", app)
    assert done.returncode == 2
    assert "did you mean port?" in done.stderr


def test_the_token_of_the_environment_guards_node_and_client(perdure: Perdure, app: str) -> None:
    perdure.environment["PERDURE_API_TOKEN"] = "secret"
    node = perdure.serve(app)
    assert perdure.on(node)("list").returncode == 0
    del perdure.environment["PERDURE_API_TOKEN"]
    refused = perdure.on(node)("list")
    assert refused.returncode == 4
    assert "PERDURE_API_TOKEN" in refused.stderr


def test_an_app_that_interrupts_its_node_is_named(perdure: Perdure) -> None:
    (perdure.place / "rude.py").write_text(
        "import perdure\n\n@perdure.workflow\nasync def rude(ctx):\n    raise KeyboardInterrupt\n"
    )
    node = perdure.serve("rude.py")
    perdure.on(node)("run", "rude")
    code, said = node.ended()
    assert code == 130
    assert said == "perdure: stopped at once by a KeyboardInterrupt at rude.py:5\n"


def test_a_node_that_is_full_says_so(perdure: Perdure, app: str) -> None:
    perdure.environment["PERDURE_CONNECTIONS_MAX"] = "1"
    node = perdure.serve(app)
    address = ("127.0.0.1", int(node.url.rpartition(":")[2]))
    with socket.create_connection(address, PATIENCE_SECONDS) as first:
        first.sendall(b"GET /v1.0/healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert first.recv(1000).startswith(b"HTTP/1.1 204 ")
        second = socket.create_connection(address, PATIENCE_SECONDS)
        with second, second.makefile("rb") as answer:
            said = answer.read()
    assert said.startswith(b"HTTP/1.1 503 Service Unavailable\r\n")
    assert b"ERR_TOO_MANY_CONNECTIONS" in said
