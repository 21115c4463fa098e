"""The gRPC port of `perdure serve`, as a process: what says where it is, and that it is there."""

from __future__ import annotations

import re
import signal
import socket
from textwrap import dedent

import grpc
import pytest

from tests.e2e.conftest import PATIENCE_SECONDS, Perdure, Served

APP = """
import perdure

@perdure.workflow
def hello(ctx, name="nobody"):
    return f"hi {name}"
"""
_READY = re.compile(r"ready on http://127\.0\.0\.1:\d+, grpc://(127\.0\.0\.1:\d+), store ")


@pytest.fixture
def app(perdure: Perdure) -> str:
    (perdure.place / "app.py").write_text(dedent(APP))
    return "app.py"


def assert_greets(served: Served) -> None:
    """A worker's first call is answered at the address that the ready line names."""
    found = _READY.search(served.ready)
    assert found, served.ready
    with grpc.insecure_channel(found[1]) as channel:
        hello = channel.unary_unary("/TaskHubSidecarService/Hello", None, None)
        assert hello(b"", timeout=PATIENCE_SECONDS, wait_for_ready=True) == b""


def test_without_an_app_a_node_waits_for_workers(perdure: Perdure) -> None:
    served = perdure.serve("--grpc-port", "0")
    assert served.ready.endswith("store perdure.db (full), no workflows of its own")
    assert_greets(served)


def test_an_app_and_workers_may_be_served_together(perdure: Perdure, app: str) -> None:
    served = perdure.serve(app, "--grpc-port", "0")
    assert served.ready.endswith("store perdure.db (full), 1 workflow, 0 activities")
    assert_greets(served)


def test_an_app_may_have_activities_only_if_workflows_are_in_workers(perdure: Perdure) -> None:
    (perdure.place / "app.py").write_text(dedent(APP).replace("workflow", "activity"))
    served = perdure.serve("app.py", "--grpc-port", "0")
    assert served.ready.endswith("store perdure.db (full), 0 workflows, 1 activity")
    assert "no workflows in module 'app'" in perdure.try_to_serve("app.py").said


def test_a_port_that_is_new_in_the_settings_is_not_opened_by_a_roll(
    perdure: Perdure, app: str
) -> None:
    served = perdure.serve(app, "--workers", "2")
    # Held all the while: a worker that opens it fails to start, and nobody else can get it.
    with socket.create_server(("127.0.0.1", 0)) as held:
        port = held.getsockname()[1]
        (perdure.place / "perdure.toml").write_text(f"grpc_port = {port}\n")
        served.signal(signal.SIGHUP)
        said: list[str] = []
        while "all workers have been replaced" not in (line := served.line()):
            assert line, said
            said.append(line)
    assert any(f"grpc_port {port} is new and not served" in line for line in said)


def test_an_app_alone_has_no_grpc_port(perdure: Perdure, app: str) -> None:
    assert "grpc" not in perdure.serve(app).ready


def test_several_processes_share_both_ports(perdure: Perdure) -> None:
    served = perdure.serve("--grpc-port", "0", "--workers", "2")
    assert served.ready.endswith("no workflows of its own, 2 workers")
    for _ in range(8):
        assert_greets(served)  # By a connection of its own each, which comes to one of the two.


def test_a_port_in_use_is_named_with_its_option(perdure: Perdure) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        served = perdure.try_to_serve("--grpc-port", str(port))
    assert not served.ready
    assert served.said == (
        f"perdure: port {port} on 127.0.0.1 is in use by another process; choose another with "
        "--grpc-port, or --grpc-port 0 for any free one\n"
    )
    assert served.ended() == (1, "")
