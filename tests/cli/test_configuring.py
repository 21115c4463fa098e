"""The gRPC port of `perdure serve`: when there is one, and what is said if there cannot be."""

from __future__ import annotations

import errno
import re
import sys
from pathlib import Path

import pytest

from perdure.runtime.cli.configuring import node_config
from perdure.runtime.cli.exits import ExitCode
from perdure.runtime.cli.listening import problem_of_node
from perdure.runtime.config import NodeConfig
from tests.cli.conftest import Perdure

DAPR_PORTS = {"DAPR_HTTP_PORT": "3501", "DAPR_GRPC_PORT": "50002"}


@pytest.fixture(autouse=True)
def own_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*DAPR_PORTS, "PERDURE_PORT", "PERDURE_GRPC_PORT"):
        monkeypatch.delenv(name, raising=False)


def test_without_an_app_a_node_is_found_where_programs_look_for_dapr(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    config = node_config(None, {}, None)
    assert (config.port, config.grpc_port) == (3500, 50001)
    for name, port in DAPR_PORTS.items():
        monkeypatch.setenv(name, port)
    config = node_config(None, {}, None)
    assert (config.port, config.grpc_port) == (3501, 50002)


def test_with_an_app_the_ports_of_dapr_are_left_to_dapr(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, port in DAPR_PORTS.items():
        monkeypatch.setenv(name, port)
    config = node_config("app.py", {}, None)
    assert (config.port, config.grpc_port) == (3500, None)


@pytest.mark.parametrize("app", ["app.py", None])
def test_any_word_of_the_user_opens_the_port(
    app: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "perdure.toml"
    file.write_text("grpc_port = 50003\n")
    assert node_config(app, {}, file).grpc_port == 50003
    monkeypatch.setenv("PERDURE_GRPC_PORT", "50004")
    assert node_config(app, {}, file).grpc_port == 50004
    assert node_config(app, {"grpc_port": "0"}, file).grpc_port == 0


def test_defaults_of_the_caller_count_in_both_cases() -> None:
    for app in ("app.py", None):
        assert node_config(app, {}, None, {"kill_stuck_writer": True}).kill_stuck_writer


@pytest.mark.parametrize(
    ("absent", "package"),
    [("grpc", "grpcio"), ("google.protobuf", "protobuf"), ("google", "protobuf")],
)
@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_package_that_is_not_installed_is_named_with_how_to_get_it(
    perdure: Perdure, monkeypatch: pytest.MonkeyPatch, absent: str, package: str, workers: str
) -> None:
    monkeypatch.delitem(sys.modules, "google.protobuf", raising=False)
    monkeypatch.setitem(sys.modules, absent, None)
    step = f"needs {package}, not installed here: pip install 'perdure[grpc]'\n"
    result = perdure("serve", "--workers", workers)
    assert (result.exit_code, result.stderr) == (
        2,
        f"perdure: `perdure serve` without APP, for workers in other processes, {step}",
    )
    result = perdure("serve", "app.py", "--grpc-port", "50002", "--workers", workers)
    assert (result.exit_code, result.stderr) == (2, f"perdure: grpc_port 50002 {step}")


def test_an_app_alone_needs_no_further_package(
    place: Path, perdure: Perdure, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "grpc", None)
    result = perdure("serve", "no_app.py")
    assert "no such file: no_app.py" in result.stderr


def in_use(address: tuple[object, ...]) -> OSError:
    text = f"error while attempting to bind on address {address!r}: address already in use"
    return OSError(errno.EADDRINUSE, text)


@pytest.mark.parametrize(
    ("address", "text"),
    [
        (("127.0.0.1", 3500), "port 3500 on 127.0.0.1 is in use .* or --port 0 for any"),
        (("::1", 3500, 0, 0), "port 3500 on 127.0.0.1 is in use .* or --port 0 for any"),
        (("127.0.0.1", 50001), "port 50001 on 127.0.0.1 is in use .* or --grpc-port 0 for any"),
        (("127.0.0.1", 4000), "peer_port 4000 on 127.0.0.1 is in use by another process$"),
    ],
)
def test_the_port_that_is_in_use_is_told_by_the_address_in_the_error(
    address: tuple[object, ...], text: str
) -> None:
    found = problem_of_node(in_use(address), NodeConfig(grpc_port=50001, peer_port=4000))
    assert found is not None
    assert re.match(text, found[0])
    assert found[1] is ExitCode.FAILED


def test_a_port_below_1024_is_named_with_its_option() -> None:
    error = OSError(errno.EACCES, "… to bind on address ('127.0.0.1', 80): permission denied")
    found = problem_of_node(error, NodeConfig(grpc_port=80))
    assert found == (
        "this user may not listen on port 80 on 127.0.0.1; "
        "choose a port above 1023 with --grpc-port",
        ExitCode.FAILED,
    )


def test_an_error_about_something_else_is_no_problem_of_a_port() -> None:
    assert problem_of_node(OSError(errno.ENOSPC, "full"), NodeConfig()) is None
