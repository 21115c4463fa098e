"""`perdure serve --workers N`: several nodes of one app behind the same ports. An edge module.

Every worker is a plain `perdure serve`; this process only looks after them.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

from perdure.runtime.cli.configuring import node_config
from perdure.runtime.cli.exits import ExitCode
from perdure.runtime.cli.listening import SharedGrpcPort, SharedPort, problem_of
from perdure.runtime.cli.say import say, told
from perdure.runtime.cli.supervisor import Supervisor
from perdure.runtime.config import ConfigError, NodeConfig

_MEMORY = ":memory:"


def run(
    app: str | None,
    flags: Mapping[str, Any],
    config_path: Path | None,
    *,
    workers: int,
    use_uvloop: bool,
) -> int:
    """Serve APP, None for no code, with several processes; returns the exit code."""
    try:
        config = node_config(app, flags, config_path)
        _check(config, workers)
    except ConfigError as error:
        return told(str(error), ExitCode.USAGE)
    with ExitStack() as held:
        ports: dict[str, int] = {}
        for name, hold in (("port", SharedPort), ("grpc_port", SharedGrpcPort)):
            if (port := getattr(config, name)) is None:
                continue
            try:
                ports[name] = held.enter_context(hold(config.host, port)).port
            except OSError as error:
                problem = problem_of(error, config.host, port, _flag(name))
                if problem is None:
                    raise
                return told(*problem)
        arguments = [*([] if app is None else [app]), *_flags_of(flags, config, ports)]
        arguments += [] if use_uvloop else ["--no-uvloop"]
        arguments += [] if config_path is None else ["--config", str(config_path)]

        def command(number: int, tether: int) -> Sequence[str]:
            own = [] if config.node_id is None else ["--node-id", _node_id(config.node_id, number)]
            return [*_program(), "serve", *arguments, *own, "--tether", str(tether)]

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


def _flags_of(flags: Mapping[str, Any], config: NodeConfig, ports: Mapping[str, int]) -> list[str]:
    """What was given, and what must stay the same for all workers should perdure.toml change."""
    same = {
        "host": config.host,
        **ports,
        "store": config.store,
        "app_id": config.app_id,
        "node_id": None,
    }
    words: list[str] = []
    for name, value in {**flags, **same}.items():
        if value is True:
            words.append(_flag(name))
        elif value is not None:
            words += [_flag(name), str(value)]
    return words


def _flag(name: str) -> str:
    return "--" + name.replace("_", "-")


def _program() -> list[str]:
    """How this very program was called, interpreter options included, without its arguments."""
    return [sys.executable, *sys.orig_argv[1 : len(sys.orig_argv) - len(sys.argv) + 1]]


def _say_ready(line: str, workers: int) -> None:
    say(f"{line.partition(': ')[2]}, {workers} workers")
