"""`perdure serve --workers N`: several nodes of one app behind one port. An edge module.

Every worker is a plain `perdure serve`; this process only looks after them.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from perdure.runtime.cli.exits import ExitCode
from perdure.runtime.cli.listening import SharedPort, problem_of
from perdure.runtime.cli.say import say, told
from perdure.runtime.cli.supervisor import Supervisor
from perdure.runtime.config import ConfigError, NodeConfig
from perdure.runtime.config_reading import load

_MEMORY = ":memory:"


def run(
    app: str,
    flags: Mapping[str, Any],
    config_path: Path | None,
    *,
    workers: int,
    use_uvloop: bool,
) -> int:
    """Serve APP with several processes; returns the exit code."""
    try:
        config = load(flags, toml_path=config_path)
        _check(config, workers)
    except ConfigError as error:
        return told(str(error), ExitCode.USAGE)
    try:
        port = SharedPort(config.host, config.port)
    except OSError as error:
        problem = problem_of(error, config.host, config.port)
        if problem is None:
            raise
        return told(*problem)
    arguments = [*_flags_of(flags, config, port.port), *([] if use_uvloop else ["--no-uvloop"])]
    if config_path is not None:
        arguments += ["--config", str(config_path)]

    def command(number: int, tether: int) -> Sequence[str]:
        own = [] if config.node_id is None else ["--node-id", _node_id(config.node_id, number)]
        return [*_program(), "serve", app, *arguments, *own, "--tether", str(tether)]

    with port:
        supervisor = Supervisor(command, workers, lambda line: _say_ready(line, workers))
        code = asyncio.run(supervisor.run())
    say("stopped")
    return code


def _check(config: NodeConfig, workers: int) -> None:
    if str(config.store) == _MEMORY:
        raise ConfigError(
            f"store {_MEMORY} is within one process; --workers needs a file (--store)"
        )
    if config.peer_port:
        raise ConfigError(
            f"peer_port is {config.peer_port}, and each of {workers} workers needs one of its own; "
            "leave it at 0, for any free one"
        )
    if config.node_id is not None:
        replace(config, node_id=_node_id(config.node_id, workers))


def _node_id(given: str, number: int) -> str:
    return f"{given}-{number}"


def _flags_of(flags: Mapping[str, Any], config: NodeConfig, port: int) -> list[str]:
    """What was given, and what must stay the same for all workers should perdure.toml change."""
    same = {
        "host": config.host,
        "port": port,
        "store": config.store,
        "app_id": config.app_id,
        "node_id": None,
    }
    words: list[str] = []
    for name, value in {**flags, **same}.items():
        flag = "--" + name.replace("_", "-")
        if value is True:
            words.append(flag)
        elif value is not None:
            words += [flag, str(value)]
    return words


def _program() -> list[str]:
    """How this very program was called, interpreter options included, without its arguments."""
    return [sys.executable, *sys.orig_argv[1 : len(sys.orig_argv) - len(sys.argv) + 1]]


def _say_ready(line: str, workers: int) -> None:
    say(f"{line.partition(': ')[2]}, {workers} workers")
