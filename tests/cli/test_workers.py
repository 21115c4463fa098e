"""The parts of `serve --workers`: the shared port, restarts, lines, and what is refused."""

from __future__ import annotations

import errno
import signal
import socket
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import grpc
import pytest

from perdure.runtime.cli.exits import ExitCode
from perdure.runtime.cli.listening import SharedGrpcPort, SharedPort, problem_of
from perdure.runtime.cli.restarts import (
    CALM_SECONDS,
    LONGEST_DELAY_SECONDS,
    Backoff,
    Fate,
    fate_of,
    how_it_ended,
)
from perdure.runtime.cli.worker_process import Lines
from perdure.runtime.rpc.listening import HeldPort
from tests.cli.conftest import Perdure

HOST = "127.0.0.1"


def listening(port: int, *, shared: bool) -> socket.socket:
    return socket.create_server((HOST, port), reuse_port=shared)


def test_workers_listen_on_a_shared_port_and_others_do_not() -> None:
    with SharedPort(HOST, 0) as held:
        with pytest.raises(OSError, match="in use"):
            socket.create_server((HOST, held.port))
        with listening(held.port, shared=True), listening(held.port, shared=True):
            pass


def grpc_server(port: int) -> grpc.Server:
    server = grpc.server(ThreadPoolExecutor(1), options=[("grpc.so_reuseport", 1)])
    HeldPort(HOST, port, shared=True).hand_over(server.add_insecure_port)
    server.start()
    return server


def test_grpc_servers_share_a_port_on_all_its_addresses_and_others_do_not() -> None:
    with SharedGrpcPort(HOST, 0) as held:
        for server in [grpc_server(held.port) for _ in range(2)]:
            server.stop(None).wait()
        with closing(HeldPort(HOST, held.port, shared=True)) as worker:
            addresses = worker.addresses
        for address in addresses:
            host = address.rpartition(":")[0].strip("[]")
            family = socket.AF_INET6 if ":" in host else socket.AF_INET
            with pytest.raises(OSError, match="in use"):
                socket.create_server((host, held.port), family=family)
    with SharedGrpcPort(HOST, held.port) as again:
        assert again.port == held.port


def test_a_connection_reaches_a_worker_and_never_the_one_who_holds_the_port() -> None:
    with SharedPort(HOST, 0) as held:
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection((HOST, held.port))
        with listening(held.port, shared=True) as worker:
            for _ in range(8):
                with socket.create_connection((HOST, held.port)):
                    worker.accept()[0].close()


@pytest.mark.parametrize("shared", [True, False], ids=["another supervisor's", "a single node's"])
def test_a_port_that_somebody_listens_on_cannot_be_had(shared: bool) -> None:
    with listening(0, shared=shared) as taken, pytest.raises(OSError, match="in use") as info:
        SharedPort(HOST, taken.getsockname()[1])
    assert info.value.errno == errno.EADDRINUSE


def test_a_port_is_free_again_afterwards() -> None:
    with SharedPort(HOST, 0) as held:
        pass
    listening(held.port, shared=False).close()


def test_a_name_with_several_addresses_has_one_port() -> None:
    with SharedPort("localhost", 0) as held, pytest.raises(OSError, match="in use"):
        socket.create_server((HOST, held.port))


def test_a_host_that_is_not_of_this_machine_is_a_wrong_setting() -> None:
    for host in ("192.0.2.1", "no-such-host.invalid"):
        with pytest.raises(OSError) as info:  # noqa: PT011 (a different one each)
            SharedPort(host, 0)
        found = problem_of(info.value, host, 0)
        assert found == (f"{host} is not an address of this machine (--host)", ExitCode.USAGE)
    assert problem_of(OSError(errno.ENOSPC, "full"), HOST, 1) is None


@pytest.mark.parametrize(
    ("code", "ready", "replacement", "fate"),
    [
        (0, True, False, Fate.DRAINED),
        (0, True, True, Fate.DRAINED),
        (1, False, False, Fate.HOPELESS),
        (1, True, False, Fate.RESTART),
        (2, True, False, Fate.HOPELESS),
        (2, True, True, Fate.RESTART),
        (4, False, False, Fate.HOPELESS),
        (5, False, False, Fate.RESTART),
        (70, True, True, Fate.HOPELESS),
        (130, True, False, Fate.RESTART),
        (-signal.SIGKILL, False, False, Fate.RESTART),
    ],
)
def test_what_becomes_of_a_worker_that_has_ended(
    code: int, ready: bool, replacement: bool, fate: Fate
) -> None:
    assert fate_of(code, anyone_was_ready=ready, is_replacement=replacement) is fate


def test_an_end_is_told_by_its_code_or_signal() -> None:
    assert how_it_ended(5) == "ended with exit code 5"
    assert how_it_ended(-signal.SIGSEGV) == "was killed by SIGSEGV"
    assert how_it_ended(-999) == "was killed by signal 999"


def test_the_delay_doubles_up_to_a_limit_and_begins_anew_after_a_calm_time() -> None:
    backoff = Backoff()
    delays = [backoff.after(0.0) for _ in range(10)]
    assert delays[:4] == [0.1, 0.2, 0.4, 0.8]
    assert delays[-2:] == [LONGEST_DELAY_SECONDS] * 2
    assert backoff.after(CALM_SECONDS) == 0.1
    assert backoff.after(CALM_SECONDS / 2) == 0.2


def test_lines_are_whole_however_they_arrive() -> None:
    lines = Lines()
    assert lines.feed(b"one\ntw") == [b"one"]
    assert lines.feed(b"o\n\nthree") == [b"two", b""]
    assert lines.rest() == b"three"
    assert lines.rest() == b""


def test_a_line_without_an_end_is_not_kept() -> None:
    lines = Lines()
    assert lines.feed(b"x" * 65_537) == [b"x" * 65_537]
    assert lines.rest() == b""


@pytest.mark.parametrize(
    ("args", "text"),
    [
        (["--store", ":memory:"], "--workers needs a file"),
        (["--port", "http"], "--port: expected a whole number"),
        (["--grpc-port", "3500"], "port and grpc_port are both 3500"),
        (["--node-id", "n" * 127], "node_id must be 1 to 128"),
        (["--host", "0.0.0.0"], "can be reached from other machines"),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_settings_that_cannot_work_are_refused_before_anything_starts(
    perdure: Perdure, args: list[str], text: str
) -> None:
    result = perdure("serve", "app.py", "--workers", "2", *args)
    assert result.exit_code == 2
    assert text in result.stderr


def test_one_peer_port_is_not_enough_for_two(
    perdure: Perdure, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PERDURE_PEER_PORT", "4001")
    result = perdure("serve", "app.py", "--workers", "2")
    assert result.exit_code == 2
    assert "peer_port is 4001, and each of 2 workers needs one of its own" in result.stderr


@pytest.mark.parametrize("flag", ["--port", "--grpc-port"])
def test_a_port_in_use_is_named_with_the_option(perdure: Perdure, flag: str) -> None:
    with listening(0, shared=True) as taken:
        port = taken.getsockname()[1]
        ports = {"--port": "0", "--grpc-port": "0", flag: str(port)}
        given = [word for pair in ports.items() for word in pair]
        result = perdure("serve", "app.py", "--workers", "2", *given)
    assert result.exit_code == 1
    assert result.stderr == (
        f"perdure: port {port} on {HOST} is in use by another process; choose another with "
        f"{flag}, or {flag} 0 for any free one\n"
    )


def test_no_workers_are_too_few(perdure: Perdure) -> None:
    result = perdure("serve", "app.py", "--workers", "0")
    assert result.exit_code == 2
    assert "--workers" in result.stderr
