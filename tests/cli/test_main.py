"""The command line as a whole: its help, and how little it imports for it."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from tests.cli.conftest import Perdure

_PROBE = """
import json, sys
from perdure.runtime.__main__ import main
sys.argv = ["perdure", *sys.argv[1:]]
try:
    main()
finally:
    print(json.dumps(sorted(sys.modules)), file=sys.stderr)
"""
SLOW = {
    *("aiohttp", "aiosqlite", "asyncio", "msgspec", "msgpack", "rich", "uvloop", "http.client"),
    *("grpc", "google.protobuf"),
}


def imported_by(*args: str) -> set[str]:
    """The modules that a fresh interpreter holds after a command."""
    done = subprocess.run(
        [sys.executable, "-c", _PROBE, *args], capture_output=True, text=True, check=True
    )
    modules: list[str] = json.loads(done.stderr.splitlines()[-1])
    return set(modules)


@pytest.mark.parametrize(
    "args",
    [
        ["--help"],
        ["serve", "--help"],
        ["workflow", "--help"],
        ["workflow", "run", "--help"],
        ["cluster", "status", "--help"],
    ],
    ids=" ".join,
)
def test_help_imports_nothing_slow(args: list[str]) -> None:
    assert imported_by(*args) & SLOW == set()


def test_a_command_on_a_node_does_without_aiohttp() -> None:
    done = subprocess.run(
        [sys.executable, "-c", _PROBE, "workflow", "get", "x", "--url", "http://127.0.0.1:1"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 5
    assert set(json.loads(done.stderr.splitlines()[-1])) & {"aiohttp", "aiosqlite", "rich"} == set()


def test_the_help_lists_commands_and_exit_codes(perdure: Perdure) -> None:
    result = perdure("--help")
    assert result.exit_code == 0
    for word in ("serve", "workflow", "Exit codes", "130"):
        assert word in result.stdout


def test_an_unknown_command_is_answered_with_the_nearest(perdure: Perdure) -> None:
    result = perdure("workflows")
    assert result.exit_code == 2
    assert "no such command 'workflows'; did you mean 'workflow'?" in result.stderr


def test_the_version_is_shown(perdure: Perdure) -> None:
    result = perdure("--version")
    assert result.stdout.startswith("perdure 0.")
