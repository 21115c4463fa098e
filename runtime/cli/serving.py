"""Runs a node until it is told to stop, in the foreground of a terminal. An edge module."""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import signal
import sys
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import click

from perdure.actors.errors import PerdureError
from perdure.runtime import garbage
from perdure.runtime.cli import logs
from perdure.runtime.cli.exits import ExitCode, code_of
from perdure.runtime.cli.load import LoadError, load_app
from perdure.runtime.config import ConfigError, NodeConfig, load
from perdure.runtime.node import ACTIVITY_THREADS, Node
from perdure.runtime.workflow.source import line_in

_DEFAULT_CONFIG = Path("perdure.toml")


def run(app: str, flags: Mapping[str, Any], config_path: Path | None, *, use_uvloop: bool) -> int:
    """Serve APP; returns the exit code. Everything that is said goes to stderr."""
    try:
        config = load(flags, toml_path=config_path or _default_config())
        logs.set_up(config.log_level)
        node = Node(load_app(app), config=config, http=True)
    except ConfigError as error:
        return _told(str(error), ExitCode.USAGE)
    except LoadError as error:
        return _told(str(error), error.exit_code)
    try:
        with asyncio.Runner(loop_factory=_loop_factory(use_uvloop)) as runner:
            runner.run(_serve(node))
    except KeyboardInterrupt as error:
        # Ctrl-C does not come this way: it is the app's own, and only the node's end stops it.
        where = line_in(error.__traceback__) or "code of the app"
        return _told(f"stopped at once by a KeyboardInterrupt at {where}", ExitCode.INTERRUPTED)
    except (PerdureError, OSError, BaseExceptionGroup) as error:
        return _ended(error, node)
    if any(thread.name.startswith(ACTIVITY_THREADS) for thread in threading.enumerate()):
        # Python would wait for them, for ever if need be; they were given their time.
        logging.shutdown()
        sys.stdout.flush()
        os._exit(ExitCode.OK)
    return ExitCode.OK


async def _serve(node: Node) -> None:
    registry, config = node.registry, node.config
    stop = _Stop(node, config)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.signalled, number)
    async with node:
        garbage.settle()
        workflows = sum(1 for _ in registry.workflows())
        activities = sum(1 for _ in registry.activities())
        _say(
            f"ready on {node.url}, store {config.store} ({config.durability}), "
            f"{_counted(workflows, 'workflow')}, {_counted(activities, 'activity')}"
        )
        await node.run_until_stopped()
    _say("stopped")


class _Stop:
    """What a signal does: the first asks the node to drain, the second ends the process."""

    def __init__(self, node: Node, config: NodeConfig) -> None:
        self._node = node
        self._drain_seconds = config.drain_seconds
        self._asked = False

    def signalled(self, number: int) -> None:
        if self._asked:
            _say("stopped at once; nothing that was acknowledged is lost")
            # Not `sys.exit`: that would wait for the threads of activities that still run.
            os._exit(128 + number)
        self._asked = True
        _say(
            f"stopping: running activities get {self._drain_seconds:g} seconds; "
            "once more ends it at once"
        )
        self._node.request_shutdown()


def _ended(error: BaseException, node: Node) -> int:
    """Say what ended the node, if the user can do something about it. A bug keeps its traceback."""
    first = error
    while isinstance(first, BaseExceptionGroup):
        first = first.exceptions[0]
    config = node.config
    if isinstance(first, OSError) and first.errno in (errno.EADDRINUSE, errno.EACCES):
        return _told(_not_listening(first, config), ExitCode.FAILED)
    if isinstance(first, OSError) and first.errno == errno.EADDRNOTAVAIL:
        return _told(f"{config.host} is not an address of this machine (--host)", ExitCode.USAGE)
    if isinstance(first, PerdureError):
        if first is node.failure:
            return code_of(first)  # The log has said so.
        return _told(str(first), code_of(first))
    raise error


def _not_listening(error: OSError, config: NodeConfig) -> str:
    where = f"port {config.port} on {config.host}"
    if error.errno == errno.EADDRINUSE:
        return (
            f"{where} is in use by another process; choose another with --port, "
            "or --port 0 for any free one"
        )
    return f"this user may not listen on {where}; choose a port above 1023 with --port"


def _default_config() -> Path | None:
    return _DEFAULT_CONFIG if _DEFAULT_CONFIG.is_file() else None


def _loop_factory(use_uvloop: bool) -> Callable[[], asyncio.AbstractEventLoop] | None:
    if not use_uvloop:
        return None
    try:
        import uvloop
    except ImportError:
        return None
    factory: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
    return factory


def _counted(number: int, what: str) -> str:
    if number == 1:
        return f"1 {what}"
    return f"{number} {what[:-1]}ies" if what.endswith("y") else f"{number} {what}s"


def _told(message: str, code: ExitCode) -> int:
    _say(message)
    return code


def _say(message: str) -> None:
    click.echo(f"perdure: {message}", file=sys.stderr)
